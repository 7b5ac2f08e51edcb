import { describe, expect, it } from 'vitest';
import { type HealthReport, openTraffic, type OwnSubscription, type XdsForm } from '../../src/agent/relay-traffic.ts';
import type { ModuleRequest } from '../../src/agent/wasm/cache.ts';
import { wasmRewriter } from '../../src/agent/wasm/rewrite.ts';
import { anyOf, decode, encode } from '../../src/codec/index.ts';
import { manualTime, recordingLog, recordingMeter } from '../ca/support.ts';

const LDS = 'type.googleapis.com/envoy.config.listener.v3.Listener';
const CDS = 'type.googleapis.com/envoy.config.cluster.v3.Cluster';
const NDS = 'type.googleapis.com/istio.networking.nds.v1.NameTable';
const ECDS = 'type.googleapis.com/envoy.config.core.v3.TypedExtensionConfig';
const HEALTH = 'type.googleapis.com/istio.v1.HealthInformation';

const request = (form: XdsForm, typeUrl: string): Buffer =>
  Buffer.from(
    form === 'delta'
      ? encode('envoy.service.discovery.v3.DeltaDiscoveryRequest', { typeUrl })
      : encode('envoy.service.discovery.v3.DiscoveryRequest', { typeUrl }),
  );

function response(form: XdsForm, typeUrl: string, resource: ReturnType<typeof anyOf>, nonce = 'n1'): Buffer {
  return Buffer.from(
    form === 'delta'
      ? encode('envoy.service.discovery.v3.DeltaDiscoveryResponse', {
          typeUrl,
          nonce,
          resources: [{ name: 'r', version: 'v1', resource }],
        })
      : encode('envoy.service.discovery.v3.DiscoveryResponse', {
          typeUrl,
          nonce,
          versionInfo: 'v1',
          resources: [resource],
        }),
  );
}

interface RigParts {
  readonly own?: readonly OwnSubscription[];
  readonly health?: { last: HealthReport | undefined; onChange(listener: () => void): () => void };
  /** The module's path, or a failure. */
  readonly module?: (request: ModuleRequest) => Promise<string>;
}

function rig(form: XdsForm, { own = [], health, module }: RigParts) {
  const up: { typeUrl?: string; error?: string; nonce?: string; subscribe?: readonly string[] }[] = [];
  const down: Buffer[] = [];
  const restarts: string[] = [];
  const time = manualTime();
  const log = recordingLog();
  const ports = { timers: time.timers, log: log.log, meter: recordingMeter().meter };
  const cache = { get: module ?? (async () => '/m.wasm'), close: () => undefined };
  const traffic = openTraffic(
    form,
    { own, health, extensions: wasmRewriter(cache, ports) },
    {
      toControlPlane: (bytes) => {
        const message =
          form === 'delta'
            ? decode('envoy.service.discovery.v3.DeltaDiscoveryRequest', bytes)
            : decode('envoy.service.discovery.v3.DiscoveryRequest', bytes);
        const { typeUrl, errorDetail, responseNonce: nonce } = message;
        const error = (errorDetail as { message?: string } | undefined)?.message;
        const subscribe = 'resourceNamesSubscribe' in message ? message.resourceNamesSubscribe : undefined;
        up.push({
          ...(typeUrl && { typeUrl }),
          ...(error !== undefined && { error }),
          ...(nonce && { nonce }),
          ...(subscribe && { subscribe }),
        });
        return true;
      },
      toEnvoy: (bytes) => {
        down.push(bytes);
        return true;
      },
      restart: (reason) => restarts.push(reason),
    },
    log.log,
  );
  return { traffic, up, down, restarts, time, log };
}

const turn = () => new Promise((resolve) => setImmediate(resolve));

const table = anyOf('istio.networking.nds.v1.NameTable', { table: { a: { ips: ['1.2.3.4'] } } });

describe.each(['delta', 'sotw'] as const)('traffic of a %s stream', (form) => {
  it("has the agent's subscriptions behind Envoy's, whose answers Envoy never sees", () => {
    const taken: number[] = [];
    const own = { typeUrl: NDS, take: ([bytes]: readonly Uint8Array[]) => void taken.push(bytes?.length ?? 0) };
    const { traffic, up, down } = rig(form, { own: [own] });
    traffic.request(request(form, CDS));
    expect(up.map(({ typeUrl }) => typeUrl)).toEqual([CDS]);
    traffic.request(request(form, LDS));
    traffic.request(request(form, LDS));
    expect(up.map(({ typeUrl }) => typeUrl)).toEqual([CDS, LDS, NDS, LDS]);
    traffic.response(response(form, NDS, table));
    traffic.response(response(form, CDS, table));
    expect(taken).toEqual([encode('istio.networking.nds.v1.NameTable', { table: { a: { ips: ['1.2.3.4'] } } }).length]);
    expect(up.at(-1)).toEqual({ typeUrl: NDS, nonce: 'n1' });
    expect(down.length).toBe(1);
  });

  it('refuses what it can not use, and says why', () => {
    const own = {
      typeUrl: NDS,
      take: () => {
        throw new Error('no table');
      },
    };
    const { traffic, up } = rig(form, { own: [own] });
    traffic.response(response(form, NDS, table));
    expect(up).toEqual([{ typeUrl: NDS, nonce: 'n1', error: 'no table' }]);
  });

  it('tells the health that is known, and each change of it', () => {
    let changed: () => void = () => undefined;
    const health = {
      last: { healthy: false, message: 'status 500' } as HealthReport | undefined,
      onChange: (listener: () => void) => {
        changed = listener;
        return () => {
          changed = () => undefined;
        };
      },
    };
    const { traffic, up } = rig(form, { health });
    traffic.request(request(form, LDS));
    health.last = { healthy: true, message: '' };
    changed();
    expect(up.slice(1)).toEqual([{ typeUrl: HEALTH, error: 'status 500' }, { typeUrl: HEALTH }]);
    traffic.close();
    changed();
    expect(up.length).toBe(3);
  });

  const extension = (failurePolicy: 'FAIL_OPEN' | 'FAIL_CLOSED', kind: 'http' | 'network' = 'http') =>
    anyOf('envoy.config.core.v3.TypedExtensionConfig', {
      name: 'plugin',
      typedConfig: anyOf(`envoy.extensions.filters.${kind}.wasm.v3.Wasm`, {
        config: {
          rootId: 'root',
          failurePolicy,
          configuration: anyOf('google.protobuf.StringValue', 'words'),
          vmConfig: {
            runtime: 'envoy.wasm.runtime.v8',
            code: { remote: { httpUri: { uri: 'https://x/m', cluster: '_', timeout: '30s' }, sha256: 'AB' } },
            environmentVariables: {
              keyValues: {
                ISTIO_META_WASM_IMAGE_PULL_SECRET: 's3cr3t',
                ISTIO_META_WASM_IMAGE_PULL_POLICY: 'Always',
                ISTIO_META_WASM_PLUGIN_RESOURCE_VERSION: '7',
                OWN: 'kept',
              },
            },
          },
        },
      }),
    });

  interface Passed {
    readonly version: string | undefined;
    readonly config: { readonly '@type': string; readonly config?: object; readonly rules?: object };
  }

  /** The extension that reached Envoy last. */
  const passed = (bytes: Buffer | undefined): Passed => {
    const sent =
      form === 'delta'
        ? decode('envoy.service.discovery.v3.DeltaDiscoveryResponse', bytes ?? Buffer.alloc(0))
        : decode('envoy.service.discovery.v3.DiscoveryResponse', bytes ?? Buffer.alloc(0));
    const [first] = (sent.resources ?? []) as unknown as readonly Record<string, never>[];
    const any = (form === 'delta' ? first?.['resource'] : first) as unknown as { typedConfig: Passed['config'] };
    const version = form === 'delta' ? first?.['version'] : (sent as { versionInfo?: string }).versionInfo;
    return { version, config: any.typedConfig };
  };

  it('gives Envoy a file in place of a module elsewhere, and keeps what is not for it', async () => {
    const asked: ModuleRequest[] = [];
    const { traffic, down } = rig(form, {
      module: async (wanted) => {
        asked.push(wanted);
        return '/m.wasm';
      },
    });
    traffic.response(response(form, ECDS, extension('FAIL_CLOSED')));
    traffic.response(response(form, CDS, table));
    expect(down.length).toBe(1);
    await turn();
    await turn();
    expect(asked).toEqual([
      { url: 'https://x/m', sha256: 'ab', policy: 'Always', version: '7', dockerConfig: 's3cr3t' },
    ]);
    expect(passed(down[1])).toMatchObject({
      version: 'v1',
      config: {
        config: {
          rootId: 'root',
          configuration: { value: 'words' },
          vmConfig: { code: { local: { filename: '/m.wasm' } }, environmentVariables: { keyValues: { OWN: 'kept' } } },
        },
      },
    });
    expect(down[1]?.includes('s3cr3t')).toBe(false);
  });

  it.each([
    ['FAIL_OPEN', 'http', undefined],
    ['FAIL_CLOSED', 'http', { action: 'ALLOW' }],
    ['FAIL_CLOSED', 'network', { action: 'ALLOW' }],
  ] as const)('with %s has a %s filter stand in until the module is there', async (policy, kind, rules) => {
    let works = false;
    const { traffic, up, down, restarts, time, log } = rig(form, {
      module: async () => {
        if (!works) throw new Error('no registry');
        return '/m.wasm';
      },
    });
    traffic.response(response(form, ECDS, extension(policy, kind)));
    await turn();
    await turn();
    const { version, config } = passed(down[0]);
    expect(version).toBe('v1-pending');
    expect(config['@type']).toBe(`type.googleapis.com/envoy.extensions.filters.${kind}.rbac.v3.RBAC`);
    if (rules === undefined) expect(config.rules).toBeUndefined();
    else expect(config.rules ?? {}).not.toHaveProperty('policies');
    expect(log.text()).toContain('no registry');
    expect(log.text()).not.toContain('s3cr3t');
    const asked = () =>
      (form === 'delta' ? up.filter(({ subscribe }) => subscribe?.includes('plugin')) : restarts).length;
    for (let round = 0; round < 2; round++) {
      time.advance(20_000);
      await turn();
    }
    expect(asked()).toBe(0);
    works = true;
    time.advance(300_000);
    await turn();
    expect(asked()).toBe(1);
    traffic.close();
  });

  it('refuses a response that it can not read, rather than let Envoy print it', async () => {
    const { traffic, up, down } = rig(form, {});
    const bytes = response(form, ECDS, extension('FAIL_OPEN'));
    const broken = Buffer.concat([bytes, Buffer.from([0x12, 0x03, 0x0a, 0x05, 0x01])]);
    traffic.response(broken);
    await turn();
    await turn();
    expect(down).toEqual([]);
    expect(up).toMatchObject([{ typeUrl: ECDS, nonce: 'n1', error: expect.any(String) }]);
  });
});
