import { describe, expect, it } from 'vitest';
import type { ConfigObject } from '../../src/config/object.ts';
import { holdLink, keysOf, releaseLink } from '../../src/snapshot/index.ts';
import {
  authorizationPolicy,
  destinationRule,
  endpointSlice,
  envoyFilter,
  peerAuthentication,
  pod,
  service,
  sidecar,
  telemetry,
  virtualService,
  workloadEntry,
} from '../support/builders.ts';
import { linkOf, type ProxyOptions, proxy, scopeFor, withObjects, world } from '../support/snapshot-builders.ts';

/** Two proxies of one namespace with different `app` labels. */
const pair = (objects: readonly ConfigObject[], options: ProxyOptions = {}) => {
  const at = world(objects);
  return ['x', 'y'].map((app) => linkOf(at, proxy({ ...options, labels: { app, same: '1' } })));
};
const sameClass = (objects: readonly ConfigObject[], options: ProxyOptions = {}) => {
  const [a, b] = pair(objects, options);
  return a?.proxyClass === b?.proxyClass;
};
const selector = { selector: { matchLabels: { app: 'x' } } };
const route = { route: [{ destination: { host: 's' } }] };

describe('labels of a class', () => {
  it('are left out while nothing mentions them', () => {
    const at = world([service('s')]);
    const links = Array.from({ length: 1000 }, (_, n) => linkOf(at, proxy({ labels: { app: `app-${n}` } })));
    expect(new Set(links.map((link) => link.proxyClass)).size).toBe(1);
    expect(links[0]?.proxyClass.labels).toEqual({});
  });

  it.each<[string, ConfigObject]>([
    ['a Sidecar', sidecar('s', { workloadSelector: { labels: { app: 'x' } } })],
    ['a DestinationRule', destinationRule('d', { host: 's', workloadSelector: { matchLabels: { app: 'x' } } })],
    ['an EnvoyFilter', envoyFilter('e', { workloadSelector: { labels: { app: 'x' } } })],
    [
      'an EnvoyFilter of the root namespace',
      envoyFilter('e', { workloadSelector: { labels: { app: 'x' } } }, { namespace: 'istio-system' }),
    ],
    ['a Telemetry', telemetry('t', { ...selector, accessLogging: [{}] })],
    [
      'source labels of http routes',
      virtualService('v', { hosts: ['s'], http: [{ match: [{ sourceLabels: { app: 'x' } }], ...route }] }),
    ],
    [
      'source labels of tcp routes',
      virtualService(
        'v',
        { hosts: ['s'], tcp: [{ match: [{ sourceLabels: { app: 'x' } }], ...route }] },
        { namespace: 'other' },
      ),
    ],
    [
      'failover by label',
      destinationRule(
        'd',
        { host: 's', trafficPolicy: { loadBalancer: { localityLbSetting: { failoverPriority: ['app'] } } } },
        { namespace: 'other' },
      ),
    ],
  ])('tell proxies apart once %s mentions them', (_case, object) => {
    expect(sameClass([service('s'), object])).toBe(false);
    const [first] = pair([service('s'), object]);
    expect(first?.proxyClass.labels).toEqual({ app: 'x' });
  });

  it.each<[string, ConfigObject]>([
    ['a Sidecar elsewhere', sidecar('s', { workloadSelector: { labels: { app: 'x' } } }, { namespace: 'other' })],
    ['another value', sidecar('s', { workloadSelector: { labels: { app: 'z' } } })],
    ['an AuthorizationPolicy', authorizationPolicy('a', selector)],
    ['a PeerAuthentication', peerAuthentication('p', { ...selector, mtls: { mode: 'STRICT' } })],
  ])('do not for %s', (_case, object) => {
    expect(sameClass([service('s'), object])).toBe(true);
  });

  it('are all those of a router, but for what differs from pod to pod', () => {
    const at = world([]);
    const of = (index: string) =>
      linkOf(at, proxy({ type: 'router', labels: { app: 'gw', 'apps.kubernetes.io/pod-index': index } })).proxyClass;
    expect(of('0')).toBe(of('1'));
    expect(of('0').labels).toMatchObject({ app: 'gw' });
  });
});

describe('what else tells classes apart', () => {
  const differs = (a: ProxyOptions, b: ProxyOptions, objects: readonly ConfigObject[] = []) => {
    const at = world(objects);
    return linkOf(at, proxy(a)).proxyClass !== linkOf(at, proxy(b)).proxyClass;
  };

  it.each<[string, ProxyOptions]>([
    ['namespace', { namespace: 'other' }],
    ['type', { type: 'router' }],
    ['IP family', { ips: ['2001:db8::1'] }],
    ['cluster', { metadata: { CLUSTER_ID: 'c2' } }],
    ['network', { metadata: { NETWORK: 'n2' } }],
    ['network view', { metadata: { REQUESTED_NETWORK_VIEW: 'n1' } }],
    ['locality', { locality: { region: 'r', zone: 'z' } }],
    ['interception', { metadata: { INTERCEPTION_MODE: 'NONE' } }],
    ['version', { metadata: { ISTIO_VERSION: '1.2.3' } }],
    ['a switch', { metadata: { DNS_CAPTURE: 'true' } }],
    ['proxy configuration', { metadata: { PROXY_CONFIG: { statNameLength: 1 } } }],
  ])('%s', (_what, options) => {
    expect(differs({}, options)).toBe(true);
  });

  it('not the address, the pod, names, or the node', () => {
    const other = {
      ip: '10.9.9.9',
      name: 'else',
      metadata: { WORKLOAD_NAME: 'w', NODE_NAME: 'n' },
      labels: { app: 'z' },
    };
    expect(differs({}, other)).toBe(false);
  });

  it('the node, while something depends on it', () => {
    const local = service('s', { internalTrafficPolicy: 'Local' });
    expect(differs({ metadata: { NODE_NAME: 'a' } }, { metadata: { NODE_NAME: 'b' } })).toBe(false);
    expect(differs({ metadata: { NODE_NAME: 'a' } }, { metadata: { NODE_NAME: 'b' } }, [local])).toBe(true);
  });

  it('node metadata, while an EnvoyFilter matches on it', () => {
    const filter = envoyFilter('e', { configPatches: [{ match: { proxy: { metadata: { TEAM: 'x' } } } }] });
    const team = (name: string): ProxyOptions => ({ metadata: { TEAM: name } });
    expect(differs(team('x'), team('y'))).toBe(false);
    expect(differs(team('x'), team('y'), [filter])).toBe(true);
  });

  it('names, of routers only: sidecars have them in their workload', () => {
    const labels = { 'service.istio.io/canonical-name': 'x' };
    const at = world([]);
    const sidecarLink = linkOf(at, proxy({ labels }));
    expect(sidecarLink.proxyClass.settings.canonicalService).toBe('');
    expect(sidecarLink.workload.proxyClass.settings.canonicalService).toBe('x');
    expect(linkOf(at, proxy({ type: 'router', labels })).proxyClass.settings.canonicalService).toBe('x');
  });

  it('own addresses, for endpoints of headless services that are not HTTP', () => {
    const own = (port: string) => {
      const one = pod('h-0', { ip: '10.0.0.1', labels: { app: 'h' } });
      const headless = service('h', { clusterIPs: ['None'], selector: { app: 'h' }, ports: [port] });
      return linkOf(world([one, headless]), proxy({ name: 'h-0' })).proxyClass.ownHeadlessAddresses;
    };
    expect(own('tcp:9000')).toEqual(['10.0.0.1']);
    expect(own('http:80')).toEqual([]);
  });
});

describe('the workload', () => {
  const web = (name: string, ip: string) => pod(name, { ip, labels: { app: 'web' }, ports: ['web:8080'] });
  const base = [
    service('web', { selector: { app: 'web' }, ports: ['http:80:web', 'tcp:9000'], created: 2 }),
    service('old', { selector: { app: 'web' }, ports: ['http:81:9090'], created: 1 }),
    web('web-0', '10.0.0.1'),
    web('web-1', '10.0.0.2'),
  ];
  const zero = proxy({ name: 'web-0', ip: '10.0.0.1', labels: { app: 'stale' } });
  const one = proxy({ name: 'web-1', ip: '10.0.0.2' });

  it('has the ports of its services, oldest service first, and live labels', () => {
    const { workload } = linkOf(world(base), zero);
    expect(workload.targets.map((each) => [each.service.name, each.port.number, each.targetPort])).toEqual([
      ['old', 81, 9090],
      ['web', 80, 8080],
      ['web', 9000, 9000],
    ]);
    expect(workload.labels).toMatchObject({ app: 'web' });
    expect(workload.addresses).toEqual([]);
  });

  it('is shared by the pods of one Deployment', () => {
    const at = world(base);
    expect(linkOf(at, zero).workload).toBe(linkOf(at, one).workload);
    expect(linkOf(at, proxy({ name: 'x', ip: '10.0.0.8' })).workload).not.toBe(linkOf(at, one).workload);
  });

  it('has STATIC_LABELS over those of the pod', () => {
    const links = linkOf(
      world(base),
      proxy({ name: 'web-0', ip: '10.0.0.1', metadata: { STATIC_LABELS: { app: 'vip' } } }),
    );
    expect(links.workload.labels).toMatchObject({ app: 'vip' });
  });

  it('may be a WorkloadEntry', () => {
    const entry = workloadEntry('vm', { address: '10.0.0.9', labels: { app: 'web' }, locality: 'r/z' });
    const { workload, proxyClass } = linkOf(world([...base, entry]), proxy({ name: 'vm', ip: '10.0.0.9' }));
    expect(workload.targets.map((each) => each.targetPort)).toEqual([9090, 9000]);
    expect(proxyClass.locality).toBe('r/z');
  });

  it('has the ingress of its Sidecar, and addresses where a listener binds them', () => {
    const ingress = [{ port: { number: 9080, protocol: 'HTTP', name: 'http' }, defaultEndpoint: '127.0.0.1:8080' }];
    const plain = linkOf(world([...base, sidecar('s', { ingress })]), zero).workload;
    expect(plain.ingress?.map((each) => [each.index, each.spec.port?.number])).toEqual([[0, 9080]]);
    // Its chains are named by the address, which is what the Sidecar leaves open.
    expect([plain.sidecar?.name, plain.addresses]).toEqual(['s', ['10.0.0.1']]);
    const bound = [{ ...ingress[0], bind: '10.9.9.9' }];
    expect(linkOf(world([...base, sidecar('s', { ingress: bound })]), zero).workload.addresses).toEqual([]);
    const none = proxy({ name: 'web-0', ip: '10.0.0.1', metadata: { INTERCEPTION_MODE: 'NONE' } });
    expect(linkOf(world(base), none).workload.addresses).toEqual(['10.0.0.1']);
    expect(linkOf(world([...base, sidecar('s', {})]), zero).workload.ingress).toBeUndefined();
  });
});

describe('linking again', () => {
  const base = [
    service('web', { selector: { app: 'web' } }),
    pod('web-0', { ip: '10.0.0.1', labels: { app: 'web' } }),
    service('far', { namespace: 'far', selector: { app: 'far' } }),
  ];
  const client = proxy({ name: 'web-0', ip: '10.0.0.1' });

  it.each<[string, ConfigObject]>([
    ['an endpoint', endpointSlice('far', ['10.3.3.3'], { namespace: 'far' })],
    ['a service elsewhere', service('more', { namespace: 'far' })],
    ['a VirtualService', virtualService('v', { hosts: ['web'], http: [route] })],
    ['a DestinationRule', destinationRule('d', { host: 'web' })],
    ['a policy elsewhere', authorizationPolicy('p', {}, { namespace: 'far' })],
    ['a policy for others', authorizationPolicy('p', { selector: { matchLabels: { app: 'other' } } })],
    ['a Sidecar elsewhere', sidecar('s', {}, { namespace: 'far' })],
    ['another pod', pod('other', { ip: '10.0.0.7', labels: { app: 'web' } })],
    ['a service that selects others', service('more', { selector: { app: 'other' } })],
  ])('%s changes nothing', (_what, object) => {
    const before = world(base);
    const link = linkOf(before, client);
    expect(linkOf(withObjects(before, object), client, link)).toBe(link);
  });

  it.each<[string, ConfigObject]>([
    ['its policy', authorizationPolicy('p', { selector: { matchLabels: { app: 'web' } } })],
    [
      'a policy of the root namespace',
      peerAuthentication('p', { mtls: { mode: 'STRICT' } }, { namespace: 'istio-system' }),
    ],
    ['its service', service('web', { selector: { app: 'web' }, ports: ['http:81'] })],
    ['another service that selects it', service('more', { selector: { app: 'web' }, ports: ['http:82'] })],
    ['its Sidecar', sidecar('s', {})],
    ['its labels', pod('web-0', { ip: '10.0.0.1', labels: { app: 'web', version: 'v2' } })],
  ])('%s makes another workload of the same class', (_what, object) => {
    const before = world(base);
    const link = linkOf(before, client);
    const next = linkOf(withObjects(before, object), client, link);
    expect(next.workload).not.toBe(link.workload);
    expect(next.proxyClass).toBe(link.proxyClass);
  });

  it('a label that becomes visible makes another class, and back again', () => {
    const before = world(base);
    const link = linkOf(before, client);
    const object = sidecar('s', { workloadSelector: { labels: { app: 'web' } } });
    const visible = linkOf(withObjects(before, object), client, link);
    expect(visible.proxyClass.labels).toEqual({ app: 'web' });
    const again = linkOf(withObjects(before, sidecar('s', {})), client, visible);
    expect(again.proxyClass).toBe(link.proxyClass);
  });

  it('drops classes and workloads that nobody had for two generations', () => {
    let at = world(base);
    const other = linkOf(at, proxy({ namespace: 'gone' }));
    let link = linkOf(at, client);
    holdLink(at.linker, keysOf(link));
    for (let round = 0; round < 4; round++) {
      at = withObjects(at, service(`s${round}`, { namespace: 'far' }));
      link = linkOf(at, client, link);
    }
    expect(at.linker.workloads.size).toBe(1);
    expect(linkOf(at, client)).toMatchObject({ proxyClass: link.proxyClass });
    expect(linkOf(at, proxy({ namespace: 'gone' })).proxyClass).not.toBe(other.proxyClass);
    releaseLink(at.linker, keysOf(link));
    for (let round = 4; round < 8; round++) {
      at = withObjects(at, service(`s${round}`, { namespace: 'far' }));
      linkOf(at, proxy({ namespace: 'gone' }));
    }
    expect(linkOf(at, client).proxyClass).not.toBe(link.proxyClass);
  });

  it('gives a scope of the class that a fresh proxy gets too', () => {
    const at = world(base);
    expect(scopeFor(at, { name: 'web-0', ip: '10.0.0.1' }).proxyClass).toBe(linkOf(at, client).proxyClass);
  });
});
