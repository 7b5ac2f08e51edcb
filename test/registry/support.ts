import type { ConfigObject } from '../../src/config/object.ts';
import type { Endpoint, ServiceEndpoints } from '../../src/ir/endpoint.ts';
import type { Proxy } from '../../src/ir/proxy.ts';
import type { Service } from '../../src/ir/service.ts';
import { tableEntries, tableGet } from '../../src/lib/table.ts';
import { DEFAULT_REGISTRY_OPTIONS, type RegistryOptions } from '../../src/registry/input.ts';
import { buildRegistry, type Registry } from '../../src/registry/registry.ts';
import { tables } from '../support/builders.ts';

export const OPTIONS: RegistryOptions = DEFAULT_REGISTRY_OPTIONS;

export function registryOf(objects: readonly ConfigObject[], options: Partial<RegistryOptions> = {}): Registry {
  return buildRegistry(undefined, tables(...objects), { ...OPTIONS, ...options });
}

export function servicesAt(registry: Registry, host: string): readonly Service[] {
  return tableGet(registry.services, host) ?? [];
}

export function serviceAt(registry: Registry, host: string): Service {
  const [service] = servicesAt(registry, host);
  if (service === undefined) throw new Error(`no service ${host}`);
  return service;
}

export function endpointsAt(registry: Registry, host: string): readonly Endpoint[] {
  return tableGet(registry.endpoints, host)?.[0]?.endpoints ?? [];
}

export function groupAt(registry: Registry, host: string): ServiceEndpoints {
  const [group] = tableGet(registry.endpoints, host) ?? [];
  if (group === undefined) throw new Error(`no endpoints of ${host}`);
  return group;
}

/** `ADDRESS:PORT/NAME`. */
export function sockets(endpoints: readonly Endpoint[]): string[] {
  return endpoints.map((each) => `${each.address}:${each.port}/${each.portName}`);
}

export function codes(registry: Registry): string[] {
  return registry.findings.map((finding) => finding.code);
}

/** All public content as plain values, in order of keys. */
export function contentOf(registry: Registry): unknown {
  const sorted = <V>(entries: Iterable<readonly [string, V]>): [string, V][] =>
    [...entries].map(([key, value]): [string, V] => [key, value]).sort((a, b) => (a[0] < b[0] ? -1 : 1));
  return {
    services: sorted(tableEntries(registry.services)),
    endpoints: sorted(tableEntries(registry.endpoints)),
    networks: registry.networks,
    vips: sorted(registry.vips),
    findings: registry.findings,
  };
}

export function proxy(options: Partial<Proxy> = {}): Proxy {
  return {
    id: 'sidecar~10.0.0.1~web-1.default~default.svc.cluster.local',
    type: 'sidecar',
    addresses: ['10.0.0.1'],
    instance: 'web-1.default',
    namespace: 'default',
    dnsDomain: 'default.svc.cluster.local',
    clusterId: 'Kubernetes',
    network: '',
    metadata: {},
    labels: {},
    nodeLocality: '',
    userAgentVersion: '',
    ...options,
  } as Proxy;
}
