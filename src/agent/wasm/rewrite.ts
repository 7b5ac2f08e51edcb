// Stock Envoy can't fetch what WasmPlugins name: the agent does, and tells Envoy of a file.
// In: responses with extension configurations; out: the same with local modules. Where a module can't be had, a filter that
// lets everything through or nothing, as the plugin says, stands in until it can. Called by relay-traffic.ts.

import { anyOf, decode, decodeShallow, encode, Encoded } from '../../codec/index.ts';
import type { Log, Meter, Timers } from '../../lib/ports.ts';
import type { Messages } from '../../messages/index.ts';
import type { ExtensionRewriter, XdsForm } from '../relay-traffic.ts';
import type { ModuleCache, ModuleRequest } from './cache.ts';

const HTTP_WASM = 'envoy.extensions.filters.http.wasm.v3.Wasm';
const NETWORK_WASM = 'envoy.extensions.filters.network.wasm.v3.Wasm';
const EXTENSION = 'envoy.config.core.v3.TypedExtensionConfig';

/** As decoding gives it: nothing in it is still encoded. */
interface Wasm {
  readonly config?: {
    readonly failurePolicy?: string;
    readonly failOpen?: boolean;
    readonly configuration?: AnyJson;
    readonly vmConfig?: {
      readonly environmentVariables?: { readonly keyValues?: Readonly<Record<string, string>> };
      readonly code?: { readonly remote?: { readonly httpUri?: { readonly uri?: string }; readonly sha256?: string } };
    };
  };
}

/** What the control plane tells the agent alone; Envoy and its modules never see it. */
const PULL_SECRET = 'ISTIO_META_WASM_IMAGE_PULL_SECRET';
const PULL_POLICY = 'ISTIO_META_WASM_IMAGE_PULL_POLICY';
const PLUGIN_VERSION = 'ISTIO_META_WASM_PLUGIN_RESOURCE_VERSION';

const FIRST_RETRY_MS = 10_000;
const MAX_RETRY_MS = 300_000;

export interface RewritePorts {
  readonly timers: Timers;
  readonly log: Log;
  readonly meter: Meter;
}

export interface Rewriter extends ExtensionRewriter {
  close(): void;
}

export function wasmRewriter(cache: ModuleCache, ports: RewritePorts): Rewriter {
  return new WasmRewriter(cache, ports);
}

interface Again {
  readonly request: ModuleRequest;
  readonly call: () => void;
}

class WasmRewriter implements Rewriter {
  readonly #cache: ModuleCache;
  readonly #ports: RewritePorts;
  readonly #log: Log;
  readonly #metrics: ReturnType<typeof metricsOf>;
  /** What is being tried again, by name of the extension. */
  readonly #retries = new Map<string, () => void>();

  constructor(cache: ModuleCache, ports: RewritePorts) {
    this.#cache = cache;
    this.#ports = ports;
    this.#log = ports.log.child('wasm');
    this.#metrics = metricsOf(ports.meter);
  }

  async rewrite(form: XdsForm, response: Buffer, again: (name: string) => void): Promise<Buffer> {
    return form === 'delta' ? this.#delta(response, again) : this.#sotw(response, again);
  }

  close(): void {
    for (const cancel of this.#retries.values()) cancel();
    this.#retries.clear();
  }

  async #delta(bytes: Buffer, again: (name: string) => void): Promise<Buffer> {
    const response = decodeShallow('envoy.service.discovery.v3.DeltaDiscoveryResponse', bytes) as Shallow;
    const resources: unknown[] = [];
    let changed = false;
    for (const packed of response.resources ?? []) {
      const resource = decodeShallow('envoy.service.discovery.v3.Resource', packed.bytes) as DeltaResource;
      const next = await this.#extension(resource.resource, again);
      changed = changed || next !== undefined;
      // A version of its own, so that Envoy does not claim to hold the plugin itself when it connects again.
      const version = next?.standsIn === true ? `${resource.version ?? ''}-pending` : resource.version;
      resources.push(next === undefined ? packed : { ...resource, version, resource: next.config });
    }
    if (!changed) return bytes;
    return Buffer.from(
      encode('envoy.service.discovery.v3.DeltaDiscoveryResponse', { ...response, resources } as DeltaResponse),
    );
  }

  async #sotw(bytes: Buffer, again: (name: string) => void): Promise<Buffer> {
    const response = decodeShallow('envoy.service.discovery.v3.DiscoveryResponse', bytes) as Shallow;
    const resources: unknown[] = [];
    let changed = false;
    let standsIn = false;
    for (const packed of response.resources ?? []) {
      const next = await this.#extension(packed, again);
      changed = changed || next !== undefined;
      standsIn = standsIn || next?.standsIn === true;
      resources.push(next?.config ?? packed);
    }
    if (!changed) return bytes;
    const versionInfo = standsIn ? `${response.versionInfo ?? ''}-pending` : response.versionInfo;
    const message = { ...response, versionInfo, resources };
    return Buffer.from(encode('envoy.service.discovery.v3.DiscoveryResponse', message as SotwResponse));
  }

  /** Undefined for what can stay as it is. */
  async #extension(packed: Encoded | undefined, again: (name: string) => void): Promise<Rewritten | undefined> {
    if (packed === undefined) return undefined;
    const any = decode('google.protobuf.Any', packed.bytes) as AnyJson;
    const config = any as unknown as Messages[typeof EXTENSION];
    const inner = config.typedConfig as AnyJson | undefined;
    const type = (inner?.['@type'] ?? '').replace(/^.*\//, '');
    if (inner === undefined || (type !== HTTP_WASM && type !== NETWORK_WASM)) return undefined;
    const wasm = inner as unknown as Wasm;
    const name = config.name ?? '';
    const rewritten = await this.#wasm(name, wasm, type, again);
    this.#metrics.inc({ result: rewritten.result });
    return {
      standsIn: rewritten.result !== 'success' && rewritten.result !== 'no_remote_load',
      config: anyOf(EXTENSION, { name, typedConfig: rewritten.config }),
    };
  }

  async #wasm(name: string, wasm: Wasm, type: WasmType, again: (name: string) => void): Promise<Outcome> {
    const { request, config } = splitWasm(wasm);
    this.#retries.get(name)?.();
    this.#retries.delete(name);
    if (request === undefined) return { result: 'no_remote_load', config: anyOf(type, config(undefined)) };
    try {
      const filename = await this.#cache.get(request);
      return { result: 'success', config: anyOf(type, config(filename)) };
    } catch (error) {
      const isOpen = wasm.config?.failurePolicy === 'FAIL_OPEN' || wasm.config?.failOpen === true;
      const reason = error instanceof Error ? error.message : String(error);
      this.#log.error({ extension: name, url: request.url, reason, lets: isOpen ? 'all' : 'none' }, 'no Wasm module');
      this.#retryLater(name, { request, call: () => again(name) }, FIRST_RETRY_MS);
      return { result: isOpen ? 'fetch_failure_open' : 'fetch_failure_closed', config: standIn(type, isOpen) };
    }
  }

  #retryLater(name: string, again: Again, delayMs: number): void {
    const cancel = this.#ports.timers.setTimeout(() => {
      this.#cache.get(again.request).then(
        () => {
          if (this.#retries.get(name) !== cancel) return;
          this.#retries.delete(name);
          again.call();
        },
        () => {
          if (this.#retries.get(name) === cancel) this.#retryLater(name, again, Math.min(MAX_RETRY_MS, delayMs * 2));
        },
      );
    }, delayMs);
    this.#retries.set(name, cancel);
  }
}

type WasmMessage = Messages[typeof HTTP_WASM];
type WasmType = typeof HTTP_WASM | typeof NETWORK_WASM;
type AnyJson = Readonly<Record<string, unknown>> & { readonly '@type'?: string };
type SotwResponse = Messages['envoy.service.discovery.v3.DiscoveryResponse'];
type DeltaResponse = Messages['envoy.service.discovery.v3.DeltaDiscoveryResponse'];

interface Shallow {
  readonly resources?: readonly Encoded[];
  readonly versionInfo?: string;
}

interface DeltaResource {
  readonly version?: string;
  readonly resource?: Encoded;
}

interface Rewritten {
  readonly standsIn: boolean;
  readonly config: ReturnType<typeof anyOf>;
}

interface Outcome {
  readonly result: 'success' | 'no_remote_load' | 'fetch_failure_open' | 'fetch_failure_closed';
  readonly config: ReturnType<typeof anyOf>;
}

/** What is to be fetched, and the settings without what is meant for the agent. */
function splitWasm(wasm: Wasm): {
  readonly request: ModuleRequest | undefined;
  readonly config: (filename: string | undefined) => WasmMessage;
} {
  const vm = wasm.config?.vmConfig;
  const { keyValues = {}, ...environment } = vm?.environmentVariables ?? {};
  const { [PULL_SECRET]: secret = '', [PULL_POLICY]: policy, [PLUGIN_VERSION]: version = '', ...rest } = keyValues;
  const config = (filename: string | undefined): WasmMessage => ({
    ...wasm,
    config: {
      ...wasm.config,
      ...emptyConfiguration(wasm.config?.configuration),
      vmConfig: {
        ...vm,
        environmentVariables: { ...environment, keyValues: rest },
        ...(filename === undefined ? {} : { code: { local: { filename } } }),
      },
    } as WasmMessage['config'],
  });
  const remote = vm?.code?.remote;
  const url = remote?.httpUri?.uri ?? '';
  if (remote === undefined || url === '') return { request: undefined, config };
  const request: ModuleRequest = {
    url,
    sha256: (remote.sha256 ?? '').toLowerCase(),
    policy: policy === 'Always' || policy === 'IfNotPresent' ? policy : undefined,
    version,
    dockerConfig: secret,
  };
  return { request, config };
}

/** An Any that packs nothing has a wire form, but no JSON form. */
function emptyConfiguration(configuration: AnyJson | undefined): { readonly configuration?: Encoded } {
  const isEmpty = configuration !== undefined && (configuration['@type'] ?? '') === '';
  return isEmpty ? { configuration: new Encoded(new Uint8Array()) } : {};
}

/** RBAC without rules lets everything through; with rules that allow nobody, nothing. */
function standIn(type: WasmType, isOpen: boolean): Outcome['config'] {
  const rules = isOpen ? {} : { rules: { action: 'ALLOW' as const, policies: {} } };
  return type === HTTP_WASM
    ? anyOf('envoy.extensions.filters.http.rbac.v3.RBAC', rules)
    : anyOf('envoy.extensions.filters.network.rbac.v3.RBAC', { ...rules, statPrefix: 'wasm_stand_in' });
}

function metricsOf(meter: Meter) {
  return meter.counter('istio_agent_wasm_config_conversion_count', 'Extension configurations looked into.', ['result']);
}
