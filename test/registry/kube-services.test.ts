import { describe, expect, it } from 'vitest';
import { namespace, service } from '../support/builders.ts';
import { codes, registryOf, serviceAt } from './support.ts';

const WEB = 'web.default.svc.cluster.local';

describe('Kubernetes services', () => {
  it('takes name, ports and addresses', () => {
    const registry = registryOf([
      service('web', { ports: ['http:80:8080', 'grpc:9000', 'named:81:web', 'dns:53/UDP'], clusterIPs: ['10.96.0.7'] }),
    ]);
    const web = serviceAt(registry, WEB);
    expect(web).toMatchObject({
      hostname: WEB,
      name: 'web',
      namespace: 'default',
      registry: 'Kubernetes',
      resolution: 'ClientSideLB',
      defaultAddress: '10.96.0.7',
      headless: false,
      exportTo: '*',
    });
    expect(web.ports).toEqual([
      { name: 'http', number: 80, protocol: 'HTTP', targetPort: 8080 },
      { name: 'grpc', number: 9000, protocol: 'GRPC', targetPort: undefined },
      { name: 'named', number: 81, protocol: 'AUTO', targetPort: 'web' },
      { name: 'dns', number: 53, protocol: 'UDP', targetPort: undefined },
    ]);
    expect([...web.clusterVips]).toEqual([['Kubernetes', ['10.96.0.7']]]);
    expect(web.refs).toEqual([{ kind: 'Service', namespace: 'default', name: 'web' }]);
  });

  it.each([
    ['headless', { clusterIPs: ['None'] }, { resolution: 'Passthrough', headless: true, defaultAddress: '0.0.0.0' }],
    ['no address', { clusterIPs: [] }, { resolution: 'ClientSideLB', headless: false, defaultAddress: '0.0.0.0' }],
    [
      'an external name',
      { type: 'ExternalName', clusterIPs: [], externalName: 'www.example.org.' },
      { resolution: 'Alias', externalName: 'www.example.org', defaultAddress: '0.0.0.0' },
    ],
    ['two families', { clusterIPs: ['10.1.1.1', 'fd00::1'] }, { defaultAddress: '10.1.1.1' }],
    ['local traffic', { internalTrafficPolicy: 'Local' }, { nodeLocal: true }],
    ['unready endpoints', { publishNotReadyAddresses: true }, { publishNotReadyAddresses: true }],
    ['session label', { labels: { 'istio.io/persistent-session': 'c:/p' } }, { persistentSession: 'cookie:c:/p' }],
    ['an empty selector', { selector: {} }, { selector: undefined }],
    [
      'service accounts',
      {
        annotations: {
          'alpha.istio.io/canonical-serviceaccounts': 'spiffe://x/ns/a/sa/b, y',
          'alpha.istio.io/kubernetes-serviceaccounts': 'vm',
        },
      },
      { serviceAccounts: ['spiffe://x/ns/a/sa/b', 'y', 'spiffe://cluster.local/ns/default/sa/vm'] },
    ],
  ])('with %s', (_name, options, expected) => {
    expect(serviceAt(registryOf([service('web', options)]), WEB)).toMatchObject(expected);
  });

  it('keeps addresses of both families', () => {
    const web = serviceAt(registryOf([service('web', { clusterIPs: ['10.1.1.1', 'fd00::1'] })]), WEB);
    expect([...web.clusterVips]).toEqual([['Kubernetes', ['10.1.1.1', 'fd00::1']]]);
  });

  it('uses domain and cluster id of the options', () => {
    const registry = registryOf([service('web')], { domain: 'mesh.test', clusterId: 'east' });
    const web = serviceAt(registry, 'web.default.svc.mesh.test');
    expect([...web.clusterVips.keys()]).toEqual(['east']);
  });

  describe('exportTo', () => {
    it.each([
      [undefined, ['*'], '*'],
      [undefined, [], '*'],
      [undefined, ['.'], ['default']],
      ['.', ['*'], ['default']],
      ['~', ['*'], []],
      ['b, a', ['*'], ['a', 'b']],
      ['.,b', ['*'], ['b', 'default']],
      ['a,*', ['.'], '*'],
      ['', ['.'], ['default']],
    ])('annotation %s with mesh default %j gives %j', (annotation, defaults, expected) => {
      const annotations: Record<string, string> =
        annotation === undefined ? {} : { 'networking.istio.io/exportTo': annotation };
      const registry = registryOf([service('web', { annotations })], { defaultServiceExportTo: defaults });
      const { exportTo } = serviceAt(registry, WEB);
      expect(typeof exportTo === 'string' ? exportTo : [...exportTo]).toEqual(expected);
    });
  });

  describe('traffic distribution', () => {
    const KEY = 'networking.istio.io/traffic-distribution';
    it.each([
      ['PreferClose', undefined, undefined, 'PreferSameZone'],
      ['PreferSameZone', undefined, undefined, 'PreferSameZone'],
      ['PreferSameNode', 'PreferClose', undefined, 'PreferSameNode'],
      [undefined, 'PreferClose', undefined, 'PreferSameZone'],
      [undefined, 'prefersamenode', 'PreferClose', 'PreferSameNode'],
      [undefined, undefined, 'PreferSameNode', 'PreferSameNode'],
      [undefined, 'Any', 'PreferSameNode', undefined],
      [undefined, undefined, undefined, undefined],
    ])('field %s, annotation %s, namespace %s give %s', (field, own, ofNamespace, expected) => {
      const annotations = (value: string | undefined): Record<string, string> =>
        value === undefined ? {} : { [KEY]: value };
      const registry = registryOf([
        namespace('default', { annotations: annotations(ofNamespace) }),
        service('web', {
          annotations: annotations(own),
          ...(field === undefined ? {} : { trafficDistribution: field }),
        }),
      ]);
      expect(serviceAt(registry, WEB).trafficDistribution).toBe(expected);
    });
  });

  describe('cluster-local hosts', () => {
    const settings = [
      { settings: { clusterLocal: true }, hosts: ['*.default.svc.cluster.local'] },
      { settings: { clusterLocal: false }, hosts: [WEB, '*.kube-system.svc.cluster.local'] },
    ];
    it.each([
      ['web', 'default', [], false],
      ['kubernetes', 'default', [], true],
      ['dns', 'kube-system', [], true],
      ['web', 'default', settings, false],
      ['db', 'default', settings, true],
      ['dns', 'kube-system', settings, false],
    ])('%s of %s with %j: %s', (name, ns, serviceSettings, expected) => {
      const registry = registryOf([service(name, { namespace: ns })], { serviceSettings });
      expect(serviceAt(registry, `${name}.${ns}.svc.cluster.local`).clusterLocal).toBe(expected);
    });
  });

  describe('aliases', () => {
    const alias = (name: string, externalName: string) =>
      service(name, { type: 'ExternalName', clusterIPs: [], externalName });
    const host = (name: string) => `${name}.default.svc.cluster.local`;

    it('leads through chains to the concrete service', () => {
      const registry = registryOf([
        service('web'),
        alias('b', host('web')),
        alias('a', host('b')),
        alias('x', 'else.org'),
      ]);
      expect(serviceAt(registry, WEB).aliases).toEqual([host('a'), host('b')]);
      expect(serviceAt(registry, host('a'))).toMatchObject({
        resolution: 'Alias',
        externalName: host('b'),
        aliases: [],
      });
    });

    it('reports loops and leaves them out', () => {
      const registry = registryOf([
        service('web'),
        alias('a', host('b')),
        alias('b', host('a')),
        alias('c', host('a')),
      ]);
      expect(serviceAt(registry, WEB).aliases).toEqual([]);
      expect(codes(registry)).toEqual(['MEL0110', 'MEL0110', 'MEL0110']);
    });
  });
});
