// The settings of a Wasm filter: where its module comes from, what it is told. In: a WasmExtension of an object.
// Out: PluginConfig. Called by config.ts.

import { anyOf, Encoded } from '../../codec/index.ts';
import type { WasmExtension } from '../../config/generated/types.ts';
import type { ConfigObject } from '../../config/object.ts';
import { fnv1a } from '../../lib/hash.ts';
import { sortedEntries } from '../../lib/order.ts';
import type { Messages } from '../../messages/index.ts';

type PluginConfig = Messages['envoy.extensions.wasm.v3.PluginConfig'];
type AsyncDataSource = Messages['envoy.config.core.v3.AsyncDataSource'];

const RUNTIME = 'envoy.wasm.runtime.v8';

/** What only the agent beside Envoy reads: it fetches modules, and takes these away before Envoy sees them. */
export const PULL_SECRET = 'ISTIO_META_WASM_IMAGE_PULL_SECRET';
const PULL_POLICY = 'ISTIO_META_WASM_IMAGE_PULL_POLICY';
const PLUGIN_VERSION = 'ISTIO_META_WASM_PLUGIN_RESOURCE_VERSION';

const FAILURE_POLICIES = { FAIL_CLOSE: 'FAIL_CLOSED', FAIL_OPEN: 'FAIL_OPEN', FAIL_RELOAD: 'FAIL_RELOAD' } as const;

/** `pullSecret`: the content of the image pull secret; empty for proxies that may not have it. */
export function pluginConfig(
  object: ConfigObject,
  name: string,
  module: WasmExtension,
  pullSecret: string,
): PluginConfig {
  return {
    name,
    rootId: module.pluginName,
    vmConfig: {
      runtime: RUNTIME,
      code: codeSource(module),
      environmentVariables: environment(object, module, pullSecret),
    },
    configuration: configuration(module.pluginConfig),
    failurePolicy: FAILURE_POLICIES[module.failStrategy ?? 'FAIL_CLOSE'],
  };
}

const FILE = 'file://';

/** Nobody dials the cluster: the agent rewrites remote modules to files. */
function codeSource({ url = '', sha256 }: WasmExtension): AsyncDataSource {
  if (url.startsWith(FILE)) return { local: { filename: url.slice(FILE.length) } };
  const uri = /^[a-zA-Z][a-zA-Z0-9+.-]*:\/\//.test(url) ? url : `oci://${url}`;
  return { remote: { httpUri: { uri, cluster: '_', timeout: '30s' }, sha256 } };
}

function environment(
  object: ConfigObject,
  { imagePullSecret, imagePullPolicy = 'UNSPECIFIED_POLICY', vmConfig }: WasmExtension,
  pullSecret: string,
): NonNullable<NonNullable<Messages['envoy.extensions.wasm.v3.VmConfig']['environmentVariables']>> {
  const keyValues: Record<string, string> = { [PLUGIN_VERSION]: versionOf(object) };
  if (imagePullSecret) keyValues[PULL_SECRET] = pullSecret;
  if (imagePullPolicy !== 'UNSPECIFIED_POLICY') keyValues[PULL_POLICY] = imagePullPolicy;
  const hostEnvKeys: string[] = [];
  for (const { name = '', value = '', valueFrom } of vmConfig?.env ?? []) {
    if (valueFrom === 'HOST') hostEnvKeys.push(name);
    else keyValues[name] = value;
  }
  return { keyValues, hostEnvKeys: hostEnvKeys.length === 0 ? undefined : hostEnvKeys };
}

/** Tells the agent that an image of the same tag is to be looked for again. */
function versionOf({ generation, spec }: ConfigObject): string {
  return String(generation > 0 ? generation : fnv1a(sortedText(spec)));
}

/** Plugins are given text; without any, a configuration that is empty. */
function configuration(written: WasmExtension['pluginConfig']): PluginConfig['configuration'] {
  if (written === undefined || Object.keys(written).length === 0) return new Encoded(new Uint8Array());
  return anyOf('google.protobuf.StringValue', sortedText(written));
}

function sortedText(value: unknown): string {
  return JSON.stringify(value, (_key, each: unknown) =>
    typeof each === 'object' && each !== null && !Array.isArray(each)
      ? Object.fromEntries(sortedEntries(each as Readonly<Record<string, unknown>>))
      : each,
  );
}
