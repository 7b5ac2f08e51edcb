// WasmPlugins and TrafficExtensions as filters of a chain: which, where, in which order. Their modules come by ECDS.
// In: the objects that select the workload. Out: filters by phase and port. Called by context.ts.

import type { TrafficExtensionSpec, TrafficSelector, WasmPluginSpec } from '../../config/generated/types.ts';
import type { ConfigObject } from '../../config/object.ts';
import type { Messages } from '../../messages/index.ts';
import type { ListenerRole } from '../context.ts';
import { ADS_CONFIG_SOURCE, extension, TYPE_PREFIX } from '../envoy.ts';
import { EXTENSION_PREFIX, type Extension, type ExtensionPhase, extensionsOf } from './extension.ts';

type HttpFilter = Messages['envoy.extensions.filters.network.http_connection_manager.v3.HttpFilter'];
type NetworkFilter = Messages['envoy.config.listener.v3.Filter'];

export interface ExtensionSlots {
  readonly http: (phase: ExtensionPhase, port: number) => readonly HttpFilter[];
  readonly network: (phase: ExtensionPhase, port: number) => readonly NetworkFilter[];
}

export function extensionSlots(
  role: ListenerRole,
  plugins: readonly ConfigObject<WasmPluginSpec>[],
  extensions: readonly ConfigObject<TrafficExtensionSpec>[],
): ExtensionSlots {
  const all = extensionsOf(plugins, extensions);
  const chosen = (level: Extension['level'], phase: ExtensionPhase, port: number): readonly Extension[] =>
    all.filter((each) => each.level === level && each.phase === phase && matches(each.match, role, port));
  return {
    http: (phase, port) => chosen('http', phase, port).map(httpFilter),
    network: (phase, port) => chosen('network', phase, port).map(networkFilter),
  };
}

/** Gateways count as clients; no selector matches everything. */
function matches(selectors: readonly TrafficSelector[], role: ListenerRole, port: number): boolean {
  if (selectors.length === 0) return true;
  const side = role === 'sidecar-inbound' ? 'SERVER' : 'CLIENT';
  return selectors.some(({ mode = 'CLIENT_AND_SERVER', ports = [] }) => {
    const sided = mode === 'CLIENT_AND_SERVER' || mode === 'UNDEFINED' || mode === side;
    return sided && (ports.length === 0 || ports.some(({ number }) => number === port));
  });
}

const HTTP_TYPES = ['envoy.extensions.filters.http.wasm.v3.Wasm', 'envoy.extensions.filters.http.rbac.v3.RBAC'];
const NETWORK_TYPES = [
  'envoy.extensions.filters.network.wasm.v3.Wasm',
  'envoy.extensions.filters.network.rbac.v3.RBAC',
];

function httpFilter({ name, code }: Extension): HttpFilter {
  const filterName = EXTENSION_PREFIX + name;
  if (code.kind === 'lua') {
    return extension(filterName, 'envoy.extensions.filters.http.lua.v3.Lua', {
      defaultSourceCode: { inlineString: code.source },
    });
  }
  return { name: filterName, configDiscovery: discovery(HTTP_TYPES) };
}

function networkFilter({ name }: Extension): NetworkFilter {
  return { name: EXTENSION_PREFIX + name, configDiscovery: discovery(NETWORK_TYPES) };
}

/** RBAC is what stands in for a module that can't be loaded. */
function discovery(types: readonly string[]): NonNullable<HttpFilter['configDiscovery']> {
  return { configSource: ADS_CONFIG_SOURCE, typeUrls: types.map((type) => TYPE_PREFIX + type) };
}
