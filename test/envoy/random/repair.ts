// What fields need of each other, so that most random objects are valid: a schema can't say it.

import type { Dice } from './dice.ts';
import { HOSTS, PORTS, TEXTS } from './values.ts';

type Json = Record<string, unknown>;

export function repair(kind: string, spec: Json, dice: Dice): Json {
  REPAIRS[kind]?.(spec, dice);
  return spec;
}

const REPAIRS: Readonly<Record<string, (spec: Json, dice: Dice) => void>> = {
  VirtualService: (spec, dice) => {
    spec['hosts'] ??= [dice.of(HOSTS)];
    if (dice.chance(40)) delete spec['gateways'];
    if (((spec['gateways'] as string[] | undefined) ?? ['mesh']).includes('mesh'))
      spec['hosts'] = (spec['hosts'] as string[]).filter((host) => host !== '*');
    if ((spec['hosts'] as string[]).length === 0) spec['hosts'] = [dice.of(HOSTS)];
    spec['http'] ??= [{}];
    for (const rule of listOf(spec['http'])) repairHttp(rule, dice);
    for (const part of ['tcp', 'tls'])
      for (const rule of listOf(spec[part])) rule['route'] = destinations(rule['route'], dice);
    if (dice.chance(70)) {
      delete spec['tcp'];
      delete spec['tls'];
    }
  },
  DestinationRule: (spec, dice) => {
    spec['host'] ??= dice.of(HOSTS);
    for (const policy of [spec, ...listOf(spec['subsets'])].flatMap((part) => objectsOf(part['trafficPolicy']))) {
      repairPolicy(policy, dice);
      for (const port of listOf(policy['portLevelSettings'])) {
        port['port'] = { number: dice.of(PORTS) };
        repairPolicy(port, dice);
      }
    }
    spec['subsets'] = listOf(spec['subsets']).filter(
      ({ name }, index, all) => all.findIndex((other) => other['name'] === name) === index,
    );
  },
  Gateway: (spec, dice) => {
    if (dice.chance(80)) spec['selector'] = { istio: 'ingressgateway' };
    spec['servers'] ??= [{}];
    for (const [index, server] of listOf(spec['servers']).entries()) repairServer(server, index, dice);
  },
  ServiceEntry: (spec, dice) => {
    spec['hosts'] ??= [dice.of(TEXTS['ServiceEntry hosts[]'] ?? HOSTS)];
    const ports = listOf(spec['ports'] ?? [{}]);
    spec['ports'] = ports.map((port, index) => ({
      ...port,
      ...{
        number: PORTS[(dice.below(3) + index * 3) % PORTS.length],
        name: `${dice.of(['http', 'tcp', 'tls', 'grpc'])}-${index}`,
      },
    }));
    if (dice.chance(60)) delete spec['workloadSelector'];
    if (spec['workloadSelector'] !== undefined) delete spec['endpoints'];
    if (dice.chance(70)) spec['resolution'] = dice.of(['NONE', 'STATIC', 'DNS', 'DNS_ROUND_ROBIN', 'DYNAMIC_DNS']);
    const resolution = spec['resolution'] ?? 'NONE';
    if (resolution === 'NONE' || resolution === 'DYNAMIC_DNS') delete spec['endpoints'];
    if (resolution === 'DYNAMIC_DNS') spec['hosts'] = ['*.wild.example'];
    for (const endpoint of listOf(spec['endpoints'])) repairEndpoint(endpoint, String(resolution), dice);
    if (resolution === 'DNS' || resolution === 'DNS_ROUND_ROBIN')
      spec['hosts'] = (spec['hosts'] as string[]).map((host) => host.replace('*', 'star'));
  },
  WorkloadEntry: (spec, dice) => {
    repairEndpoint(spec, 'STATIC', dice);
    spec['address'] ??= '10.3.0.9';
  },
  Sidecar: (spec, dice) => {
    if (spec['workloadSelector'] !== undefined)
      spec['workloadSelector'] = { labels: { app: dice.of(['web', 'client']) } };
    for (const [index, listener] of listOf(spec['ingress']).entries()) {
      listener['port'] = {
        number: PORTS[(index + dice.below(3)) % PORTS.length],
        name: `p-${index}`,
        protocol: dice.of(['HTTP', 'TCP', 'GRPC']),
      };
      if (String(listener['bind'] ?? '').startsWith('unix')) delete listener['bind'];
      delete listener['tls'];
      delete listener['captureMode'];
    }
    for (const [index, listener] of listOf(spec['egress']).entries()) {
      listener['hosts'] ??= ['*/*'];
      if (index === listOf(spec['egress']).length - 1) delete listener['port'];
      if (listener['port'] === undefined) {
        delete listener['bind'];
        delete listener['captureMode'];
      } else {
        listener['port'] = {
          number: 9000 + index,
          name: `e-${index}`,
          protocol: dice.of(['HTTP', 'TCP', 'HTTP_PROXY', 'TLS']),
        };
        if (String(listener['bind'] ?? '').startsWith('unix')) delete listener['bind'];
      }
    }
  },
  PeerAuthentication: (spec, dice) => {
    if (spec['portLevelMtls'] !== undefined) spec['selector'] = { matchLabels: { app: dice.of(['web', 'client']) } };
  },
  RequestAuthentication: (spec, dice) => {
    for (const rule of listOf(spec['jwtRules'])) {
      rule['issuer'] ??= 'https://issuer.example';
      if (dice.chance(60)) rule['jwks'] = TEXTS['jwks']?.[1];
      if (rule['jwks'] !== undefined) delete rule['jwksUri'];
      for (const claim of listOf(rule['outputClaimToHeaders']))
        Object.assign(claim, { header: 'x-claim', claim: dice.of(['sub', 'a.b']) });
    }
  },
  AuthorizationPolicy: (spec, dice) => {
    if (spec['action'] === 'CUSTOM') {
      spec['provider'] = { name: dice.of(['authz-http', 'authz-grpc', 'missing']) };
      spec['rules'] ??= [{}];
    } else delete spec['provider'];
    if (spec['selector'] !== undefined)
      spec['selector'] = { matchLabels: { app: dice.of(['web', 'client', 'front']) } };
    for (const rule of listOf(spec['rules'])) {
      for (const from of listOf(rule['from'])) from['source'] = nonEmpty(from['source'], { namespaces: ['shop'] });
      for (const to of listOf(rule['to'])) to['operation'] = nonEmpty(to['operation'], { methods: ['GET'] });
      for (const condition of listOf(rule['when'])) {
        if (condition['values'] === undefined && condition['notValues'] === undefined) condition['values'] = ['a'];
        const pool = VALUES[String(condition['key'])];
        if (pool === undefined) continue;
        for (const field of ['values', 'notValues'])
          if (condition[field] !== undefined) condition[field] = [dice.of(pool)];
      }
    }
  },
  Telemetry: (spec, dice) => {
    if (dice.chance(50)) delete spec['selector'];
    for (const tracing of listOf(spec['tracing'])) {
      const tags = (tracing['customTags'] ?? {}) as Record<string, Json>;
      for (const tag of Object.keys(tags)) tags[tag] = dice.of(TAGS);
    }
  },
  TrafficExtension: (spec) => {
    spec['lua'] ??= { inlineCode: 'function envoy_on_request(h) end' };
  },
};

const TAGS: readonly Json[] = [
  { literal: { value: 'a' } },
  { header: { name: 'x-a', defaultValue: 'b' } },
  { environment: { name: 'HOME' } },
  { formatter: { value: '%REQ(:METHOD)%' } },
];

const VALUES: Readonly<Record<string, readonly string[]>> = {
  'source.ip': ['10.0.0.0/8', '192.0.2.1'],
  'remote.ip': ['10.0.0.0/8', '2001:db8::/32'],
  'destination.ip': ['10.0.0.0/8'],
  'destination.port': ['80', '8080'],
  'source.serviceAccount': ['web', 'shop/web'],
};

function listOf(value: unknown): Json[] {
  return Array.isArray(value) ? (value as Json[]) : [];
}

function objectsOf(value: unknown): Json[] {
  return typeof value === 'object' && value !== null ? [value as Json] : [];
}

function nonEmpty(value: unknown, otherwise: Json): unknown {
  return typeof value === 'object' && value !== null && Object.keys(value).length > 0 ? value : otherwise;
}

/** One or two destinations with weights that count. */
function destinations(value: unknown, dice: Dice): Json[] {
  const list = listOf(value).length === 0 ? [{}] : listOf(value).slice(0, 2);
  const several = list.length > 1;
  return list.map((to, index) => ({
    ...to,
    destination: { host: dice.of(HOSTS), ...((to['destination'] ?? {}) as Json) },
    ...(several ? { weight: index === 0 ? 70 : 30 } : {}),
  }));
}

const FORWARDING = [
  'fault',
  'rewrite',
  'mirror',
  'mirrors',
  'mirrorPercentage',
  'mirrorPercent',
  'retries',
  'timeout',
  'corsPolicy',
];

function repairHttp(rule: Json, dice: Dice): void {
  const action = dice.of(['route', 'route', 'route', 'redirect', 'directResponse']);
  for (const other of ['route', 'redirect', 'directResponse']) if (other !== action) delete rule[other];
  if (action === 'route') rule['route'] = destinations(rule['route'], dice);
  else for (const field of FORWARDING) delete rule[field];
  if (action === 'redirect') rule['redirect'] = nonEmpty(rule['redirect'], { uri: '/x' });
  if (action === 'directResponse')
    rule['directResponse'] = { status: 418, body: { string: 'short' }, ...((rule['directResponse'] ?? {}) as Json) };
  if (rule['mirror'] !== undefined) delete rule['mirrors'];
  delete rule['mirrorPercent'];
  for (const mirror of listOf(rule['mirrors'])) mirror['destination'] = { host: dice.of(HOSTS) };
  const rewrite = rule['rewrite'] as Json | undefined;
  if (rewrite !== undefined) {
    if (rewrite['uriRegexRewrite'] !== undefined) {
      delete rewrite['uri'];
      rewrite['uriRegexRewrite'] = { match: '/a(.*)', rewrite: '/\\1', ...(rewrite['uriRegexRewrite'] as Json) };
    } else rewrite['uri'] ??= '/b';
  }
  const { delay, abort } = (rule['fault'] ?? {}) as Readonly<Record<string, Json | undefined>>;
  if (delay !== undefined)
    rule['fault'] = {
      ...(rule['fault'] as Json),
      delay: { fixedDelay: '1s', percentage: { value: dice.of([0, 0.1, 100]) } },
    };
  if (abort !== undefined)
    rule['fault'] = {
      ...(rule['fault'] as Json),
      abort: {
        ...(dice.chance(50) ? { httpStatus: 503 } : { grpcStatus: 'UNAVAILABLE' }),
        percentage: { value: dice.of([0, 1, 50]) },
      },
    };
  const cors = rule['corsPolicy'] as Json | undefined;
  if (cors !== undefined) cors['allowMethods'] = dice.some(['GET', 'POST', 'OPTIONS', '*']);
  for (const match of listOf(rule['match']))
    for (const name of ['uri', 'scheme', 'method', 'authority'])
      if (Object.keys((match[name] ?? { x: 1 }) as Json).length === 0) delete match[name];
}

function repairPolicy(policy: Json, dice: Dice): void {
  if (policy['tunnel'] !== undefined) {
    policy['tunnel'] = {
      protocol: dice.of(['CONNECT', 'POST']),
      targetHost: dice.of(TEXTS['targetHost'] ?? []),
      targetPort: 443,
    };
    delete policy['proxyProtocol'];
  }
  const tls = policy['tls'] as Json | undefined;
  if (tls !== undefined) repairClientTls(tls, dice);
  const balancer = policy['loadBalancer'] as Json | undefined;
  if (balancer !== undefined) {
    delete balancer['zoneAwareLbSetting'];
    const hash = balancer['consistentHash'] as Json | undefined;
    if (
      hash !== undefined &&
      !['httpHeaderName', 'httpCookie', 'useSourceIp', 'httpQueryParameterName'].some((name) => name in hash)
    )
      hash['useSourceIp'] = true;
    if (hash !== undefined) delete balancer['warmup'];
    const locality = balancer['localityLbSetting'] as Json | undefined;
    if (locality !== undefined) {
      if (dice.chance(50)) {
        for (const part of listOf(locality['distribute']))
          Object.assign(part, { from: dice.of(['west/*', '*']), to: { 'west/*': 80, 'east/*': 20 } });
        delete locality['failover'];
      } else {
        delete locality['distribute'];
        for (const part of listOf(locality['failover'])) Object.assign(part, { from: 'west', to: 'east' });
      }
    }
  }
  if (dice.chance(50)) delete balancer?.['warmup'];
}

function repairClientTls(tls: Json, dice: Dice): void {
  tls['mode'] ??= 'SIMPLE';
  if (tls['mode'] === 'MUTUAL' && dice.chance(50)) {
    delete tls['credentialName'];
    Object.assign(tls, { clientCertificate: '/etc/certs/cert.pem', privateKey: '/etc/certs/key.pem' });
  } else {
    for (const field of ['clientCertificate', 'privateKey']) delete tls[field];
    if (tls['mode'] === 'MUTUAL') tls['credentialName'] = 'front-cert';
  }
  if (tls['mode'] === 'ISTIO_MUTUAL' || tls['mode'] === 'DISABLE' || tls['credentialName'] !== undefined)
    for (const field of ['caCertificates', 'caCrl']) delete tls[field];
  if (tls['mode'] === 'ISTIO_MUTUAL') delete tls['credentialName'];
  if (tls['insecureSkipVerify'] === true)
    for (const field of ['caCertificates', 'subjectAltNames', 'caCrl']) delete tls[field];
}

function repairServer(server: Json, index: number, dice: Dice): void {
  const protocol = dice.of(['HTTP', 'HTTP', 'HTTPS', 'HTTPS', 'TLS', 'TCP', 'GRPC']);
  server['port'] = { number: dice.of(PORTS), name: `s-${index}`, protocol };
  server['hosts'] ??= ['*'];
  if (protocol === 'TCP') server['hosts'] = ['*'];
  for (const field of ['bind', 'defaultEndpoint', 'name']) if (dice.chance(70)) delete server[field];
  if (String(server['bind'] ?? '').startsWith('unix')) delete server['bind'];
  if (protocol !== 'HTTPS' && protocol !== 'TLS') {
    delete server['tls'];
    if (protocol === 'HTTP' && dice.chance(30)) server['tls'] = { httpsRedirect: true };
    return;
  }
  const tls = { ...((server['tls'] ?? {}) as Json) };
  server['tls'] = tls;
  delete tls['httpsRedirect'];
  delete tls['tlsCertificates'];
  const mode = String(
    (tls['mode'] ??= dice.of([
      'SIMPLE',
      'MUTUAL',
      'OPTIONAL_MUTUAL',
      'ISTIO_MUTUAL',
      'PASSTHROUGH',
      'AUTO_PASSTHROUGH',
    ])),
  );
  const files = [
    'serverCertificate',
    'privateKey',
    'caCertificates',
    'caCrl',
    'credentialName',
    'credentialNames',
    'caCertCredentialName',
  ];
  for (const field of files) delete tls[field];
  if (mode === 'ISTIO_MUTUAL' || mode.endsWith('PASSTHROUGH')) return;
  if (dice.chance(70)) tls['credentialName'] = dice.of(TEXTS['credentialName'] ?? []);
  else {
    Object.assign(tls, { serverCertificate: '/etc/certs/cert.pem', privateKey: '/etc/certs/key.pem' });
    if (mode !== 'SIMPLE') tls['caCertificates'] = '/etc/certs/ca.pem';
  }
}

function repairEndpoint(endpoint: Json, resolution: string, dice: Dice): void {
  if (resolution === 'STATIC')
    endpoint['address'] = dice.of(['10.3.0.1', 'fd00::31', '192.0.2.9', 'unix:///var/run/peer.sock']);
  else endpoint['address'] = dice.of(['far.example', '10.3.0.1']);
  if (String(endpoint['address']).startsWith('unix')) delete endpoint['ports'];
  if (endpoint['weight'] !== undefined) endpoint['weight'] = dice.of([1, 10, 128]);
}
