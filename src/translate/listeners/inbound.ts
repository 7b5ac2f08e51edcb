// Inbound listeners of a workload: `virtualInbound` with the chains of every port and of those that no service has, and
// listeners that bind a port of their own. In: a workload, its chain context. Out: drafts, the same for the same workload.

import { encode } from '../../codec/index.ts';
import { type Draft, type Origin, originOf, TYPE_URL } from '../../ir/draft.ts';
import type { Workload } from '../../ir/proxy.ts';
import { memo } from '../../lib/memo.ts';
import { compareStrings } from '../../lib/order.ts';
import type { ChainContext } from '../context.ts';
import { draftOf, uniqueOrigins } from '../draft.ts';
import { boundInbound, capturedInbound } from './inbound-message.ts';
import { type InboundPlan, type InboundPort, inboundName, inboundPlan } from './inbound-plan.ts';
import { LISTENER, VIRTUAL_INBOUND } from './listener.ts';
import { lostOrigins, serviceOrigins } from './origins.ts';
import { filledInbound } from './plain-inbound.ts';

export const inboundDrafts = memo((workload: Workload, context: ChainContext): readonly Draft[] => {
  const plan = inboundPlan(workload, context.mesh);
  const origins = inboundOrigins(workload, plan, context);
  const bound = plan.ports
    .filter((port) => port.bindToPort)
    .map((port) => boundListener(port, workload, context, origins));
  bound.sort((a, b) => compareStrings(a.name, b.name));
  if (workload.proxyClass.interception === 'NONE') return bound;
  return [virtualInbound(workload, plan, context, origins), ...bound];
});

function inboundOrigins(workload: Workload, plan: InboundPlan, context: ChainContext): readonly Origin[] {
  const { policies, sidecar, ingress } = workload;
  const fromSidecar = ingress !== undefined && ingress.length > 0 && sidecar !== undefined;
  return [
    ...context.origins,
    ...policies.peerAuthn.sources.map((object) => originOf(object)),
    ...(fromSidecar ? [originOf(sidecar, 'spec.ingress')] : []),
    ...plan.ports.flatMap(({ service }) => (service === undefined ? [] : serviceOrigins(service))),
    ...plan.losers.flatMap(({ service, reason }) => lostOrigins(service, reason)),
  ];
}

function virtualInbound(
  { policies }: Workload,
  { ports }: InboundPlan,
  context: ChainContext,
  origins: readonly Origin[],
): Draft {
  const { mode, portLevel } = policies.peerAuthn;
  const filled = filledInbound(ports, mode, portLevel, context);
  const bytes = filled ?? encode(LISTENER, capturedInbound(ports, { mode, portLevel }, context));
  return { typeUrl: TYPE_URL.listener, name: VIRTUAL_INBOUND, bytes, origins: uniqueOrigins(origins) };
}

function boundListener(
  port: InboundPort,
  workload: Workload,
  context: ChainContext,
  origins: readonly Origin[],
): Draft {
  return draftOf(LISTENER, inboundName(port), boundInbound(port, workload.policies.peerAuthn, context), origins);
}
