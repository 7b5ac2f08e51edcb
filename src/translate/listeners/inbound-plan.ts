// The inbound ports of a workload: those of its services, or those that its Sidecar lists instead.
// In: a workload. Out: one entry per port, sorted, and the services that lost a port to an older one.

import type { Workload } from '../../ir/proxy.ts';
import type { Protocol, Service } from '../../ir/service.ts';
import { compareNumbers, compareStrings, orderBy } from '../../lib/order.ts';
import { wildcards } from '../addresses.ts';
import { inboundClusterName } from '../clusters/names.ts';
import { canBind, listenerName } from './listener.ts';
import { protocolNamed } from './protocol.ts';
import type { MeshSettings } from '../mesh.ts';

export interface InboundPort {
  /** Where the workload is called: its address, or one that a Sidecar names. */
  readonly bind: string;
  /** Where it listens; the key of its mTLS mode. */
  readonly targetPort: number;
  /** The port that clients name. */
  readonly servicePort: number;
  readonly protocol: Protocol;
  readonly cluster: string;
  /** `HOST` of the operation in spans. */
  readonly host: string;
  /** A listener of its own; else chains of `virtualInbound`. */
  readonly bindToPort: boolean;
  readonly service?: Service | undefined;
}

export interface InboundPlan {
  readonly ports: readonly InboundPort[];
  readonly losers: readonly { readonly service: Service; readonly reason: string }[];
}

/** `name` by which listener and statistics know a port. */
export function inboundName({ bind, targetPort }: InboundPort): string {
  return listenerName(bind, targetPort);
}

const byPort = orderBy<InboundPort>(
  (a, b) => compareNumbers(a.targetPort, b.targetPort),
  (a, b) => compareStrings(a.bind, b.bind),
);

export function inboundPlan(workload: Workload, mesh: MeshSettings): InboundPlan {
  const { ingress, proxyClass } = workload;
  if (ingress !== undefined && ingress.length > 0) return { ports: ingressPorts(workload).sort(byPort), losers: [] };
  // Traffic that is not captured doesn't come by here unless somebody said on which port.
  if (proxyClass.interception === 'NONE') return { ports: [], losers: [] };
  return servicePorts(workload, mesh);
}

/** One set of chains per target port: that of the oldest service. */
function servicePorts({ targets, proxyClass }: Workload, mesh: MeshSettings): InboundPlan {
  const [bind = ''] = wildcards(proxyClass.family);
  const { statusPort, prometheusPort } = proxyClass.settings;
  const own = [statusPort, prometheusPort, mesh.proxyListenPort, mesh.proxyInboundListenPort];
  const ports = new Map<number, InboundPort>();
  const losers: { service: Service; reason: string }[] = [];
  for (const { service, port, targetPort } of targets) {
    if (own.includes(targetPort)) {
      losers.push({ service, reason: `target port ${targetPort} is the proxy's own` });
      continue;
    }
    const holder = ports.get(targetPort);
    if (holder !== undefined) {
      const same = holder.service === service;
      if (!same) losers.push({ service, reason: `target port ${targetPort} is taken by ${holder.host}` });
      continue;
    }
    ports.set(targetPort, {
      bind,
      targetPort,
      servicePort: port.number,
      protocol: port.protocol,
      cluster: inboundClusterName(targetPort),
      host: service.hostname,
      bindToPort: false,
      service,
    });
  }
  return { ports: [...ports.values()].sort(byPort), losers };
}

function ingressPorts(workload: Workload): InboundPort[] {
  const { ingress = [], proxyClass, addresses, sidecar } = workload;
  const [any = ''] = wildcards(proxyClass.family);
  const seen = new Set<number>();
  return ingress.flatMap(({ spec }) => {
    const number = spec.port?.number ?? 0;
    const given = spec.bind ?? '';
    const bind = given === '' ? (addresses[0] ?? any) : given;
    const bindToPort = spec.captureMode === 'NONE' || proxyClass.interception === 'NONE';
    if (seen.has(number) || (bindToPort && !canBind(proxyClass.settings, bind, number, []))) return [];
    seen.add(number);
    return [
      {
        bind,
        targetPort: number,
        servicePort: number,
        protocol: protocolNamed(spec.port?.protocol ?? ''),
        cluster: inboundClusterName(number),
        // One of the root namespace counts as one of the workload's own.
        host: sidecar === undefined ? '' : `${sidecar.name}.${proxyClass.namespace}`,
        bindToPort,
      },
    ];
  });
}
