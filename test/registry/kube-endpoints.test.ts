import { describe, expect, it } from 'vitest';
import type { SliceEndpoint } from '../../src/config/core.ts';
import type { ConfigObject } from '../../src/config/object.ts';
import { endpointSlice, namespace, node, pod, service, workloadEntry } from '../support/builders.ts';
import { codes, endpointsAt, groupAt, registryOf, serviceAt, sockets } from './support.ts';

const WEB = 'web.default.svc.cluster.local';

function sliceOf(endpoint: Partial<SliceEndpoint>) {
  return endpointSlice('web', [{ addresses: ['10.0.0.1'], ...endpoint }]);
}

describe('endpoints of slices', () => {
  it('joins slice, Pod and Node', () => {
    const web = pod('web-1', {
      ip: '10.0.0.1',
      node: 'n1',
      serviceAccount: 'web',
      labels: { app: 'web' },
      hostname: 'web-1',
      subdomain: 'sub',
    });
    const registry = registryOf([
      service('web'),
      web,
      node('n1', { region: 'r', zone: 'z', subzone: 's' }),
      endpointSlice('web', [web], { ports: ['http:8080'] }),
    ]);
    expect(endpointsAt(registry, WEB)).toEqual([
      {
        address: '10.0.0.1',
        port: 8080,
        portName: 'http',
        labels: {
          app: 'web',
          'security.istio.io/tlsMode': 'istio',
          'topology.kubernetes.io/region': 'r',
          'topology.kubernetes.io/zone': 'z',
          'topology.istio.io/subzone': 's',
          'topology.istio.io/cluster': 'Kubernetes',
          'kubernetes.io/hostname': 'n1',
        },
        locality: 'r/z/s',
        network: '',
        clusterId: 'Kubernetes',
        identity: 'spiffe://cluster.local/ns/default/sa/web',
        tlsMode: 'istio',
        health: 'HEALTHY',
        weight: 0,
        namespace: 'default',
        workloadName: 'web-1',
        nodeName: 'n1',
        hostname: 'web-1',
        subdomain: 'sub',
      },
    ]);
    expect(groupAt(registry, WEB)).toMatchObject({
      namespace: 'default',
      hostname: WEB,
      identities: ['spiffe://cluster.local/ns/default/sa/web'],
      someWithoutTls: false,
    });
  });

  it.each([
    [{}, 'HEALTHY'],
    [{ ready: true, terminating: true }, 'HEALTHY'],
    [{ ready: false }, undefined],
    [{ ready: false, serving: true, terminating: false }, 'UNHEALTHY'],
    [{ ready: false, serving: false, terminating: true }, undefined],
    [{ ready: false, serving: true, terminating: true }, undefined],
  ])('conditions %j mean %s', (conditions, health) => {
    const registry = registryOf([service('web'), sliceOf(conditions)]);
    expect(endpointsAt(registry, WEB)[0]?.health).toBe(health);
  });

  it.each([
    [true, 'DRAINING'],
    [false, undefined],
  ])('with sticky sessions a terminating endpoint that serves (%s) is %s', (serving, health) => {
    const registry = registryOf([
      service('web', { labels: { 'istio.io/persistent-session': 'c' } }),
      sliceOf({ ready: false, serving, terminating: true }),
    ]);
    expect(endpointsAt(registry, WEB)[0]?.health).toBe(health);
  });

  it('knows sessions by the labels that the control plane was started with', () => {
    const objects = [
      service('web', { labels: { 'shop.example/sticky': 'c' } }),
      sliceOf({ ready: false, serving: true, terminating: true }),
    ];
    const sessionLabels = { sessionCookie: 'shop.example/sticky', sessionHeader: '' };
    expect(endpointsAt(registryOf(objects, { sessionLabels }), WEB)[0]?.health).toBe('DRAINING');
    expect(serviceAt(registryOf(objects, { sessionLabels }), WEB).persistentSession).toBe('cookie:c');
    expect(endpointsAt(registryOf(objects), WEB)).toEqual([]);
  });

  it('holds back an endpoint until its Pod is known', () => {
    const web = pod('web-1', { ip: '10.0.0.1' });
    const objects = [service('web'), endpointSlice('web', [web])];
    const waiting = registryOf(objects);
    expect(endpointsAt(waiting, WEB)).toEqual([]);
    expect(codes(waiting)).toEqual(['MEL0100']);
    expect(sockets(endpointsAt(registryOf([...objects, web]), WEB))).toEqual(['10.0.0.1:80/http']);
    const files = registryOf(objects, { mode: 'files' });
    expect(endpointsAt(files, WEB)).toMatchObject([{ address: '10.0.0.1', identity: '', tlsMode: 'disabled' }]);
    expect(codes(files)).toEqual([]);
  });

  it('finds the Pod of a bare address, in the namespace of the slice only', () => {
    const objects = [service('web'), endpointSlice('web', ['10.0.0.1'])];
    const identity = (ns: string) =>
      endpointsAt(registryOf([...objects, pod('p', { ip: '10.0.0.1', namespace: ns })]), WEB)[0]?.identity;
    expect(identity('default')).toBe('spiffe://cluster.local/ns/default/sa/default');
    expect(identity('other')).toBe('');
  });

  it('concatenates slices, each address and port once', () => {
    const registry = registryOf([
      service('web', { ports: ['http:80', 'tcp:90'] }),
      endpointSlice('web', ['10.0.0.1', '10.0.0.2'], { name: 'a', ports: ['http:8080', 'tcp:9090'] }),
      endpointSlice('web', ['10.0.0.2', '10.0.0.3'], { name: 'b', ports: ['http:8080'] }),
      endpointSlice('web', ['fd00::1'], { name: 'c', ports: ['http:8080'], addressType: 'IPv6' }),
      endpointSlice('web', ['web.example.org'], { name: 'd', addressType: 'FQDN' }),
    ]);
    expect(sockets(endpointsAt(registry, WEB))).toEqual([
      '10.0.0.1:8080/http',
      '10.0.0.1:9090/tcp',
      '10.0.0.2:8080/http',
      '10.0.0.2:9090/tcp',
      '10.0.0.3:8080/http',
      'fd00::1:8080/http',
    ]);
    expect(codes(registry)).toEqual([]);
  });

  describe('of pods with two families', () => {
    const both = pod('web-1', { ips: ['10.0.0.1', 'fd00::1'], labels: { app: 'web' } });
    const at = (address: string): SliceEndpoint => ({
      addresses: [address],
      ready: true,
      targetRef: { kind: 'Pod', namespace: 'default', name: 'web-1' },
    });
    const slices = [
      endpointSlice('web', [at('10.0.0.1')], { name: 'four' }),
      endpointSlice('web', [at('fd00::1')], { name: 'a-six', addressType: 'IPv6' }),
    ];
    const told = (clusterIPs: readonly string[], dualStack: boolean, objects: readonly ConfigObject[] = slices) =>
      endpointsAt(registryOf([service('web', { clusterIPs }), both, ...objects], { dualStack }), WEB).map(
        ({ address, otherAddresses = [] }) => [address, ...otherAddresses].join(' or '),
      );
    const BOTH = ['10.96.0.1', 'fd96::1'];

    it('are one endpoint of a service with both, where the mesh is dual stack', () => {
      expect(told(BOTH, true)).toEqual(['10.0.0.1 or fd00::1']);
      expect(told(BOTH, false).sort()).toEqual(['10.0.0.1', 'fd00::1']);
      expect(told(['10.96.0.1'], true, slices.slice(0, 1))).toEqual(['10.0.0.1']);
      expect(told(['None'], true).sort()).toEqual(['10.0.0.1', 'fd00::1']);
    });

    it('are one endpoint too without slices, from files', () => {
      const registry = registryOf([service('web', { clusterIPs: BOTH, selector: { app: 'web' } }), both], {
        dualStack: true,
        mode: 'files',
      });
      expect(endpointsAt(registry, WEB)).toMatchObject([{ address: '10.0.0.1', otherAddresses: ['fd00::1'] }]);
    });

    it('are what somebody wrote where a slice does not refer to them', () => {
      const written = [endpointSlice('web', ['10.0.0.1', '10.0.0.7'])];
      expect(told(BOTH, true, written)).toEqual(['10.0.0.1', '10.0.0.7']);
    });

    it('have the network of their first address', () => {
      const networks = {
        four: { endpoints: [{ fromCidr: '10.0.0.0/8' }] },
        six: { endpoints: [{ fromCidr: 'fd00::/8' }] },
      };
      const registry = registryOf([service('web', { clusterIPs: BOTH }), both, ...slices], { networks });
      expect(endpointsAt(registry, WEB).map(({ network }) => network)).toEqual(['four', 'four']);
      expect(registry.networks.prefixes).toEqual(['10.0.0.0/8', 'fd00::/8']);
    });
  });

  it('leaves out what is no address', () => {
    const registry = registryOf([service('web'), endpointSlice('web', ['10.0.0.300', '10.0.0.3'])]);
    expect(sockets(endpointsAt(registry, WEB))).toEqual(['10.0.0.3:80/http']);
    expect(codes(registry)).toEqual(['MEL0101']);
  });

  it('has an entry for a service without endpoints, none for a slice without service', () => {
    const registry = registryOf([service('web'), endpointSlice('nobody', ['10.0.0.1'])]);
    expect(groupAt(registry, WEB)).toEqual({
      namespace: 'default',
      hostname: WEB,
      endpoints: [],
      identities: [],
      someWithoutTls: false,
    });
    expect(registry.endpoints.size).toBe(1);
  });

  it.each([
    [{ 'topology.istio.io/locality': 'a.b.c' }, 'a/b/c'],
    [{ 'istio-locality': 'a.b' }, 'a/b'],
    [{ 'istio-locality': 'a/b.c' }, 'a/b.c'],
    [{}, 'beta'],
  ])('labels %j give locality %s', (labels, locality) => {
    const web = pod('web-1', { ip: '10.0.0.1', node: 'n1', labels: labels as Record<string, string> });
    const registry = registryOf([
      service('web'),
      web,
      node('n1', { labels: { 'failure-domain.beta.kubernetes.io/region': 'beta' } }),
      endpointSlice('web', [web]),
    ]);
    expect(endpointsAt(registry, WEB)[0]?.locality).toBe(locality);
  });

  it.each([
    [{ 'pod-template-hash': '6d4b75cb6d' }, 'web-6d4b75cb6d-hx6zx', 'web'],
    [{ 'statefulset.kubernetes.io/pod-name': 'web-0' }, 'web-0', 'web'],
    [{ 'controller-revision-hash': 'abc' }, 'web-hx6zx', 'web'],
    [{ 'batch.kubernetes.io/job-name': 'job' }, 'job-hx6zx', 'job'],
    [{ 'service.istio.io/workload-name': 'named' }, 'web-0', 'named'],
    [{}, 'web-0', 'web-0'],
  ])('labels %j of Pod %s name workload %s', (labels, name, workload) => {
    const web = pod(name, { ip: '10.0.0.1', labels: labels as Record<string, string> });
    const registry = registryOf([service('web'), web, endpointSlice('web', [web])]);
    expect(endpointsAt(registry, WEB)[0]?.workloadName).toBe(workload);
  });
});

describe('network of an endpoint', () => {
  const NETWORKS = {
    n1: { endpoints: [{ fromRegistry: 'Kubernetes' }] },
    n2: { endpoints: [{ fromCidr: '10.0.0.0/8' }] },
    n3: { endpoints: [{ fromCidr: '10.0.0.0/16' }] },
  };
  const { n1: _registry, ...PREFIXES } = NETWORKS;
  const system = namespace('istio-system', { labels: { 'topology.istio.io/network': 'sys' } });

  it.each([
    ['the label of the Pod', [system], { 'topology.istio.io/network': 'own' }, NETWORKS, 'own'],
    ['the label of the system namespace', [system], {}, NETWORKS, 'sys'],
    ['the mesh networks by registry', [], {}, NETWORKS, 'n1'],
    ['the mesh networks by widest prefix', [], {}, PREFIXES, 'n2'],
    ['nothing', [], {}, {}, ''],
  ])('comes from %s', (_from, objects, labels, networks, expected) => {
    const web = pod('web-1', { ip: '10.0.0.1', labels: labels as Record<string, string> });
    const registry = registryOf([...objects, service('web'), web, endpointSlice('web', [web])], { networks });
    const [endpoint] = endpointsAt(registry, WEB);
    expect(endpoint?.network).toBe(expected);
    expect(endpoint?.labels['topology.istio.io/network'] ?? '').toBe(expected);
  });
});

describe('WorkloadEntries that a Service selects', () => {
  const selector = { app: 'web' };

  it.each([
    ['http:80:8080', { http: 8090 }, 8090],
    ['http:80:8080', {}, 8080],
    ['http:80', {}, 80],
    ['http:80:named', { named: 7000, http: 1 }, 7000],
    ['http:80:named', { http: 7001 }, 7001],
  ])('port %s with %j is %d', (port, ports, expected) => {
    const registry = registryOf([
      service('web', { selector, ports: [port] }),
      workloadEntry('vm', { address: '10.5.0.1', labels: selector, ports, weight: 3, serviceAccount: 'sa' }),
    ]);
    expect(endpointsAt(registry, WEB)).toMatchObject([
      {
        address: '10.5.0.1',
        port: expected,
        portName: 'http',
        weight: 3,
        health: 'UNKNOWN',
        tlsMode: 'istio',
        identity: 'spiffe://cluster.local/ns/default/sa/sa',
        workloadName: 'vm',
      },
    ]);
  });

  it('joins them with slices, and minds namespace, labels and ports', () => {
    const registry = registryOf([
      service('web', { selector, ports: ['http:80', 'dns:53/UDP'] }),
      endpointSlice('web', ['10.0.0.1']),
      workloadEntry('vm', { address: '10.5.0.1' }, { labels: selector }),
      workloadEntry('vm2', { address: '10.5.0.2', labels: { app: 'web' } }, { labels: { app: 'db' } }),
      workloadEntry('vm3', { address: '10.5.0.3', labels: selector }, { namespace: 'other' }),
    ]);
    expect(sockets(endpointsAt(registry, WEB))).toEqual(['10.0.0.1:80/http', '10.5.0.1:80/http']);
  });

  it('tells of names and of missing ports', () => {
    const registry = registryOf([
      service('web', { selector, ports: ['http:80:named'] }),
      workloadEntry('vm', { address: 'vm.example.org', labels: selector }),
      workloadEntry('vm2', { address: '10.5.0.2', labels: selector }),
    ]);
    expect(endpointsAt(registry, WEB)).toEqual([]);
    expect(codes(registry)).toEqual(['MEL0101', 'MEL0102']);
  });

  it.each([
    [undefined, undefined, 1],
    ['true', undefined, 0],
    ['true', 'True', 1],
    ['true', 'False', 0],
    ['false', 'False', 1],
  ])('annotation %s and condition %s leave %d', (annotation, condition, expected) => {
    const annotations: Record<string, string> =
      annotation === undefined ? {} : { 'proxy.istio.io/health-checks-enabled': annotation };
    const status = condition === undefined ? undefined : { conditions: [{ type: 'Healthy', status: condition }] };
    const registry = registryOf([
      service('web', { selector }),
      workloadEntry('vm', { address: '10.5.0.1', labels: selector }, { annotations }, status),
    ]);
    expect(endpointsAt(registry, WEB)).toHaveLength(expected);
  });
});

describe('files without slices', () => {
  const selector = { app: 'web' };
  const files = { mode: 'files' } as const;

  it('take the Pods that a Service selects', () => {
    const registry = registryOf(
      [
        service('web', { selector, ports: ['http:80:web', 'tcp:9000'] }),
        pod('a', { ip: '10.0.0.1', labels: selector, ports: ['web:8080'] }),
        pod('b', { ip: '10.0.0.2', labels: selector, ports: ['web:8081'], ready: false }),
        pod('c', { ip: '10.0.0.3', labels: selector, phase: 'Failed' }),
        pod('d', { ip: '10.0.0.4', labels: { app: 'db' } }),
        pod('e', { ip: '10.0.0.5', labels: selector, namespace: 'other' }),
        pod('f', { labels: selector }),
      ],
      files,
    );
    expect(endpointsAt(registry, WEB).map((each) => `${each.address}:${each.port} ${each.health}`)).toEqual([
      '10.0.0.1:8080 HEALTHY',
      '10.0.0.1:9000 HEALTHY',
      '10.0.0.2:8081 UNHEALTHY',
      '10.0.0.2:9000 UNHEALTHY',
    ]);
  });

  it('only where there is no slice at all, and not with Kubernetes', () => {
    const objects = [service('web', { selector }), pod('a', { ip: '10.0.0.1', labels: selector })];
    expect(endpointsAt(registryOf(objects), WEB)).toEqual([]);
    const sliced = registryOf([...objects, endpointSlice('web', [])], files);
    expect(endpointsAt(sliced, WEB)).toEqual([]);
  });

  it.each([
    [['10.96.0.1'], ['10.0.0.1']],
    [['fd00:1::1'], ['fd00::1']],
    [
      ['fd00:1::1', '10.96.0.1'],
      ['fd00::1', '10.0.0.1'],
    ],
    [['None'], ['10.0.0.1']],
  ])('addresses %j get %j', (clusterIPs, expected) => {
    const registry = registryOf(
      [service('web', { selector, clusterIPs }), pod('a', { ips: ['10.0.0.1', 'fd00::1'], labels: selector })],
      files,
    );
    expect(endpointsAt(registry, WEB).map((each) => each.address)).toEqual(expected);
  });

  it('tell of a target port that no container has', () => {
    const registry = registryOf(
      [service('web', { selector, ports: ['http:80:web'] }), pod('a', { ip: '10.0.0.1', labels: selector })],
      files,
    );
    expect(registry.findings).toMatchObject([{ code: 'MEL0102', path: 'spec.ports[0].targetPort' }]);
  });

  it('publish Pods that are not ready where the Service says so', () => {
    const registry = registryOf(
      [
        service('web', { selector, publishNotReadyAddresses: true }),
        pod('a', { ip: '10.0.0.1', labels: selector, ready: false }),
      ],
      files,
    );
    expect(endpointsAt(registry, WEB)[0]?.health).toBe('HEALTHY');
  });
});
