// `virtualInbound` of workloads of which nothing but names tells them from others: services with the same ports, the same
// modes. In: ports, modes, a context. Out: bytes, from a template that all of a kind share; undefined where there is more
// to it. Called by inbound.ts, which renders all others.

import { slot, type Template, template } from '../../codec/index.ts';
import type { MtlsMode } from '../../ir/policy.ts';
import type { Protocol } from '../../ir/service.ts';
import { memo } from '../../lib/memo.ts';
import type { ChainContext } from '../context.ts';
import { FREE_SLOT, frameOf } from '../frame.ts';
import { inboundClusterName } from '../clusters/names.ts';
import { capturedInbound } from './inbound-message.ts';
import type { InboundPort } from './inbound-plan.ts';
import { LISTENER } from './listener.ts';

/** Slots have one digit. */
const MAX_PORTS = 10 - FREE_SLOT;

export function filledInbound(
  ports: readonly InboundPort[],
  mode: MtlsMode,
  portLevel: ReadonlyMap<number, MtlsMode>,
  of: ChainContext,
): Uint8Array | undefined {
  const { context, names } = frameOf(of);
  if (context === of || ports.length > MAX_PORTS || portLevel.size > 0) return undefined;
  const shape: (string | number)[] = [];
  const hosts: string[] = [];
  for (const { service, bindToPort, host, bind, targetPort, servicePort, protocol } of ports) {
    if (service === undefined || bindToPort || host === '') return undefined;
    shape.push(bind, targetPort, servicePort, protocol);
    hosts.push(host);
  }
  return inboundTemplate(context, mode, ...shape).fill(...names, ...hosts);
}

/** Counted by tests. */
export const inboundTemplate = memo(
  (context: ChainContext, mode: MtlsMode, ...shape: readonly (string | number)[]): Template => {
    const ports: InboundPort[] = [];
    for (let at = 0; at < shape.length; at += 4) {
      const [bind, targetPort, servicePort, protocol] = shape.slice(at, at + 4) as [string, number, number, Protocol];
      const cluster = inboundClusterName(targetPort);
      const host = slot(FREE_SLOT + ports.length);
      ports.push({ bind, targetPort, servicePort, protocol, cluster, host, bindToPort: false });
    }
    return template(LISTENER, capturedInbound(ports, { mode, portLevel: NO_PORTS }, context));
  },
);

const NO_PORTS: ReadonlyMap<number, MtlsMode> = new Map();
