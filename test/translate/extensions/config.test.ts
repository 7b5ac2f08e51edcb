import { describe, expect, it } from 'vitest';
import type { SecretBody } from '../../../src/config/core.ts';
import type {
  EnvoyConfigObjectPatch,
  TrafficExtensionSpec,
  WasmPluginSpec,
} from '../../../src/config/generated/types.ts';
import type { ConfigObject } from '../../../src/config/object.ts';
import { base64OfText } from '../../../src/lib/base64.ts';
import { tableValues } from '../../../src/lib/table.ts';
import { privateExtensions } from '../../../src/plane/pull-secrets.ts';
import { type Meta, object, service } from '../../support/builders.ts';
import { type ProxyOptions, proxy, withObjects, world } from '../../support/snapshot-builders.ts';
import { at, filter, listenerDrafts, messageOf, names, type Sent, sent } from '../envoyfilter/support.ts';

const ROOT = 'istio-system';
const PREFIX = 'extensions.istio.io/trafficextension/';
const PLUGIN = '~istio-translated-wasmplugin';
const web = service('web', { ports: ['http:80', 'tcp:9000'], clusterIPs: ['10.96.0.1'] });

function plugin(name: string, spec: WasmPluginSpec, meta: Meta = {}): ConfigObject {
  return object('WasmPlugin', name, spec, meta);
}

function extension(name: string, spec: TrafficExtensionSpec, meta: Meta = {}): ConfigObject {
  return object('TrafficExtension', name, spec, meta);
}

function of(objects: readonly ConfigObject[], options: ProxyOptions = {}): Sent {
  return sent(world([web, ...objects]), options);
}

/** Settings of the only extension. */
function config(spec: WasmPluginSpec, meta: Meta = {}): Readonly<Record<string, unknown>> {
  const { extensions } = of([plugin('p', spec, meta)]).shared;
  expect(names(extensions)).toEqual([`${PREFIX}default.p${PLUGIN}`]);
  return at(messageOf(extensions, `${PREFIX}default.p${PLUGIN}`), 'typedConfig.config') as Readonly<
    Record<string, unknown>
  >;
}

describe('Wasm modules', () => {
  it('says what the plugin says', () => {
    const spec: WasmPluginSpec = {
      url: 'oci://registry.example.com/plug:v1',
      sha256: 'ab'.repeat(32),
      pluginName: 'root',
      pluginConfig: { realm: 'x', list: [1, 'two'], deep: { z: null, a: true } },
      failStrategy: 'FAIL_OPEN',
      imagePullPolicy: 'Always',
      vmConfig: {
        env: [
          { name: 'A', value: 'b' },
          { name: 'HOME', valueFrom: 'HOST' },
        ],
      },
    };
    expect(config(spec, { generation: 7 })).toEqual({
      name: `default.p${PLUGIN}`,
      rootId: 'root',
      configuration: {
        '@type': 'type.googleapis.com/google.protobuf.StringValue',
        value: '{"deep":{"a":true,"z":null},"list":[1,"two"],"realm":"x"}',
      },
      failurePolicy: 'FAIL_OPEN',
      vmConfig: {
        runtime: 'envoy.wasm.runtime.v8',
        code: {
          remote: {
            httpUri: { uri: 'oci://registry.example.com/plug:v1', cluster: '_', timeout: '30s' },
            sha256: 'ab'.repeat(32),
          },
        },
        environmentVariables: {
          hostEnvKeys: ['HOME'],
          keyValues: {
            A: 'b',
            ISTIO_META_WASM_IMAGE_PULL_POLICY: 'Always',
            ISTIO_META_WASM_PLUGIN_RESOURCE_VERSION: '7',
          },
        },
      },
    });
  });

  it.each([
    ['file:///opt/a.wasm', { local: { filename: '/opt/a.wasm' } }],
    [
      'https://example.com/a.wasm',
      { remote: { httpUri: { uri: 'https://example.com/a.wasm', cluster: '_', timeout: '30s' } } },
    ],
    ['ghcr.io/org/a:v1', { remote: { httpUri: { uri: 'oci://ghcr.io/org/a:v1', cluster: '_', timeout: '30s' } } }],
  ])('comes from %s', (url, code) => {
    expect(at(config({ url }), 'vmConfig.code')).toEqual(code);
  });

  it.each([
    [undefined, 'FAIL_CLOSED'],
    ['FAIL_CLOSE', 'FAIL_CLOSED'],
    ['FAIL_OPEN', 'FAIL_OPEN'],
    ['FAIL_RELOAD', 'FAIL_RELOAD'],
  ] as const)('fails as told: %s', (failStrategy, policy) => {
    expect(config({ url: 'file:///a', failStrategy })['failurePolicy']).toBe(policy);
  });

  it('tells the agent apart what was changed, though files have no generation', () => {
    const version = (spec: WasmPluginSpec) =>
      at(config(spec), 'vmConfig.environmentVariables.keyValues.ISTIO_META_WASM_PLUGIN_RESOURCE_VERSION');
    const one = version({ url: 'oci://a', pluginConfig: { a: 1 } });
    expect(version({ url: 'oci://a', pluginConfig: { a: 1 } })).toBe(one);
    expect(version({ url: 'oci://a', pluginConfig: { a: 2 } })).not.toBe(one);
  });

  it('is a network filter where that is its type', () => {
    const { extensions } = of([
      plugin('p', { url: 'file:///a', type: 'NETWORK' }),
      extension('e', { wasm: { url: 'file:///b' } }),
    ]).shared;
    const types = extensions.map(({ name }) => at(messageOf(extensions, name), 'typedConfig.@type'));
    expect(types).toEqual([
      'type.googleapis.com/envoy.extensions.filters.http.wasm.v3.Wasm',
      'type.googleapis.com/envoy.extensions.filters.network.wasm.v3.Wasm',
    ]);
  });

  it('goes to whom it is meant for, and names its object', () => {
    const objects = [
      plugin('web', { url: 'file:///a', selector: { matchLabels: { app: 'web' } } }),
      plugin('root', { url: 'file:///b' }, { namespace: ROOT }),
      plugin('other', { url: 'file:///c' }, { namespace: 'other' }),
    ];
    expect(names(of(objects).shared.extensions)).toEqual([`${PREFIX}istio-system.root${PLUGIN}`]);
    const { extensions } = of(objects, { labels: { app: 'web' } }).shared;
    expect(names(extensions)).toEqual([`${PREFIX}default.web${PLUGIN}`, `${PREFIX}istio-system.root${PLUGIN}`]);
    expect(extensions.find(({ name }) => name.includes('default.web'))?.origins).toMatchObject([
      { kind: 'WasmPlugin', name: 'web' },
    ]);
  });

  it('stays the same draft while the plugin does', () => {
    const first = world([web, plugin('p', { url: 'file:///a' })]);
    const before = sent(first);
    const after = sent(withObjects(first, service('more', { clusterIPs: ['10.96.0.7'] })), {}, before);
    expect(after.shared.extensions).toBe(before.shared.extensions);
  });
});

describe('Lua', () => {
  const httpFilters = (objects: readonly ConfigObject[]) => {
    const listener = messageOf(listenerDrafts(of(objects)), '0.0.0.0_80');
    return at(listener, 'filterChains.0.filters.0.typedConfig.httpFilters') as readonly Readonly<
      Record<string, unknown>
    >[];
  };

  it('stands in the listener: there is nothing to fetch', () => {
    const objects = [extension('l', { lua: { inlineCode: 'function envoy_on_request(h) end' } })];
    expect(of(objects).shared.extensions).toEqual([]);
    const found = httpFilters(objects).find((each) => each['name'] === `${PREFIX}default.l`);
    expect(at(found, 'typedConfig.defaultSourceCode.inlineString')).toBe('function envoy_on_request(h) end');
  });

  it.each([
    ['empty', ''],
    ['too long', ' '.repeat(65_537)],
  ])('is left out when it is %s', (_, inlineCode) => {
    const found = httpFilters([extension('l', { lua: { inlineCode } })]);
    expect(found.some((each) => String(each['name']).startsWith(PREFIX))).toBe(false);
  });
});

describe('EXTENSION_CONFIG patches', () => {
  const add = (name: string, bytes: number, context = 'SIDECAR_OUTBOUND'): EnvoyConfigObjectPatch =>
    ({
      applyTo: 'EXTENSION_CONFIG',
      match: { context },
      patch: {
        operation: 'ADD',
        value: {
          name,
          typed_config: {
            '@type': 'type.googleapis.com/envoy.extensions.filters.http.buffer.v3.Buffer',
            max_request_bytes: bytes,
          },
        },
      },
    }) as EnvoyConfigObjectPatch;

  it('add resources by name, whatever the context: the last one stands', () => {
    const { extensions } = of([
      filter([add('a', 1), add('b', 2, 'GATEWAY'), add('', 3)]),
      filter([add('a', 4)], { name: 'later', priority: 1 }),
    ]).shared;
    expect(names(extensions)).toEqual(['a', 'b']);
    expect(at(messageOf(extensions, 'a'), 'typedConfig.maxRequestBytes')).toBe(4);
    expect(extensions.find(({ name }) => name === 'a')?.origins).toMatchObject([
      { name: 'later', field: 'spec.configPatches[0]' },
    ]);
  });
});

describe('image pull secrets', () => {
  const docker = '{"auths":{"registry.example.com":{"auth":"c2VjcmV0"}}}';
  const secret = (name: string, type: string, namespace = 'default'): ConfigObject<SecretBody> =>
    object('Secret', name, { type, data: { '.dockerconfigjson': base64OfText(docker) } }, { namespace });
  const peer = (...identities: readonly string[]) => ({ address: 'a', plaintext: identities.length === 0, identities });
  const OWN = 'spiffe://cluster.local/ns/default/sa/web';

  const sentSecret = (objects: readonly ConfigObject[], identities: readonly string[]): readonly unknown[] => {
    const mesh = world([web, ...objects]);
    const { scope } = sent(mesh);
    const table = privateExtensions(mesh.snapshot, scope, proxy(), peer(...identities));
    const resources = table === undefined ? [] : [...tableValues(table)].flat();
    return resources.map((each) =>
      at(
        messageOf([each], each.name),
        'typedConfig.config.vmConfig.environmentVariables.keyValues.ISTIO_META_WASM_IMAGE_PULL_SECRET',
      ),
    );
  };
  const pulling = (imagePullSecret: string, meta: Meta = {}) =>
    plugin('p', { url: 'oci://r/a:v1', imagePullSecret }, meta);
  const DOCKER = 'kubernetes.io/dockerconfigjson';

  it('are in the extension for proxies of a proven identity alone', () => {
    const objects = [pulling('reg'), secret('reg', DOCKER)];
    expect(sentSecret(objects, [OWN])).toEqual([docker]);
    expect(sentSecret(objects, [])).toEqual([]);
    expect(sentSecret(objects, ['spiffe://cluster.local/ns/other/sa/web'])).toEqual([]);
    const { extensions } = of(objects).shared;
    const env = at(
      messageOf(extensions, names(extensions)[0] ?? ''),
      'typedConfig.config.vmConfig.environmentVariables.keyValues',
    );
    expect(env).toMatchObject({ ISTIO_META_WASM_IMAGE_PULL_SECRET: '' });
  });

  it('are of the namespace of the plugin, and of the right type', () => {
    expect(sentSecret([pulling('kubernetes://other/reg'), secret('reg', DOCKER)], [OWN])).toEqual([docker]);
    expect(sentSecret([pulling('reg'), secret('reg', DOCKER, 'other')], [OWN])).toEqual([]);
    expect(sentSecret([pulling('reg'), secret('reg', 'Opaque')], [OWN])).toEqual([]);
    expect(sentSecret([pulling('reg', { namespace: ROOT }), secret('reg', DOCKER, ROOT)], [OWN])).toEqual([docker]);
  });

  it('cost nothing where no extension has one', () => {
    expect(sentSecret([plugin('p', { url: 'oci://r/a:v1' }), secret('reg', DOCKER)], [OWN])).toEqual([]);
  });
});
