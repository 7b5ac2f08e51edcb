// The port on which a workload listens for a port of a service.

import type { KubePort } from '../config/core.ts';
import type { ServicePort as EntryPort, WorkloadEntrySpec } from '../config/generated/types.ts';
import type { Pod } from './input.ts';

/** A number as it is; a name is that of a container port of the same transport. */
export function podTargetPort(port: KubePort, pod: Pod): number | undefined {
  const target = port.targetPort;
  if (typeof target !== 'string' || target === '') return numericTarget(port);
  for (const container of pod.spec.containers) {
    const found = container.ports.find((each) => each.name === target && each.protocol === port.protocol);
    if (found !== undefined) return found.containerPort;
  }
  return undefined;
}

/** An entry's own port by the name of the target port or of the service port; else the number. */
export function entryTargetPort(port: KubePort, entry: WorkloadEntrySpec): number | undefined {
  const target = port.targetPort;
  if (typeof target === 'string' && target !== '') return ownPort(entry, target) ?? ownPort(entry, port.name);
  return ownPort(entry, port.name) ?? numericTarget(port);
}

/** A port of a ServiceEntry on one of its endpoints. */
export function inlineTargetPort(port: EntryPort, entry: WorkloadEntrySpec): number {
  return ownPort(entry, port.name ?? '') ?? (port.targetPort || (port.number ?? 0));
}

export function numericTarget(port: KubePort): number | undefined {
  if (typeof port.targetPort === 'string' && port.targetPort !== '') return undefined;
  return typeof port.targetPort === 'number' && port.targetPort > 0 ? port.targetPort : port.port;
}

/** Names come from users: one such as `constructor` must not find what every object has. */
function ownPort(entry: WorkloadEntrySpec, name: string): number | undefined {
  return entry.ports !== undefined && Object.hasOwn(entry.ports, name) ? entry.ports[name] : undefined;
}
