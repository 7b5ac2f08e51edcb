import { describe, expect, it } from 'vitest';
import {
  authorizationPolicy,
  peerAuthentication,
  service,
  sidecar,
  telemetry,
  virtualService,
} from '../../support/builders.ts';
import { world } from '../../support/snapshot-builders.ts';
import { type Filter, listenerFilterNames, listenerNamed, listening, told } from './support.ts';

const app = { selector: { app: 'web' } };
const me = { labels: { app: 'web' } };
const H3 = 'istio-http/1.0+istio-http/1.1+istio-h2';
const A5 = `istio+istio-peer-exchange+${H3}`;
const MX = 'istio-peer-exchange+istio';
const PLAIN = 'http/1.1+h2c';

function inbound(objects: Parameters<typeof world>[0], options: Parameters<typeof listening>[1] = me) {
  return listenerNamed(listening(world(objects), options).drafts, 'virtualInbound');
}

function chainsOfPort(port: number, objects: Parameters<typeof world>[0]): readonly string[] {
  return told(inbound(objects)).filter((line) => line.startsWith(`:${port} `));
}

describe('the chains of a port by protocol and mTLS mode', () => {
  const mode = (text: 'STRICT' | 'PERMISSIVE' | 'DISABLE') => peerAuthentication('p', { mtls: { mode: text } });
  const route = 'routes inbound|7||';
  const tcp = 'inbound|7||';

  it.each([
    ['http', 'STRICT', [`tls -> tls ${route}`]],
    ['http', 'PERMISSIVE', [`tls ${A5} -> tls ${route}`, `raw_buffer -> ${route}`]],
    ['http', 'DISABLE', [`raw_buffer -> ${route}`]],
    ['tcp', 'STRICT', [`tls -> tls ${tcp}`]],
    ['tcp', 'PERMISSIVE', [`tls ${A5} -> tls ${tcp}`, `tls -> ${tcp}`, `raw_buffer -> ${tcp}`]],
    ['tcp', 'DISABLE', [`raw_buffer -> ${tcp}`]],
    ['x', 'STRICT', [`tls ${H3} -> tls ${route}`, `tls -> tls ${tcp}`]],
    [
      'x',
      'PERMISSIVE',
      [
        `tls ${H3} -> tls ${route}`,
        `raw_buffer ${PLAIN} -> ${route}`,
        `tls ${MX} -> tls ${tcp}`,
        `raw_buffer -> ${tcp}`,
        `tls -> ${tcp}`,
      ],
    ],
    ['x', 'DISABLE', [`raw_buffer ${PLAIN} -> ${route}`, `raw_buffer -> ${tcp}`]],
  ] as const)('%s, %s', (name, text, expected) => {
    const lines = chainsOfPort(7, [service('web', { ...app, ports: [`${name}:7`] }), mode(text)]);
    expect(lines).toEqual(expected.map((line) => `:7 ${line}`));
  });

  it('follows the mode of the target port', () => {
    const policy = peerAuthentication('p', {
      selector: { matchLabels: { app: 'web' } },
      mtls: { mode: 'STRICT' },
      portLevelMtls: { 8080: { mode: 'DISABLE' }, 9999: { mode: 'DISABLE' } },
    });
    const listener = inbound([service('web', { ...app, ports: ['http:80:8080'] }), policy]);
    const lines = told(listener);
    expect(lines).toContain(':8080 raw_buffer -> routes inbound|8080||');
    expect(lines).toContain(':9999 raw_buffer -> InboundPassthroughCluster');
    expect(lines).toContain('tls -> tls InboundPassthroughCluster');
  });
});

it('looks into the bytes of ports that need it only', () => {
  const strict = peerAuthentication('p', {
    selector: { matchLabels: { app: 'web' } },
    mtls: { mode: 'STRICT' },
    portLevelMtls: { 7: { mode: 'DISABLE' } },
  });
  const listener = inbound([service('web', { ...app, ports: ['tcp:7'] }), strict]);
  expect(listenerFilterNames(listener)).toEqual(['original_dst', 'tls_inspector']);
  expect(listener.listenerFilters?.[1]).toMatchObject({
    filterDisabled: {
      orMatch: { rules: [{ destinationPortRange: { start: 7, end: 8 } }, { destinationPortRange: { start: 15006 } }] },
    },
  });
});

it('gives a target port to the oldest service and says who lost it', () => {
  const objects = [
    service('young', { ...app, ports: ['tcp:81:8080'], created: 2 }),
    service('old', { ...app, ports: ['http:80:8080'], created: 1 }),
  ];
  expect(chainsOfPort(8080, objects)).toContain(':8080 raw_buffer -> routes inbound|8080||');
  const draft = listening(world(objects), me).drafts.find(({ name }) => name === 'virtualInbound');
  const young = draft?.origins.find(({ name }) => name === 'young');
  expect(young?.lost).toBe('target port 8080 is taken by old.default.svc.cluster.local');
});

it('is not touched by VirtualServices', () => {
  const own = service('web', { ...app, ports: ['http:80'] });
  const routes = virtualService('web', {
    hosts: ['web'],
    http: [{ timeout: '1s', route: [{ destination: { host: 'web' } }] }],
  });
  expect(inbound([own, routes])).toEqual(inbound([own]));
});

it('retries what the application has not seen, but never gRPC', () => {
  const text = (port: string) =>
    JSON.stringify(inbound([service('web', { ...app, ports: [port] })]).filterChains?.at(-1));
  expect(text('http:80')).toContain('reset-before-request');
  expect(text('grpc:80')).not.toContain('reset-before-request');
  expect(text('grpc:80')).toContain('"http2ProtocolOptions":{}');
});

describe('ingress listeners of a Sidecar', () => {
  const listed = (ingress: NonNullable<Parameters<typeof sidecar>[1]['ingress']>) => [
    service('web', { ...app, ports: ['http:80:8080'] }),
    sidecar('web', { workloadSelector: { labels: { app: 'web' } }, ingress }),
  ];

  it('take the place of the service ports', () => {
    const lines = told(
      inbound(listed([{ port: { number: 9080, protocol: 'HTTP', name: 'x' }, defaultEndpoint: '127.0.0.1:8080' }]), {
        ...me,
        ip: '10.0.0.5',
      }),
    );
    expect(lines.filter((line) => /^:(9080|8080) /.test(line))).toEqual([
      `:9080 tls ${A5} -> tls routes inbound|9080||`,
      ':9080 raw_buffer -> routes inbound|9080||',
    ]);
  });

  it('bind a port of their own where they are told to', () => {
    const objects = listed([
      { port: { number: 9080, protocol: 'TCP', name: 'x' }, bind: '127.0.0.9', captureMode: 'NONE' },
    ]);
    const { drafts } = listening(world(objects), { ...me, ip: '10.0.0.5' });
    const listener = listenerNamed(drafts, '127.0.0.9_9080');
    expect(told(listener)).toEqual([
      `:9080 tls ${A5} -> tls inbound|9080||`,
      ':9080 tls -> inbound|9080||',
      ':9080 raw_buffer -> inbound|9080||',
    ]);
    expect(listenerFilterNames(listener)).toEqual(['tls_inspector']);
    expect(listener.bindToPort).toBeUndefined();
  });
});

it('has nothing in mode NONE without ingress listeners', () => {
  const { drafts } = listening(world([service('web', { ...app })]), { ...me, metadata: { INTERCEPTION_MODE: 'NONE' } });
  expect(drafts.map(({ name }) => name)).not.toContain('virtualInbound');
});

it('keeps the client address under TPROXY', () => {
  const listener = inbound([], { ...me, metadata: { INTERCEPTION_MODE: 'TPROXY' } });
  expect(listener.transparent).toBe(true);
  expect(listenerFilterNames(listener).slice(0, 2)).toEqual(['original_dst', 'original_src']);
});

it('lists every policy among its origins', () => {
  const objects = [
    service('web', app),
    peerAuthentication('mtls', { mtls: { mode: 'STRICT' } }),
    authorizationPolicy('deny', { action: 'DENY', rules: [{}] }),
    telemetry('logs', { accessLogging: [{ providers: [{ name: 'envoy' }] }] }),
  ];
  const draft = listening(world(objects), me).drafts.find(({ name }) => name === 'virtualInbound');
  expect(draft?.origins.map(({ kind, name }) => `${kind}/${name}`)).toEqual([
    'AuthorizationPolicy/deny',
    'PeerAuthentication/mtls',
    'Service/web',
    'Telemetry/logs',
  ]);
});

it('authorizes every chain but the guard', () => {
  const listener = inbound([
    service('web', { ...app, ports: ['http:80', 'tcp:90'] }),
    authorizationPolicy('all', { action: 'DENY', rules: [{}] }),
  ]);
  const guarded = (listener.filterChains as readonly { name: string; filters: readonly Filter[] }[]).map(
    ({ name, filters }) => [
      name.replace(/^virtualInbound-catchall-http$/, 'http').replace(/^virtualInbound$/, 'tcp'),
      JSON.stringify(filters).includes('.rbac"'),
    ],
  );
  expect(guarded.filter(([, has]) => has === false)).toEqual([['virtualInbound-blackhole', false]]);
});
