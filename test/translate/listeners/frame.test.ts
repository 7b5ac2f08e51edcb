// Listeners that come from templates of many workloads are the bytes of those that are rendered for one.

import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { keptOf } from '../../../src/codec/lasting.ts';
import type { ConfigObject } from '../../../src/config/object.ts';
import type { Prepared } from '../../../src/messages/index.ts';
import { inboundContext } from '../../../src/translate/context.ts';
import { workloadGround } from '../../../src/translate/ground.ts';
import { gatewayListeners } from '../../../src/translate/gateway/listeners.ts';
import { inboundListeners } from '../../../src/translate/listeners/index.ts';
import { inboundTemplate } from '../../../src/translate/listeners/plain-inbound.ts';
import { httpTemplate } from '../../../src/translate/listeners/plain-listener.ts';
import { encodedRules } from '../../../src/translate/security/encoded-rules.ts';
import {
  authorizationPolicy,
  gateway,
  peerAuthentication,
  requestAuthentication,
  service,
  serviceEntry,
  telemetry,
} from '../../support/builders.ts';
import { linkOf, type ProxyOptions, proxy, scopeFor, world } from '../../support/snapshot-builders.ts';
import { listening } from './support.ts';

const app = { selector: { app: 'web' } };
const ports = ['http:80', 'tcp:90', 'x:100', 'grpc:110', 'https:120', 'mongo:130', 'grpc-web:140'];
const OBJECTS = [
  service('web', { ...app, ports: ports.slice(0, 4), clusterIPs: ['10.96.0.1'] }),
  service('other', { ports: ['http:80', 'tcp:90', 'x:100'], clusterIPs: ['10.96.0.2'] }),
  serviceEntry('out', {
    hosts: ['out.example'],
    resolution: 'STATIC',
    ports: ports.map((text) => ({ number: Number(text.split(':')[1]) + 1, name: text.replace(':', '-') })),
  }),
];

/** Says nothing, but speaks of traces, with which listeners are rendered for their workload alone. */
const silent = (spec: Parameters<typeof telemetry>[1] = {}) =>
  telemetry('all', { ...spec, tracing: [] }, { namespace: 'istio-system' });

const root = { namespace: 'istio-system' };
const LOGS = { accessLogging: [{ providers: [{ name: 'envoy' }] }] };
const RULES = [{ from: [{ source: { namespaces: ['a'] } }], to: [{ operation: { methods: ['GET'] } }] }];

/** What a mesh says of all workloads, and the same with what has each rendered by itself. */
const POLICIES: readonly { readonly said: readonly ConfigObject[]; readonly alone: readonly ConfigObject[] }[] = [
  { said: [], alone: [silent()] },
  ...[
    [authorizationPolicy('all', { rules: RULES }, root)],
    [
      authorizationPolicy('all', { action: 'DENY', rules: RULES }, root),
      requestAuthentication('all', { jwtRules: [{ issuer: 'i', jwks: '{"keys":[]}' }] }, root),
    ],
  ].map((said) => ({ said, alone: [...said, silent()] })),
  { said: [telemetry('all', LOGS, root)], alone: [silent(LOGS)] },
];

const optional = <T>(value: fc.Arbitrary<T>) => fc.option(value, { nil: undefined });
const flag = optional(fc.constantFrom('true', '1'));

/** Everything that a proxy says of itself and listeners may show. */
const proxies: fc.Arbitrary<ProxyOptions> = fc
  .record({
    namespace: fc.constantFrom('default', 'shop', 'a-much-longer-namespace'),
    ips: fc.constantFrom(['10.0.0.1'], ['10.0.0.1', 'fd00::1'], ['fd00::1']),
    revision: optional(fc.constantFrom('v1', 'v2-long')),
    metadata: fc.record(
      {
        HTTP10: flag,
        IDLE_TIMEOUT: optional(fc.constantFrom('5s', '1h')),
        DNS_CAPTURE: flag,
        HTTP_PROXY_PORT: optional(fc.constantFrom('15080')),
        UNPRIVILEGED_POD: flag,
        INBOUND_LISTENER_EXACT_BALANCE: flag,
        OUTBOUND_LISTENER_EXACT_BALANCE: flag,
        TLS_SERVER_CERT_CHAIN: optional(fc.constant('/etc/chain.pem')),
        TLS_SERVER_KEY: optional(fc.constant('/etc/key.pem')),
        TLS_SERVER_ROOT_CERT: optional(fc.constant('/etc/root.pem')),
        MELTEMI_AGENTLESS: flag,
        MESH_ID: optional(fc.constantFrom('mesh', 'other-mesh')),
        CLUSTER_ID: optional(fc.constantFrom('', 'Kubernetes')),
        INTERCEPTION_MODE: optional(fc.constantFrom('TPROXY', 'NONE')),
        ENVOY_STATUS_PORT: optional(fc.constant('15021')),
        PROXY_CONFIG: optional(
          fc.constantFrom(
            { tracing: { sampling: 7, maxPathTagLength: 9, customTags: { a: { literal: { value: 'b' } } } } },
            { tracing: { enableIstioTags: false }, proxyHeaders: { server: { disabled: true } } },
            { proxyHeaders: { attemptCount: { disabled: true }, preserveHttp1HeaderCase: true } },
            { gatewayTopology: { numTrustedProxies: 2, forwardClientCertDetails: 'SANITIZE' } },
            { connectionSettings: { profile: 'EDGE' } },
          ),
        ),
      },
      { requiredKeys: [] },
    ),
  })
  .map(({ revision, ...rest }) => {
    const canonical = revision === undefined ? {} : { 'service.istio.io/canonical-revision': revision };
    return { ...rest, labels: { app: 'web', 'service.istio.io/canonical-name': 'web', ...canonical } };
  });

const MESHES = [
  {},
  { protocolDetectionTimeout: '5s', accessLogFile: '/dev/stdout', outboundTrafficPolicy: { mode: 'REGISTRY_ONLY' } },
  { outboundTrafficPolicy: { mode: 'ALLOW_ANY_DYNAMIC_DNS' }, pathNormalization: { normalization: 'MERGE_SLASHES' } },
  { enableTracing: false, defaultInboundHttpRetryPolicy: { attempts: 7 }, meshMTLS: { minProtocolVersion: 'TLSV1_3' } },
];

const gateways = [
  gateway('g', {
    selector: { app: 'web' },
    servers: [
      { port: { number: 80, name: 'http', protocol: 'HTTP' }, hosts: ['a.example'] },
      {
        port: { number: 443, name: 'https', protocol: 'HTTPS' },
        hosts: ['b.example'],
        tls: { mode: 'SIMPLE', credentialName: 'c' },
      },
    ],
  }),
];

const worlds = MESHES.flatMap((mesh) =>
  [undefined, 'STRICT', 'DISABLE'].flatMap((mode) => {
    const own = mode === undefined ? [] : [peerAuthentication('p', { mtls: { mode: mode as 'STRICT' } })];
    const at = (more: readonly ConfigObject[]) => world([...OBJECTS, ...own, ...gateways, ...more], { mesh });
    return POLICIES.map(({ said, alone }) => ({ framed: at(said), alone: at(alone) }));
  }),
);

const bytesByName = (drafts: readonly { readonly name: string; readonly bytes: Uint8Array }[]) =>
  new Map(drafts.map(({ name, bytes }) => [name, Buffer.from(bytes).toString('base64')]));

describe('a workload that differs from others by names alone', () => {
  it('has the listeners that it would have by itself', () => {
    fc.assert(
      fc.property(fc.nat(worlds.length - 1), proxies, (index, options) => {
        const { framed, alone } = worlds[index] as (typeof worlds)[number];
        // Frames of workloads with policies begin with the second of them.
        const other = { ...options, namespace: 'other', labels: { app: 'other' } };
        listening(framed, other);
        gatewayListeners(scopeFor(framed, { ...other, type: 'router', labels: options.labels ?? {} }));
        expect(bytesByName(listening(framed, options).drafts)).toEqual(bytesByName(listening(alone, options).drafts));
        const router = { ...options, type: 'router' as const };
        expect(bytesByName(gatewayListeners(scopeFor(framed, router)))).toEqual(
          bytesByName(gatewayListeners(scopeFor(alone, router))),
        );
      }),
      { numRuns: 120 },
    );
  });

  it('has them from the templates of others, whatever else of the mesh configuration has changed', () => {
    const of = (name: string, more = {}) => {
      const mesh = { accessLogFile: '/dev/stdout', ...more };
      listening(world([service(name, { selector: { app: name }, ports: ['http:8123'] })], { mesh }), {
        namespace: `${name}s`,
        labels: { app: name, 'service.istio.io/canonical-name': name },
      });
    };
    of('first');
    const runs = (): number => inboundTemplate.counts.runs + httpTemplate.counts.runs;
    const before = runs();
    of('second');
    of('third', { extensionProviders: [{ name: 'log', envoyFileAccessLog: { path: '/dev/stdout' } }] });
    expect(runs()).toBe(before);
    of('fourth', { protocolDetectionTimeout: '7s' });
    expect(runs()).toBeGreaterThan(before);
  });
});

describe('workloads of one policy', () => {
  it('have their listeners from one template, from the second on', () => {
    const policy = authorizationPolicy('all', { rules: RULES }, { namespace: 'shop' });
    const names = ['one', 'two', 'three', 'four'];
    const at = world([
      ...names.map((name) => service(name, { namespace: 'shop', selector: { app: name }, ports: ['http:8124'] })),
      policy,
    ]);
    const runs = names.map((name) => {
      const before = inboundTemplate.counts.runs;
      listening(at, { namespace: 'shop', labels: { app: name, 'service.istio.io/canonical-name': name } });
      return inboundTemplate.counts.runs - before;
    });
    expect(runs).toEqual([0, 1, 0, 0]);
  });
});

describe('authorization', () => {
  it('is encoded once for all chains of a workload, and of several policies only the one that changed', () => {
    const policy = (name: string, method: string) =>
      authorizationPolicy(name, { action: 'DENY', rules: [{ to: [{ operation: { methods: [method] } }] }] });
    const web = [service('web', { ...app, ports: ports.slice(0, 4) })];
    const [one, two] = [policy('one', 'POST'), policy('two', 'PUT')];
    const filtersOf = (policies: readonly (typeof one)[]) => {
      const at = world([...web, ...policies]);
      const { workload, proxyClass } = linkOf(at, proxy({ labels: { app: 'web' } }));
      const ground = workloadGround(scopeFor(at, { labels: { app: 'web' } }), []);
      expect(workload.proxyClass.namespace).toBe(proxyClass.namespace);
      const { http, tcp } = inboundContext(ground, workload).authorization;
      const filters = [...http.rules, ...tcp.rules] as unknown as readonly Prepared[];
      expect(filters.map(keptOf)).toEqual([undefined, undefined]);
      inboundListeners(ground, workload);
      return filters.map(keptOf);
    };
    const start = encodedRules.counts.runs;
    expect(filtersOf([one, two])).toEqual([expect.any(Uint8Array), expect.any(Uint8Array)]);
    expect(encodedRules.counts.runs).toBe(start + 2);
    filtersOf([one, policy('two', 'DELETE')]);
    expect(encodedRules.counts.runs).toBe(start + 3);
  });
});
