import { describe, expect, it } from 'vitest';
import type { ConfigObject } from '../../src/config/object.ts';
import type { Proxy } from '../../src/ir/proxy.ts';
import type { RegistryOptions } from '../../src/registry/input.ts';
import { serviceTargets, workloadOf } from '../../src/registry/service-targets.ts';
import { endpointSlice, node, pod, service, serviceEntry, workloadEntry } from '../support/builders.ts';
import { proxy, registryOf } from './support.ts';

const selector = { app: 'web' };
const WEB_POD = pod('web-1', { ip: '10.0.0.1', labels: selector, ports: ['named:7777', '8080'], node: 'n' });

function targets(objects: readonly ConfigObject[], of: Partial<Proxy> = {}, options: Partial<RegistryOptions> = {}) {
  return serviceTargets(registryOf(objects, options), proxy(of)).map(
    ({ service: { hostname }, port, targetPort }) => `${hostname.split('.')[0]}:${port.number}>${targetPort}`,
  );
}

describe('serviceTargets', () => {
  it('finds the Pod by address and every service that selects it', () => {
    const objects = [
      WEB_POD,
      service('old', { selector, ports: ['http:80:8080', 'grpc:90:named', 'dns:53/UDP'], created: 1 }),
      service('young', { selector, ports: ['tcp:81:8080', 'http:82:8080', 'x:83:missing'], created: 2 }),
      service('else', { selector: { app: 'db' } }),
      service('far', { selector, namespace: 'other' }),
      service('headless', { selector, clusterIPs: ['None'], ports: ['http:9000'], created: 3 }),
      service('all', { selector: {} }),
    ];
    expect(targets(objects)).toEqual([
      'old:80>8080',
      'old:90>7777',
      'old:53>53',
      'young:81>8080',
      'headless:9000>9000',
    ]);
  });

  it('sorts services of one age by hostname', () => {
    const objects = [
      WEB_POD,
      service('b', { selector, ports: ['http:1'] }),
      service('a', { selector, ports: ['http:2'] }),
    ];
    expect(targets(objects)).toEqual(['a:2>2', 'b:1>1']);
  });

  it('prefers a WorkloadEntry of the same address', () => {
    const objects = [
      WEB_POD,
      service('web', { selector, ports: ['http:80:8080'] }),
      workloadEntry('vm', { address: '10.0.0.1', labels: selector, ports: { http: 9999 } }),
    ];
    expect(targets(objects)).toEqual(['web:80>9999']);
  });

  it('ignores workloads of other namespaces', () => {
    const objects = [
      pod('web-1', { ip: '10.0.0.1', labels: selector, namespace: 'other' }),
      workloadEntry('vm', { address: '10.0.0.1', labels: selector }, { namespace: 'other' }),
      service('web', { selector }),
      service('web', { selector, namespace: 'other' }),
    ];
    expect(targets(objects)).toEqual([]);
  });

  it('takes services without selector from their slices', () => {
    const objects = [
      WEB_POD,
      service('manual', { ports: ['http:80'] }),
      endpointSlice('manual', ['10.0.0.1', '10.0.0.2'], { ports: ['http:8080'] }),
      service('byref', { ports: ['tcp:81'] }),
      endpointSlice('byref', [WEB_POD], { ports: ['tcp:8081'] }),
      service('without', { ports: ['tcp:82'] }),
      endpointSlice('without', ['10.0.0.2'], { ports: ['tcp:8081'] }),
    ];
    expect(targets(objects)).toEqual(['byref:81>8081', 'manual:80>8080']);
    expect(targets([...objects, service('web', { selector, ports: ['http:1'] })])).toEqual(['web:1>1']);
  });

  it('falls back to what the proxy says of itself', () => {
    const POD_PORTS = JSON.stringify([{ name: 'named', containerPort: 7777, protocol: 'TCP' }, { name: 'bad' }, 3]);
    const objects = [service('web', { selector, ports: ['http:80:8080', 'grpc:90:named', 'x:91:missing'] })];
    expect(targets(objects, { labels: selector, metadata: { POD_PORTS } })).toEqual(['web:80>8080', 'web:90>7777']);
    expect(targets(objects, { labels: selector, metadata: { POD_PORTS: '{' } })).toEqual(['web:80>8080']);
    expect(targets(objects)).toEqual([]);
  });

  it('knows nothing of Kubernetes for a proxy of another cluster', () => {
    const objects = [WEB_POD, service('web', { selector })];
    expect(targets(objects, { clusterId: 'west' })).toEqual([]);
    expect(targets(objects, { clusterId: '' })).toEqual(['web:80>80']);
    expect(targets(objects, { clusterId: 'west' }, { clusterId: 'west' })).toEqual(['web:80>80']);
  });

  it('finds Pods on the network of the host by name', () => {
    const objects = ['a', 'b'].flatMap((name) => [
      pod(`${name}-1`, { ip: '10.0.0.1', labels: { app: name }, hostNetwork: true }),
      service(name, { selector: { app: name } }),
    ]);
    expect(targets(objects, { instance: 'b-1.default' })).toEqual(['b:80>80']);
    expect(targets(objects, { instance: 'c-1.default' })).toEqual([]);
  });

  it('adds ServiceEntries by address and by selector', () => {
    const ports = [
      { number: 80, name: 'http', protocol: 'HTTP', targetPort: 8080 },
      { number: 90, name: 'tcp', protocol: 'TCP' },
    ];
    const base = { ports, resolution: 'STATIC' } as const;
    const objects = [
      WEB_POD,
      serviceEntry('a', { ...base, hosts: ['inline.org'], endpoints: [{ address: '10.0.0.1', ports: { tcp: 91 } }] }),
      serviceEntry('b', { ...base, hosts: ['selected.org'], workloadSelector: { labels: selector } }),
      serviceEntry('c', { ...base, hosts: ['far.org'], endpoints: [{ address: '10.0.0.1' }] }, { namespace: 'other' }),
      serviceEntry('d', { ...base, hosts: ['else.org'], endpoints: [{ address: '10.0.0.9' }] }),
    ];
    expect(targets(objects)).toEqual(['inline:80>8080', 'inline:90>91', 'selected:90>90']);
  });
});

describe('workloadOf', () => {
  it('gives labels, place and identity of the Pod', () => {
    const registry = registryOf([WEB_POD, node('n', { region: 'r', zone: 'z' })]);
    expect(workloadOf(registry, proxy())).toMatchObject({
      kind: 'pod',
      pod: WEB_POD,
      facts: { locality: 'r/z', nodeName: 'n', identity: 'spiffe://cluster.local/ns/default/sa/default' },
    });
    expect(workloadOf(registry, proxy({ addresses: ['10.0.0.2'] }))).toBeUndefined();
    expect(workloadOf(registry, proxy({ addresses: [] }))).toBeUndefined();
  });

  it('gives the index by address', () => {
    const vm = workloadEntry('vm', { address: '10.0.0.1' });
    const registry = registryOf([WEB_POD, vm, pod('host', { ip: '10.0.0.1', hostNetwork: true })]);
    expect(registry.workloads.byAddress('10.0.0.1')).toEqual([
      { kind: 'pod', pod: WEB_POD },
      { kind: 'entry', entry: vm },
    ]);
    expect(registry.workloads.byAddress('10.0.0.2')).toEqual([]);
  });
});
