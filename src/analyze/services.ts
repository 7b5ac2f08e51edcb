// Services and ServiceEntries: port names, and ports on which several of them disagree.

import type { ServiceSpec } from '../config/core.ts';
import type { ServiceEntrySpec } from '../config/generated/types.ts';
import type { ConfigObject, Finding } from '../config/object.ts';
import { isWildcard } from '../lib/hosts.ts';
import { kubePortProtocol, protocolByName } from '../registry/protocol.ts';
import { type Analysis, isSystemNamespace, on, onWorkload, servicesOf } from './analysis.ts';

type Service = ConfigObject<ServiceSpec>;

/** Ports whose protocol nobody declared are looked into by the proxy: that works for most, and costs. */
export function* portNames(analysis: Analysis): Iterable<Finding> {
  for (const service of analysis.list<ServiceSpec>('Service')) {
    if (isSystemNamespace(analysis, service.namespace)) continue;
    for (const [index, port] of service.spec.ports.entries()) {
      if (port.appProtocol !== undefined || port.protocol !== 'TCP' || isDeclared(port.name)) continue;
      const external = service.spec.type === 'ExternalName';
      const [code, path] = [external ? 'IST0150' : 'IST0118', `spec.ports[${index}].name`] as const;
      const text = port.name === '' ? 'is missing' : `${JSON.stringify(port.name)} names no protocol`;
      yield on(service, code, path, `${text}: the protocol of port ${port.port} is not declared`, 'PROTOCOL[-SUFFIX]');
    }
  }
}

function isDeclared(name: string): boolean {
  return name.startsWith('grpc-web') || protocolByName(name.split('-', 1)[0] ?? '') !== undefined;
}

/** A workload's port is one listener: it can't speak two protocols, whichever Services lead to it. */
export function* sharedPorts(analysis: Analysis): Iterable<Finding> {
  const told = new Set<string>();
  for (const workload of analysis.workloads) {
    const services = servicesOf(analysis, workload);
    if (services.length < 2) continue;
    for (const problem of clashes(services)) {
      if (told.has(problem.key)) continue;
      told.add(problem.key);
      yield onWorkload(workload, problem.code, 'spec', problem.message);
    }
  }
}

interface Clash {
  readonly key: string;
  readonly code: 'IST0116' | 'IST0137';
  readonly message: string;
}

function* clashes(services: readonly Service[]): Iterable<Clash> {
  const byPort = new Map<string, { readonly service: Service; readonly protocol: string; readonly port: number }>();
  const byTarget = new Map<string, { readonly service: Service; readonly port: number }>();
  for (const service of services) {
    for (const port of service.spec.ports) {
      const protocol = kubePortProtocol(port);
      const names = (other: Service): string => `${other.name} and ${service.name}`;
      const first = byPort.get(String(port.port));
      if (first === undefined) byPort.set(String(port.port), { service, protocol, port: port.port });
      else if (first.service !== service && first.protocol !== protocol) {
        const message = `port ${port.port} is ${first.protocol} in Service ${first.service.name} and ${protocol} in ${service.name}`;
        yield { key: `p ${service.namespace} ${names(first.service)} ${port.port}`, code: 'IST0116', message };
      }
      const target = String(port.targetPort ?? port.port);
      const other = byTarget.get(target);
      if (other === undefined) byTarget.set(target, { service, port: port.port });
      else if (other.service !== service && other.port !== port.port) {
        const message = `target port ${target} is behind port ${other.port} of Service ${other.service.name} and port ${port.port} of ${service.name}`;
        yield { key: `t ${service.namespace} ${names(other.service)} ${target}`, code: 'IST0137', message };
      }
    }
  }
}

export function* entryProtocols(analysis: Analysis): Iterable<Finding> {
  const seen = new Map<string, { readonly entry: ConfigObject<ServiceEntrySpec>; readonly protocol: string }>();
  for (const entry of analysis.list<ServiceEntrySpec>('ServiceEntry')) {
    for (const host of entry.spec.hosts ?? []) {
      for (const [index, port] of (entry.spec.ports ?? []).entries()) {
        const key = `${host}:${port.number}`;
        const protocol = (port.protocol ?? 'TCP').toUpperCase();
        const first = seen.get(key);
        if (first === undefined) seen.set(key, { entry, protocol });
        else if (first.entry !== entry && first.protocol !== protocol && !isWildcard(host)) {
          const other = `${first.entry.namespace}/${first.entry.name}`;
          yield on(
            entry,
            'IST0177',
            `spec.ports[${index}].protocol`,
            `${key} is ${protocol} here and ${first.protocol} in ${other}`,
          );
        }
      }
    }
  }
}
