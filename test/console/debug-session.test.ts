import { describe, expect, it } from 'vitest';
import { decode, decodeJson, typeNameOf } from '../../src/codec/index.ts';
import { debugSession, isDebugClient } from '../../src/console/debug-session.ts';
import type { ConsolePort } from '../../src/console/port.ts';
import { TYPE_URL } from '../../src/ir/draft.ts';
import { viewResources } from '../../src/resources/view.ts';
import type { NodeInfo, Peer, ProxySession } from '../../src/xds/port.ts';
import { connection, consoleOf, resource, typeStatus } from './support.ts';

const LOCAL: Peer = { address: '127.0.0.1:40123', plaintext: true, identities: [] };
const NODE: NodeInfo = {
  id: 'sidecar~10.1.1.1~test-1.istio-system~istio-system.svc.cluster.local',
  metadata: { GENERATOR: 'event' },
};
const SYNCZ = 'istio.io/debug/syncz';
const DUMP = 'istio.io/debug/config_dump';

function session(port: ConsolePort, peer = LOCAL): ProxySession {
  const made = debugSession(port, peer, NODE);
  if (made.kind === 'refused') throw new Error(made.message);
  return made;
}

function ask(port: ConsolePort, typeUrl: string, ...names: string[]): readonly { typeUrl: string; json: unknown }[] {
  const asked = session(port);
  if (names.length > 0) asked.names(typeUrl, new Set(names));
  const view = asked.view(typeUrl);
  if (view === undefined) throw new Error(`${typeUrl} is not served`);
  return [...viewResources(view)].map((one) => ({
    typeUrl: one.typeUrl,
    json:
      one.typeUrl === 'istio.io/debug'
        ? Buffer.from(one.bytes).toString()
        : decodeJson(typeNameOf(one.typeUrl), one.bytes),
  }));
}

describe('who is a debug client', () => {
  it.each<[string, NodeInfo, boolean]>([
    ['istioctl, by its generator', NODE, true],
    ['an older istioctl, by its id', { id: 'debug~0.0.0.0~istioctl~cluster.local' }, true],
    ['a sidecar', { id: 'sidecar~10.1.1.1~a.b~b.svc.cluster.local', metadata: { NAMESPACE: 'b' } }, false],
    ['a proxyless client', { id: 'sidecar~10.1.1.1~a.b~b.svc', metadata: { GENERATOR: 'grpc' } }, false],
  ])('%s', (_, node, expected) => {
    expect(isDebugClient(node)).toBe(expected);
  });
});

describe('access', () => {
  const proven = (...identities: string[]): Peer => ({ address: '10.2.3.4:5000', plaintext: false, identities });
  it.each<[string, Peer, number | undefined]>([
    ['loopback', LOCAL, undefined],
    ['IPv6 loopback with a port', { ...LOCAL, address: '::1:40123' }, undefined],
    ['bracketed IPv6 loopback', { ...LOCAL, address: '[::1]:40123' }, undefined],
    ['mapped loopback', { ...LOCAL, address: '::ffff:127.0.0.1:40123' }, undefined],
    ['another machine in plaintext', { ...LOCAL, address: '10.2.3.4:5000' }, 16],
    ['an address that begins like loopback', { ...LOCAL, address: '127.0.0.1.example:80' }, 16],
    ['an IPv6 address that begins like loopback', { ...LOCAL, address: '::1234:80' }, 16],
    ['no address', { ...LOCAL, address: 'unknown' }, 16],
    ['the system namespace', proven('spiffe://cluster.local/ns/istio-system/sa/default'), undefined],
    ['another namespace', proven('spiffe://cluster.local/ns/default/sa/istio-system'), 7],
    ['several identities', proven('spiffe://td/ns/default/sa/a', 'spiffe://td/ns/istio-system/sa/b'), undefined],
  ])('%s', (_, peer, code) => {
    const made = debugSession(consoleOf([]), peer, NODE);
    expect(made.kind === 'refused' ? made.code : undefined).toBe(code);
  });

  it('takes the system namespace from its caller', () => {
    const peer = proven('spiffe://cluster.local/ns/mesh/sa/default');
    expect(debugSession(consoleOf([]), peer, NODE, 'mesh').kind).toBe('session');
    expect(debugSession(consoleOf([]), peer, NODE, 'istio-system').kind).toBe('refused');
  });
});

describe('syncz', () => {
  it('tells what each proxy has of each type', () => {
    const sentAt = Date.UTC(2026, 0, 2, 3, 4, 5);
    const types = new Map([
      [TYPE_URL.route, typeStatus({ sentNonce: 'b', sentAt, lastError: 'no such cluster' })],
      [TYPE_URL.cluster, typeStatus({ sentNonce: 'a', ackedNonce: 'a', sentAt })],
      [TYPE_URL.listener, typeStatus({ sentNonce: 'c', ackedNonce: 'a', sentAt })],
      [TYPE_URL.endpoint, typeStatus({})],
    ]);
    const [first, second] = ask(consoleOf([connection('b.ns', [], { types }), connection('a.ns')]), SYNCZ);
    expect(first).toEqual({
      typeUrl: 'type.googleapis.com/envoy.service.status.v3.ClientConfig',
      json: { node: { id: 'a.ns', metadata: { CLUSTER_ID: 'Kubernetes', ISTIO_VERSION: '1.30.0', NAMESPACE: 'ns' } } },
    });
    const lastUpdated = '2026-01-02T03:04:05Z';
    expect(second?.json).toMatchObject({
      node: { id: 'b.ns' },
      genericXdsConfigs: [
        { typeUrl: TYPE_URL.cluster, configStatus: 'SYNCED', lastUpdated },
        { typeUrl: TYPE_URL.endpoint, configStatus: 'NOT_SENT' },
        { typeUrl: TYPE_URL.listener, configStatus: 'STALE', lastUpdated },
        {
          typeUrl: TYPE_URL.route,
          configStatus: 'ERROR',
          errorState: { details: 'no such cluster', lastUpdateAttempt: lastUpdated },
        },
      ],
    });
  });

  it('lists both connections of one proxy', () => {
    const twice = [connection('a.ns'), connection('a.ns', [], { connectionId: 'a.ns-2' })];
    expect(ask(consoleOf(twice), SYNCZ)).toHaveLength(2);
  });
});

describe('config_dump', () => {
  const cluster = resource('envoy.config.cluster.v3.Cluster', { name: 'outbound|80||a.b.svc', type: 'EDS' });
  const secret = resource('envoy.extensions.transport_sockets.tls.v3.Secret', {
    name: 'kubernetes://cert',
    tlsCertificate: {
      certificateChain: { inlineString: 'a chain' },
      privateKey: { inlineString: 'a private key' },
    },
  });
  const wasm = resource('envoy.config.core.v3.TypedExtensionConfig', {
    name: 'ns.plugin',
    typedConfig: {
      '@type': 'type.googleapis.com/envoy.extensions.filters.http.wasm.v3.Wasm',
      config: {
        vmConfig: { environmentVariables: { keyValues: { ISTIO_META_WASM_IMAGE_PULL_SECRET: 'a pull secret' } } },
      },
    },
  });
  const port = consoleOf([connection('a.ns', [cluster, secret, wasm])]);

  it('answers with one section after the other', () => {
    const sections = ask(port, DUMP, 'a.ns').map(({ typeUrl }) => typeUrl.replace(/.*\.v3\./, ''));
    expect(new Set(sections)).toEqual(
      new Set([
        'BootstrapConfigDump',
        'ClustersConfigDump',
        'EndpointsConfigDump',
        'ListenersConfigDump',
        'ScopedRoutesConfigDump',
        'RoutesConfigDump',
        'SecretsConfigDump',
        'EcdsConfigDump',
      ]),
    );
    expect(sections).toHaveLength(8);
  });

  it('holds resources as they were sent', () => {
    const clusters = ask(port, DUMP, 'a.ns').find(({ typeUrl }) => typeUrl.endsWith('ClustersConfigDump'));
    expect(clusters?.json).toEqual({
      dynamicActiveClusters: [
        {
          versionInfo: cluster.version,
          cluster: { '@type': TYPE_URL.cluster, name: 'outbound|80||a.b.svc', type: 'EDS' },
        },
      ],
    });
  });

  it('keeps private keys and pull secrets to itself', () => {
    const view = session(port);
    view.names(DUMP, new Set(['a.ns']));
    const text = [...viewResources(view.view(DUMP) ?? { typeUrl: '', parts: [] })]
      .map((one) => Buffer.from(one.bytes).toString('latin1'))
      .join();
    expect(text).toContain('a chain');
    expect(text).toContain('ISTIO_META_WASM_IMAGE_PULL_SECRET');
    expect(text).not.toContain('a private key');
    expect(text).not.toContain('a pull secret');
  });

  it.each([['unknown.ns'], ['a.ns', 'another.ns'], []])('answers with nothing to %j %j', (...names) => {
    expect(ask(port, DUMP, ...names)).toEqual([]);
  });
});

describe('pages', () => {
  const port = consoleOf([connection('a.ns')]);

  it('answers by name, with a query', () => {
    const [answer] = ask(port, 'istio.io/debug', 'config_dump?proxyID=a.ns');
    expect(answer?.typeUrl).toBe('istio.io/debug');
    expect(JSON.parse(String(answer?.json))).toHaveProperty('configs');
  });

  it('answers by type', () => {
    const [answer] = ask(port, 'istio.io/debug/connections');
    expect(JSON.parse(String(answer?.json))).toMatchObject({ totalClients: 1 });
  });

  it('says so when there is no such page', () => {
    const [answer] = ask(port, 'istio.io/debug', 'nonsense');
    expect(answer?.json).toContain('404 page not found');
    expect(session(port).view('istio.io/debug/nonsense')).toBeUndefined();
  });

  it('serves no configuration', () => {
    expect(session(port).view(TYPE_URL.cluster)).toBeUndefined();
  });
});

describe('a session', () => {
  it('gives one view for one question and a new one for the next', () => {
    const asked = session(consoleOf([connection('a.ns'), connection('b.ns')]));
    asked.names(DUMP, new Set(['a.ns']));
    const first = asked.view(DUMP);
    expect(asked.view(DUMP)).toBe(first);
    asked.names(DUMP, new Set(['b.ns']));
    expect(asked.view(DUMP)).not.toBe(first);
  });

  it('has an id of its own', () => {
    const port = consoleOf([]);
    expect(session(port).connectionId).not.toBe(session(port).connectionId);
  });

  it('decodes as a whole ConfigDump', () => {
    const asked = session(consoleOf([connection('a.ns')]));
    asked.names(DUMP, new Set(['a.ns']));
    const view = asked.view(DUMP);
    const sections = view === undefined ? [] : [...viewResources(view)];
    for (const one of sections) expect(() => decode(typeNameOf(one.typeUrl) as never, one.bytes)).not.toThrow();
  });
});
