import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { KINDS } from '../../src/config/kinds.ts';
import type { ConfigObject, Kind } from '../../src/config/object.ts';
import { parseDocument } from '../../src/config/parse/index.ts';
import { createValidator } from '../../src/config/validate/index.ts';
import { re2Checker } from '../../src/store/re2.ts';

const PLACE = 'topology.kubernetes.io/zone';

const admission = createValidator({ regex: re2Checker(), admission: true });
const loading = createValidator({ regex: re2Checker() });

interface Case {
  readonly spec: unknown;
  /** `SEVERITY path`, W for warnings, I for infos, E for errors; `S` is an error at admission and a warning at loading. */
  readonly found: readonly string[];
  readonly name?: string;
  readonly annotations?: Record<string, string>;
  readonly labels?: Record<string, string>;
}

function objectOf(kind: Kind, each: Case): ConfigObject {
  const group = KINDS.find((info) => info.kind === kind)?.group ?? '';
  const body = kind === 'EndpointSlice' ? (each.spec as object) : { spec: each.spec };
  const raw = {
    apiVersion: group === '' ? 'v1' : `${group}/v1`,
    kind,
    metadata: {
      name: each.name ?? 'x',
      namespace: 'ns',
      annotations: each.annotations ?? {},
      labels: each.labels ?? {},
    },
    ...body,
  };
  const [parsed] = parseDocument(raw, { unknownFields: 'error' });
  if (parsed?.kind !== 'object') throw new Error(JSON.stringify(parsed));
  return parsed.object;
}

/** Errors and warnings as in `Case.found`, from both uses of the validator. */
function found(object: ConfigObject): string[] {
  const atLoad = new Map(loading(object).map((finding) => [`${finding.path} ${finding.message}`, finding.severity]));
  return admission(object).map((finding) => {
    const mild = atLoad.get(`${finding.path} ${finding.message}`);
    const letter =
      finding.severity === 'info' ? 'I' : finding.severity === 'warning' ? 'W' : mild === 'error' ? 'E' : 'S';
    return `${letter} ${finding.path?.replace(/^spec\.?/, '') ?? ''}`;
  });
}

function table(kind: Kind, cases: Record<string, Case>): void {
  describe(kind, () => {
    for (const [name, each] of Object.entries(cases)) {
      it(name, () => {
        expect(found(objectOf(kind, each))).toEqual(each.found);
      });
    }
  });
}

const to = (host = 'a', weight?: number) => ({ destination: { host }, ...(weight === undefined ? {} : { weight }) });
const http = (...routes: object[]) => ({ hosts: ['a.example.com'], http: routes });

table('VirtualService', {
  'a good one': { spec: http({ match: [{ uri: { prefix: '/x' } }], route: [to()], timeout: '5s' }), found: [] },
  'no routes': { spec: { hosts: ['a'] }, found: ['E '] },
  'bad hosts': {
    spec: { hosts: ['a_b', 'x.*.y', '1.2.3.4', '*.ok.com'], http: [{ route: [to()] }] },
    found: ['E hosts[0]', 'E hosts[1]'],
  },
  'star on the mesh': { spec: { hosts: ['*'], http: [{ route: [to()] }] }, found: ['E hosts[0]'] },
  'star at a gateway': { spec: { hosts: ['*'], gateways: ['gw'], http: [{ route: [to()] }] }, found: [] },
  'overlapping hosts': {
    spec: { hosts: ['*.a.com', 'b.a.com'], gateways: ['gw'], http: [{ route: [to()] }] },
    found: ['S hosts[1]'],
  },
  'bad gateways': {
    spec: { ...http({ route: [to()] }), gateways: ['a/b/c', 'x.y', 'ns/gw', 'mesh'] },
    found: ['E gateways[0]', 'W gateways[1]'],
  },
  'no action': { spec: http({ match: [{ uri: { prefix: '/' } }] }), found: ['E http[0]'] },
  'two actions': { spec: http({ route: [to()], redirect: { uri: '/x' } }), found: ['E http[0]'] },
  'fault with redirect': {
    spec: http({ redirect: { uri: '/x' }, fault: { delay: { fixedDelay: '1s' } } }),
    found: ['E http[0].fault'],
  },
  'rewrite with direct response': {
    spec: http({ directResponse: { status: 200 }, rewrite: { uri: '/' } }),
    found: ['E http[0].rewrite'],
  },
  'direct response status': {
    spec: http({ directResponse: { status: 99 } }),
    found: ['E http[0].directResponse.status'],
  },
  'direct response size': {
    spec: http({ directResponse: { status: 200, body: { string: 'x'.repeat(200_000) } } }),
    found: ['W http[0].directResponse.body'],
  },
  'a delegate': { spec: http({ delegate: { name: 'd' } }), found: [] },
  'a delegate with route': { spec: http({ delegate: { name: 'd' }, route: [to()] }), found: ['E http[0].route'] },
  'a delegate in a delegate': { spec: { http: [{ delegate: { name: 'd' } }] }, found: ['E http[0].delegate'] },
  'gateways and tcp of a delegate': {
    spec: { gateways: ['g'], http: [{ route: [to()] }], tcp: [{ route: [to()] }] },
    found: ['S gateways', 'S tcp'],
  },
  'weights that sum to 0': { spec: http({ route: [to('a', 0), to('b', 0)] }), found: ['E http[0].route'] },
  'negative weight': { spec: http({ route: [to('a', -1), to('b', 2)] }), found: ['E http[0].route[0].weight'] },
  'bad destination': {
    spec: http({ route: [{ destination: { host: 'a b', subset: 'V1', port: { number: 0 } } }] }),
    found: [
      'E http[0].route[0].destination.host',
      'E http[0].route[0].destination.subset',
      'E http[0].route[0].destination.port.number',
    ],
  },
  'bad patterns': {
    spec: http({
      match: [
        { uri: { regex: 'a(b' }, method: { prefix: '' }, headers: { 'x y': { exact: '1' }, ok: { regex: '*' } } },
        { queryParams: { q: { regex: 'x'.repeat(1025) } } },
      ],
      route: [to()],
    }),
    found: [
      'E http[0].match[0].uri.regex',
      'E http[0].match[0].method.prefix',
      'E http[0].match[0].headers["x y"]',
      'E http[0].match[1].queryParams.q.regex',
    ],
  },
  'look-ahead is no RE2': {
    spec: http({ match: [{ uri: { regex: '/(?!admin).*' } }], route: [to()] }),
    found: ['E http[0].match[0].uri.regex'],
  },
  'headers that can not be changed': {
    spec: http({
      route: [to()],
      headers: {
        request: { set: { ':path': '/x', ':authority': 'ok' } },
        response: { add: { Host: 'x' }, remove: ['ok'] },
      },
    }),
    found: ['E http[0].headers.request.set[":path"]', 'E http[0].headers.response.add.Host'],
  },
  'header formats': {
    spec: http({
      route: [to()],
      headers: { request: { set: { a: '%REQ(:path)%', b: '100%%', c: '50%', d: '%START_TIME(%s)%' } } },
    }),
    found: ['E http[0].headers.request.set.c'],
  },
  'two authorities': {
    spec: http({ route: [to()], rewrite: { authority: 'a' }, headers: { request: { set: { Host: 'b' } } } }),
    found: ['E http[0]'],
  },
  'claims on the mesh': {
    spec: http({ match: [{ headers: { '@request.auth.claims.group': { exact: 'x' } } }], route: [to()] }),
    found: ['S http[0].match[0].headers["@request.auth.claims.group"]'],
  },
  faults: {
    spec: http({
      route: [to()],
      fault: { abort: { httpStatus: 700, percentage: { value: 101 } }, delay: { fixedDelay: '0s' } },
    }),
    found: [
      'E http[0].fault.abort.percentage.value',
      'E http[0].fault.abort.httpStatus',
      'S http[0].fault.delay.fixedDelay',
    ],
  },
  'gRPC status': {
    spec: http({ route: [to()], fault: { abort: { grpcStatus: 'BROKEN' } } }),
    found: ['E http[0].fault.abort.grpcStatus'],
  },
  'an empty fault': { spec: http({ route: [to()], fault: {} }), found: ['E http[0].fault'] },
  cors: {
    spec: http({
      route: [to()],
      corsPolicy: { allowMethods: ['GET', 'FETCH'], allowOrigins: [{ regex: '(' }, {}], maxAge: '1500ms' },
    }),
    found: [
      'E http[0].corsPolicy.allowOrigins[0].regex',
      'E http[0].corsPolicy.allowOrigins[1]',
      'E http[0].corsPolicy.allowMethods[1]',
      'E http[0].corsPolicy.maxAge',
    ],
  },
  retries: {
    spec: http({ route: [to()], retries: { attempts: 3, retryOn: '5xx, 503,nonsense', perTryTimeout: '2s' } }),
    found: ['E http[0].retries.retryOn'],
  },
  'retries switched off': {
    spec: http({ route: [to()], retries: { attempts: 0, retryOn: '5xx' } }),
    found: ['S http[0].retries'],
  },
  mirrors: {
    spec: http({
      route: [to()],
      mirror: { host: 'm' },
      mirrors: [{ destination: { host: 'n' }, percentage: { value: 101 } }],
    }),
    found: ['E http[0].mirror', 'E http[0].mirrors[0].percentage.value'],
  },
  redirects: {
    spec: http({ redirect: { redirectCode: 200, scheme: 'ftp' } }),
    found: ['E http[0].redirect.redirectCode', 'E http[0].redirect.scheme'],
  },
  'a redirect to nowhere': { spec: http({ redirect: {} }), found: ['E http[0].redirect'] },
  rewrites: {
    spec: http({ route: [to()], rewrite: { uri: '/', uriRegexRewrite: { match: '(' } } }),
    found: ['E http[0].rewrite', 'E http[0].rewrite.uriRegexRewrite', 'E http[0].rewrite.uriRegexRewrite.match'],
  },
  timeouts: { spec: http({ route: [to()], timeout: '-1s' }), found: ['E http[0].timeout'] },
  'timeout off': { spec: http({ route: [to()], timeout: '0s' }), found: ['S http[0].timeout'] },
  exports: {
    spec: { ...http({ route: [to()] }), exportTo: ['*', '.', '.', 'Bad'] },
    found: ['S exportTo[2]', 'E exportTo[3]', 'S exportTo'],
  },
  'unreachable rules': {
    spec: http(
      { match: [{ uri: { prefix: '/a' } }], route: [to()] },
      { match: [{ uri: { exact: '/a/b' } }], route: [to()] },
      { route: [to()] },
      { match: [{ uri: { prefix: '/c' } }], route: [to()] },
    ),
    found: ['I http[1].match[0]', 'W http[1]', 'W http[3]'],
  },
  'tls routes': {
    spec: {
      hosts: ['*.a.com'],
      gateways: ['g'],
      tls: [
        { match: [{ sniHosts: ['x.a.com', 'b.com', '1.2.3.4', 'b@d'] }], route: [to()] },
        { match: [{ sniHosts: [] }] },
      ],
    },
    found: [
      'S tls[0].match[0].sniHosts[1]',
      'W tls[0].match[0].sniHosts[2]',
      'E tls[0].match[0].sniHosts[3]',
      'E tls[1].match[0].sniHosts',
      'E tls[1].route',
    ],
  },
  'tcp routes': {
    spec: { hosts: ['a'], tcp: [{ match: [{ port: 70000, destinationSubnets: ['10.0.0.0/33'] }], route: [to()] }] },
    found: ['E tcp[0].match[0].destinationSubnets[0]', 'E tcp[0].match[0].port'],
  },
});

table('DestinationRule', {
  'a good one': {
    spec: {
      host: 'a',
      trafficPolicy: { loadBalancer: { simple: 'ROUND_ROBIN' } },
      subsets: [{ name: 'v1', labels: { version: 'v1' } }],
    },
    found: [],
  },
  'labels of subsets': {
    spec: {
      host: 'a',
      subsets: [{ name: 'v1', labels: { 'x/y/z': 'a', 'a.b/c': 'A_b.1', ok: '', 'no space': 'x', v: '-' } }],
    },
    found: ['S subsets[0].labels["x/y/z"]', 'S subsets[0].labels["no space"]', 'S subsets[0].labels.v'],
  },
  'host and subsets': {
    spec: { host: '', subsets: [{ name: 'v1' }, { name: 'v1' }, { name: 'A' }] },
    found: ['E host', 'E subsets[2].name', 'E subsets[1].name'],
  },
  'empty policy': { spec: { host: 'a', trafficPolicy: {} }, found: ['S trafficPolicy'] },
  'outlier detection': {
    spec: {
      host: 'a',
      trafficPolicy: {
        outlierDetection: { maxEjectionPercent: 101, consecutiveErrors: 1, consecutiveLocalOriginFailures: 2 },
      },
    },
    found: [
      'E trafficPolicy.outlierDetection.maxEjectionPercent',
      'W trafficPolicy.outlierDetection.consecutiveErrors',
      'S trafficPolicy.outlierDetection.consecutiveLocalOriginFailures',
    ],
  },
  pools: {
    spec: {
      host: 'a',
      trafficPolicy: {
        connectionPool: {
          http: {
            http2MaxRequests: -1,
            h2UpgradePolicy: 'UPGRADE',
            useClientProtocol: true,
            http2KeepAlive: { interval: '1s' },
          },
          tcp: { idleTimeout: '0s', connectTimeout: '0s' },
        },
      },
    },
    found: [
      'E trafficPolicy.connectionPool.http.http2MaxRequests',
      'E trafficPolicy.connectionPool.http.useClientProtocol',
      'E trafficPolicy.connectionPool.http.http2KeepAlive.timeout',
      'S trafficPolicy.connectionPool.tcp.connectTimeout',
    ],
  },
  hashing: {
    spec: {
      host: 'a',
      trafficPolicy: {
        loadBalancer: { consistentHash: { httpCookie: { name: '', ttl: '0s' }, maglev: { tableSize: 10 } } },
      },
    },
    found: [
      'E trafficPolicy.loadBalancer.consistentHash.httpCookie.name',
      'E trafficPolicy.loadBalancer.consistentHash.maglev.tableSize',
    ],
  },
  'hashing by nothing': {
    spec: { host: 'a', trafficPolicy: { loadBalancer: { consistentHash: {} } } },
    found: ['E trafficPolicy.loadBalancer.consistentHash'],
  },
  'maglev prime': {
    spec: {
      host: 'a',
      trafficPolicy: { loadBalancer: { consistentHash: { useSourceIp: true, maglev: { tableSize: 65537 } } } },
    },
    found: [],
  },
  'a ring that Envoy refuses': {
    spec: {
      host: 'a',
      trafficPolicy: {
        loadBalancer: { consistentHash: { useSourceIp: true, ringHash: { minimumRingSize: 9_000_000 } } },
      },
    },
    found: ['W trafficPolicy.loadBalancer.consistentHash.ringHash.minimumRingSize'],
  },
  locality: {
    spec: {
      host: 'a',
      trafficPolicy: {
        outlierDetection: {},
        loadBalancer: {
          localityLbSetting: {
            distribute: [{ from: 'a/*', to: { 'a/b': 60, 'a/c': 30 } }],
            failover: [{ from: 'x', to: 'x' }],
          },
        },
      },
    },
    found: [
      'E trafficPolicy.loadBalancer.localityLbSetting',
      'S trafficPolicy.loadBalancer.localityLbSetting.distribute[0].to',
      'E trafficPolicy.loadBalancer.localityLbSetting.failover[0]',
    ],
  },
  'locality by shares and labels': {
    spec: {
      host: 'a',
      trafficPolicy: {
        outlierDetection: {},
        loadBalancer: {
          localityLbSetting: { distribute: [{ from: '*', to: { a: 100 } }], failoverPriority: ['tier'] },
        },
      },
    },
    found: [],
  },
  'places among failover priorities': {
    spec: {
      host: 'a',
      trafficPolicy: {
        outlierDetection: {},
        loadBalancer: {
          localityLbSetting: { failover: [{ from: 'x', to: 'y' }], failoverPriority: ['tier', PLACE] },
        },
      },
    },
    found: ['E trafficPolicy.loadBalancer.localityLbSetting.failoverPriority[1]'],
  },
  zones: {
    spec: {
      host: 'a',
      trafficPolicy: {
        loadBalancer: { zoneAwareLbSetting: { failover: [{ from: 'a', to: 'a/b' }], failoverPriority: [PLACE] } },
      },
    },
    found: [
      'E trafficPolicy.loadBalancer.zoneAwareLbSetting.failoverPriority[0]',
      'E trafficPolicy.loadBalancer.zoneAwareLbSetting.failover[0].to',
      'W trafficPolicy.loadBalancer.zoneAwareLbSetting',
    ],
  },
  'failover without outlier detection': {
    spec: { host: 'a', trafficPolicy: { loadBalancer: { localityLbSetting: { failover: [{ from: 'x', to: 'y' }] } } } },
    found: ['W trafficPolicy.loadBalancer.localityLbSetting'],
  },
  tls: {
    spec: { host: 'a', trafficPolicy: { tls: { mode: 'MUTUAL', clientCertificate: '/c', caCertificates: '/ca' } } },
    found: ['E trafficPolicy.tls.privateKey'],
  },
  'tls without CA': { spec: { host: 'a', trafficPolicy: { tls: { mode: 'SIMPLE' } } }, found: ['W trafficPolicy.tls'] },
  'credential and files': {
    spec: { host: 'a', trafficPolicy: { tls: { mode: 'MUTUAL', credentialName: 'c', privateKey: '/k' } } },
    found: ['E trafficPolicy.tls.credentialName'],
  },
  tunnel: {
    spec: {
      host: 'a',
      trafficPolicy: {
        tunnel: { protocol: 'GET', targetHost: 'a b', targetPort: 0 },
        proxyProtocol: { version: 'V1' },
      },
    },
    found: [
      'E trafficPolicy',
      'E trafficPolicy.tunnel.protocol',
      'E trafficPolicy.tunnel.targetHost',
      'E trafficPolicy.tunnel.targetPort',
    ],
  },
  ports: {
    spec: {
      host: 'a',
      trafficPolicy: { portLevelSettings: [{ port: { number: 80 } }, { port: {}, tls: { mode: 'SIMPLE' } }] },
    },
    found: [
      'E trafficPolicy.portLevelSettings[0]',
      'E trafficPolicy.portLevelSettings[1].port.number',
      'W trafficPolicy.portLevelSettings[1].tls',
    ],
  },
  'workload selector': {
    spec: { host: 'a', workloadSelector: { matchLabels: { a: '*' } }, exportTo: ['other'] },
    found: ['E workloadSelector.matchLabels.a', 'S exportTo'],
  },
  'warm-up': {
    spec: {
      host: 'a',
      trafficPolicy: {
        loadBalancer: { simple: 'ROUND_ROBIN', warmup: { duration: '10s', minimumPercent: 20, aggression: 0 } },
      },
    },
    found: ['E trafficPolicy.loadBalancer.warmup.aggression'],
  },
});

const server = (more: object = {}) => ({ port: { number: 80, name: 'http', protocol: 'HTTP' }, hosts: ['*'], ...more });
const https = { number: 443, name: 'https', protocol: 'HTTPS' };

table('Gateway', {
  'a good one': {
    spec: {
      servers: [
        server(),
        { port: https, hosts: ['ns/a.com', './b.com'], tls: { mode: 'SIMPLE', credentialName: 'c' } },
      ],
    },
    found: [],
  },
  nothing: { spec: {}, found: ['E servers'] },
  'a name with dots': { name: 'a.b', spec: { servers: [server()] }, found: ['S metadata.name'] },
  hosts: {
    spec: {
      servers: [
        server({ hosts: [] }),
        { ...server({ hosts: ['a/b/c', 'x..y'] }), port: { number: 81, name: 'b', protocol: 'HTTP' } },
      ],
    },
    found: ['E servers[0].hosts', 'E servers[1].hosts[0]', 'E servers[1].hosts[1]'],
  },
  ports: {
    spec: { servers: [server({ port: { number: 0, name: '', protocol: 'SPDY' } })] },
    found: ['E servers[0].port.number', 'E servers[0].port.name', 'E servers[0].port.protocol'],
  },
  'equal port names': {
    spec: { servers: [server(), server({ port: { number: 81, name: 'http', protocol: 'HTTP' } })] },
    found: ['S servers[1].port.name'],
  },
  sockets: {
    spec: {
      servers: [
        server({ bind: 'unix:///x', port: { number: 80, name: 'a', protocol: 'HTTP' } }),
        server({ bind: 'host', port: { number: 80, name: 'b', protocol: 'HTTP' } }),
      ],
    },
    found: ['E servers[0].port.number', 'E servers[1].bind'],
  },
  'tls missing': { spec: { servers: [{ port: https, hosts: ['a'] }] }, found: ['E servers[0].tls'] },
  'tls on plain text': {
    spec: { servers: [server({ tls: { mode: 'SIMPLE', credentialName: 'c' } })] },
    found: ['E servers[0].tls'],
  },
  'redirect on plain text': { spec: { servers: [server({ tls: { httpsRedirect: true } })] }, found: [] },
  'no certificates': {
    spec: { servers: [{ port: https, hosts: ['a'], tls: { mode: 'MUTUAL' } }] },
    found: ['E servers[0].tls.caCertificates', 'E servers[0].tls.serverCertificate', 'E servers[0].tls.privateKey'],
  },
  'two sources': {
    spec: {
      servers: [
        {
          port: https,
          hosts: ['a'],
          tls: { mode: 'SIMPLE', credentialName: 'c', serverCertificate: '/c', privateKey: '/k' },
        },
      ],
    },
    found: ['E servers[0].tls'],
  },
  'ISTIO_MUTUAL with files': {
    spec: { servers: [{ port: https, hosts: ['a'], tls: { mode: 'ISTIO_MUTUAL', privateKey: '/k' } }] },
    found: ['E servers[0].tls.privateKey'],
  },
  'versions and ciphers': {
    spec: {
      servers: [
        {
          port: https,
          hosts: ['a'],
          tls: { mode: 'SIMPLE', credentialName: 'c', minProtocolVersion: 'TLSV1_0', cipherSuites: [] },
        },
        {
          port: { ...https, name: 'b' },
          hosts: ['b'],
          tls: { mode: 'SIMPLE', credentialName: 'c', cipherSuites: ['NULL', 'AES128-SHA', 'AES128-SHA'] },
        },
      ],
    },
    found: [
      'W servers[0].tls.minProtocolVersion',
      'W servers[1].tls.cipherSuites[0]',
      'W servers[1].tls.cipherSuites[2]',
    ],
  },
});

const port = { number: 80, name: 'http', protocol: 'HTTP' };

table('ServiceEntry', {
  'a good one': { spec: { hosts: ['a.com'], ports: [port], resolution: 'DNS' }, found: [] },
  hosts: { spec: { hosts: ['*'], ports: [port] }, found: ['E hosts[0]'] },
  'no hosts': { spec: { hosts: [], ports: [port] }, found: ['E hosts'] },
  'selector and endpoints': {
    spec: {
      hosts: ['a'],
      ports: [port],
      resolution: 'STATIC',
      workloadSelector: { labels: { a: 'b' } },
      endpoints: [{ address: '1.1.1.1' }],
    },
    found: ['E endpoints'],
  },
  ports: {
    spec: {
      hosts: ['a'],
      resolution: 'STATIC',
      ports: [port, { ...port, name: 'b' }, { number: 81, name: 'http', protocol: 'X' }],
    },
    found: ['E ports[2].protocol', 'E ports[1].number', 'E ports[2].name'],
  },
  addresses: {
    spec: { hosts: ['a.com'], ports: [port], resolution: 'DNS', addresses: ['10.0.0.0/8', 'x'] },
    found: ['E addresses[0]', 'E addresses[1]'],
  },
  'NONE with endpoints': {
    spec: { hosts: ['a'], ports: [port], endpoints: [{ address: '1.1.1.1' }] },
    found: ['E endpoints'],
  },
  'a bad static address': {
    spec: {
      hosts: ['a'],
      ports: [port],
      resolution: 'STATIC',
      endpoints: [{ address: 'a.com' }, { address: '1.1.1.1', ports: { other: 1 } }],
    },
    found: ['E endpoints[0].address', 'E endpoints[1].ports.other'],
  },
  sockets: {
    spec: {
      hosts: ['a'],
      ports: [port],
      resolution: 'STATIC',
      endpoints: [{ address: 'unix:///a' }, { address: 'unix://a', ports: { http: 1 } }],
    },
    found: ['E endpoints[1].address', 'E endpoints[1].ports'],
  },
  'DNS of a wildcard': { spec: { hosts: ['*.a.com'], ports: [port], resolution: 'DNS' }, found: ['E hosts[0]'] },
  'round robin': {
    spec: {
      hosts: ['a.com'],
      ports: [port],
      resolution: 'DNS_ROUND_ROBIN',
      endpoints: [{ address: 'b.com' }, { address: 'c.com' }],
    },
    found: ['E endpoints'],
  },
  'dynamic DNS': {
    spec: {
      hosts: ['a.com'],
      ports: [{ ...port, protocol: 'TCP' }],
      resolution: 'DYNAMIC_DNS',
      addresses: ['1.1.1.1'],
    },
    found: ['E hosts[0]', 'E addresses', 'E ports[0].protocol'],
  },
  'TCP without address': { spec: { hosts: ['a.com'], ports: [{ ...port, protocol: 'TCP' }] }, found: ['W ports[0]'] },
  'TCP with several hosts': {
    spec: { hosts: ['a.com', 'b.com'], ports: [{ ...port, protocol: 'TCP' }], resolution: 'DNS' },
    found: ['S hosts'],
  },
});

table('WorkloadEntry', {
  'a good one': { spec: { address: '10.0.0.1', ports: { http: 80 } }, found: [] },
  'no address': { spec: {}, found: ['E address'] },
  'behind a network': { spec: { network: 'n' }, found: ['W address'] },
  'a bad one': {
    spec: { address: '10.0.0.256', ports: { HTTP: 0 } },
    found: ['E address', 'E ports.HTTP', 'E ports.HTTP'],
  },
});

table('WorkloadGroup', {
  'a good one': { spec: { template: { serviceAccount: 'a' }, probe: { httpGet: { port: 80 } } }, found: [] },
  probes: { spec: { template: {}, probe: { periodSeconds: -1 } }, found: ['E probe', 'E probe.periodSeconds'] },
  'probe details': {
    spec: { template: {}, probe: { httpGet: { port: 0, scheme: 'http' } } },
    found: ['E probe.httpGet.port', 'E probe.httpGet.scheme'],
  },
});

table('Sidecar', {
  'a good one': {
    spec: { egress: [{ port: { number: 80, protocol: 'HTTP', name: 'a' }, hosts: ['./a'] }, { hosts: ['*/*'] }] },
    found: [],
  },
  nothing: { spec: {}, found: ['E '] },
  'egress hosts': {
    spec: { egress: [{ hosts: ['a', 'Ns/a', '*/*', '~/*'] }] },
    found: ['E egress[0].hosts[0]', 'E egress[0].hosts[1]', 'W egress[0].hosts'],
  },
  'the catch-all': { spec: { egress: [{ hosts: ['*/*'] }, { hosts: ['*/*'] }] }, found: ['E egress[0]'] },
  sockets: {
    spec: { egress: [{ port: { number: 0, protocol: 'HTTP', name: 'a' }, hosts: ['*/*'] }] },
    found: ['E egress[0].bind'],
  },
  ingress: {
    spec: {
      ingress: [
        { port: { number: 80, protocol: 'HTTP', name: 'a' }, defaultEndpoint: '10.0.0.1:80' },
        { port: { number: 80, protocol: 'HTTP', name: 'b' }, defaultEndpoint: '127.0.0.1:8080' },
      ],
    },
    found: ['E ingress[0].defaultEndpoint', 'E ingress[1].port.number'],
  },
  'ingress tls': {
    spec: {
      ingress: [
        {
          port: { number: 80, protocol: 'HTTP', name: 'a' },
          defaultEndpoint: ':80',
          tls: { mode: 'ISTIO_MUTUAL', credentialName: 'x' },
        },
      ],
    },
    found: [
      'E ingress[0].tls.credentialName',
      'E ingress[0].tls.mode',
      'E ingress[0].tls',
      'E ingress[0].tls.credentialName',
    ],
  },
  'egress proxy': {
    spec: { outboundTrafficPolicy: { mode: 'REGISTRY_ONLY', egressProxy: { host: 'a.com' } } },
    found: ['E outboundTrafficPolicy.egressProxy', 'E outboundTrafficPolicy.egressProxy.port'],
  },
});

table('AuthorizationPolicy', {
  'a good one': {
    spec: {
      action: 'DENY',
      rules: [
        {
          from: [{ source: { namespaces: ['a'] } }],
          to: [{ operation: { paths: ['/x'], ports: ['80'] } }],
          when: [{ key: 'request.headers[x]', values: ['1'] }],
        },
      ],
    },
    found: [],
  },
  'DENY without rules': { spec: { action: 'DENY' }, found: ['S rules'] },
  CUSTOM: {
    spec: {
      action: 'CUSTOM',
      rules: [{ from: [{ source: { principals: ['a'] } }], when: [{ key: 'request.auth.claims[x]', values: ['1'] }] }],
    },
    found: ['E provider.name', 'E rules[0].from[0].source.principals', 'E rules[0].when[0].key'],
  },
  'provider otherwise': { spec: { provider: { name: 'p' } }, found: ['E provider'] },
  'empty parts': {
    spec: { rules: [{ from: [], to: [{ operation: {} }] }, { from: [{}] }] },
    found: ['S rules[0].from', 'S rules[0].to[0].operation', 'E rules[1].from[0].source'],
  },
  values: {
    spec: {
      rules: [
        {
          from: [{ source: { ipBlocks: ['10.0.0.0/40', ''] } }],
          to: [{ operation: { ports: ['http'], paths: ['/a{*}', '/{**}/x', '/{*}/{**}'] } }],
        },
      ],
    },
    found: [
      'E rules[0].from[0].source.ipBlocks[1]',
      'E rules[0].from[0].source.ipBlocks[0]',
      'E rules[0].to[0].operation.ports[0]',
      'E rules[0].to[0].operation.paths[0]',
    ],
  },
  conditions: {
    spec: {
      rules: [
        {
          when: [
            { key: 'source.nothing', values: ['a'] },
            { key: 'source.ip' },
            { key: 'destination.port', values: ['0'] },
          ],
        },
      ],
    },
    found: ['E rules[0].when[0].key', 'E rules[0].when[1]', 'E rules[0].when[2].values[0]'],
  },
  'service accounts': {
    spec: { rules: [{ from: [{ source: { serviceAccounts: ['a/b/c'], principals: ['p'] } }] }] },
    found: ['E rules[0].from[0].source.serviceAccounts[0]', 'E rules[0].from[0].source'],
  },
  'dry run': {
    annotations: { 'istio.io/dry-run': 'yes' },
    spec: { action: 'AUDIT' },
    found: ['E metadata.annotations["istio.io/dry-run"]', 'E metadata.annotations["istio.io/dry-run"]'],
  },
  'HTTP-only DENY': {
    spec: { action: 'DENY', rules: [{ to: [{ operation: { methods: ['GET'] } }] }] },
    found: ['W rules[0]'],
  },
  targets: {
    spec: {
      selector: { matchLabels: { a: 'b' } },
      targetRefs: [
        { kind: 'Pod', name: 'p' },
        { group: 'gateway.networking.k8s.io', kind: 'Gateway', name: 'g', namespace: 'x' },
      ],
    },
    found: ['S ', 'E targetRefs[0].kind', 'S targetRefs[1].namespace'],
  },
});

table('RequestAuthentication', {
  'a good one': { spec: { jwtRules: [{ issuer: 'me', jwksUri: 'https://a.com:443/keys' }] }, found: [] },
  'nothing to verify': { spec: { jwtRules: [{}] }, found: ['E jwtRules[0].issuer'] },
  URLs: { spec: { jwtRules: [{ issuer: 'a', jwks_uri: 'ftp://x' }] }, found: ['E jwtRules[0].jwksUri'] },
  keys: {
    spec: {
      jwtRules: [
        { issuer: 'a', jwks: 'nonsense' },
        { issuer: 'b', jwks: '{"keys":[{"kty":"RSA","n":"x","e":"AQAB","d":"secret"}]}' },
      ],
    },
    found: ['E jwtRules[0].jwks', 'W jwtRules[1].jwks'],
  },
  places: {
    spec: {
      jwtRules: [
        {
          issuer: 'a',
          fromHeaders: [{ name: '' }],
          fromParams: [''],
          outputClaimToHeaders: [{ claim: '', header: 'a b' }],
        },
      ],
    },
    found: [
      'E jwtRules[0].fromParams[0]',
      'E jwtRules[0].fromHeaders[0].name',
      'E jwtRules[0].outputClaimToHeaders[0].claim',
      'E jwtRules[0].outputClaimToHeaders[0].header',
    ],
  },
});

table('PeerAuthentication', {
  'a good one': {
    spec: {
      selector: { matchLabels: { a: 'b' } },
      mtls: { mode: 'STRICT' },
      portLevelMtls: { 80: { mode: 'DISABLE' } },
    },
    found: [],
  },
  'ports without selector': { spec: { portLevelMtls: { 80: { mode: 'DISABLE' } } }, found: ['S portLevelMtls'] },
  'port range': {
    spec: { selector: { matchLabels: { a: 'b' } }, portLevelMtls: { 70000: { mode: 'DISABLE' }, x: {} } },
    found: ['E portLevelMtls["70000"]', 'E portLevelMtls.x'],
  },
});

const patch = (more: object) => ({
  configPatches: [{ applyTo: 'HTTP_FILTER', patch: { operation: 'INSERT_FIRST', value: { name: 'x' } }, ...more }],
});

table('EnvoyFilter', {
  'a good one': { spec: patch({ match: { context: 'GATEWAY' } }), found: [] },
  'missing parts': {
    spec: {
      configPatches: [{}, { applyTo: 'CLUSTER', patch: {} }, { applyTo: 'CLUSTER', patch: { operation: 'REMOVE' } }],
    },
    found: [
      'E configPatches[0].applyTo',
      'E configPatches[0].patch',
      'E configPatches[1].patch.operation',
      'E configPatches[1].patch.value',
    ],
  },
  'wrong match': { spec: patch({ match: { cluster: { name: 'x' } } }), found: ['E configPatches[0].match.cluster'] },
  'sub-filters': {
    spec: patch({
      applyTo: 'NETWORK_FILTER',
      match: { listener: { filterChain: { filter: { name: 'envoy.tcp_proxy', subFilter: {} } } } },
    }),
    found: [
      'W configPatches[0].match.listener.filterChain.filter.name',
      'E configPatches[0].match.listener.filterChain.filter.subFilter',
      'E configPatches[0].match.listener.filterChain.filter.name',
      'E configPatches[0].match.listener.filterChain.filter.subFilter.name',
    ],
  },
  version: {
    spec: patch({ match: { proxy: { proxyVersion: '1.(' } } }),
    found: ['E configPatches[0].match.proxy.proxyVersion'],
  },
  REPLACE: {
    spec: patch({ applyTo: 'CLUSTER', patch: { operation: 'REPLACE', value: {} } }),
    found: ['W configPatches[0].patch.operation'],
  },
});

table('Telemetry', {
  'a good one': {
    spec: {
      tracing: [
        { providers: [{ name: 'z' }], randomSamplingPercentage: 10, customTags: { a: { literal: { value: 'b' } } } },
      ],
      accessLogging: [{}],
    },
    found: [],
  },
  values: {
    spec: {
      tracing: [
        { providers: [{ name: '' }], randomSamplingPercentage: 101, customTags: { a: { header: { name: '' } } } },
      ],
      metrics: [
        { overrides: [{ tagOverrides: { x: { operation: 'UPSERT' }, y: { operation: 'REMOVE', value: 'v' } } }] },
      ],
      accessLogging: [{ filter: {} }],
    },
    found: [
      'E accessLogging[0].filter.expression',
      'E tracing[0].providers[0].name',
      'E tracing[0].randomSamplingPercentage',
      'E tracing[0].customTags.a.header.name',
      'E metrics[0].overrides[0].tagOverrides.x.value',
      'E metrics[0].overrides[0].tagOverrides.y.value',
    ],
  },
});

table('WasmPlugin', {
  'a good one': { spec: { url: 'oci://r/x:1', sha256: 'a'.repeat(64) }, found: [] },
  values: {
    spec: {
      url: 'ftp://x',
      sha256: 'ABC',
      vmConfig: { env: [{ name: 'A' }, { name: 'A', valueFrom: 'HOST', value: 'x' }] },
      match: [{ ports: [{ number: 0 }] }],
    },
    found: ['E url', 'E sha256', 'E vmConfig.env[1].value', 'S vmConfig.env[1].name', 'E match[0].ports[0].number'],
  },
});

table('TrafficExtension', {
  'a good one': { spec: { lua: { inlineCode: 'x' } }, found: [] },
  none: { spec: {}, found: ['E '] },
});

table('ProxyConfig', { negative: { spec: { concurrency: -1 }, found: ['E concurrency'] } });

table('Service', {
  'a good one': { spec: { clusterIP: '10.0.0.1', ports: [{ port: 80 }] }, found: [] },
  'headless without ports': { spec: { clusterIP: 'None' }, found: [] },
  values: {
    spec: {
      clusterIPs: ['10.0.0.999'],
      ports: [
        { port: 80, protocol: 'HTTP' },
        { port: 81, name: 'a' },
        { port: 81, name: 'a', targetPort: 70000 },
      ],
    },
    found: [
      'E clusterIPs[0]',
      'E ports[0].protocol',
      'E ports[0].name',
      'E ports[2].targetPort',
      'E ports[2].name',
      'E ports[2].port',
    ],
  },
  'external name': { spec: { type: 'ExternalName', externalName: 'a b' }, found: ['E externalName'] },
});

table('EndpointSlice', {
  'a good one': {
    labels: { 'kubernetes.io/service-name': 's' },
    spec: { addressType: 'IPv6', endpoints: [{ addresses: ['fd00::1'] }] },
    found: [],
  },
  'a bad address': {
    labels: { 'kubernetes.io/service-name': 's' },
    spec: { addressType: 'IPv4', endpoints: [{ addresses: ['10.0.0.1'] }, { addresses: ['fd00::1', '10.0.0.01'] }] },
    found: ['E endpoints[1].addresses[0]', 'E endpoints[1].addresses[1]'],
  },
  'no service': { spec: { addressType: 'IPv4', endpoints: [] }, found: ['I metadata.labels'] },
});

describe('any object that conforms to its schema', () => {
  it('is judged without a throw', () => {
    const kinds = KINDS.map(({ kind, group }) => ({ kind, apiVersion: group === '' ? 'v1' : `${group}/v1` }));
    const word = fc.constantFrom('', 'a', '*', '1.2.3.4', 'a/b', 'unix:///x', '(', '10s', '-1', 'ANY');
    const value = fc.letrec((tie) => ({
      any: fc.oneof(
        { maxDepth: 4 },
        word,
        fc.integer({ min: -2, max: 70000 }),
        fc.boolean(),
        fc.array(tie('any'), { maxLength: 3 }),
        fc.dictionary(
          fc.constantFrom(
            'hosts',
            'http',
            'route',
            'servers',
            'port',
            'tls',
            'match',
            'rules',
            'from',
            'source',
            'number',
            'name',
            'egress',
            'ports',
            'trafficPolicy',
            'subsets',
            'jwtRules',
            'configPatches',
            'patch',
          ),
          tie('any'),
          { maxKeys: 5 },
        ),
      ),
    })).any;
    fc.assert(
      fc.property(fc.constantFrom(...kinds), value, (kind, spec) => {
        for (const parsed of parseDocument({ ...kind, metadata: { name: 'a' }, spec }, { unknownFields: 'info' })) {
          if (parsed.kind !== 'object') continue;
          for (const finding of admission(parsed.object)) expect(finding.code).not.toBe('MEL0013');
        }
      }),
      { numRuns: 500 },
    );
  });
});
