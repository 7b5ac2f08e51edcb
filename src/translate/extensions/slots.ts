// WasmPlugins and TrafficExtensions as filters of a chain: which, where, in which order. Their modules come by ECDS.
// In: the objects that select the workload. Out: filters by phase and port. Called by context.ts.

import type { TrafficExtensionSpec, TrafficSelector, WasmPluginSpec } from '../../config/generated/types.ts';
import type { ConfigObject } from '../../config/object.ts';
import { compareStrings, orderBy } from '../../lib/order.ts';
import type { Messages } from '../../messages/index.ts';
import type { ListenerRole } from '../context.ts';
import { ADS_CONFIG_SOURCE, extension, TYPE_PREFIX } from '../envoy.ts';

type HttpFilter = Messages['envoy.extensions.filters.network.http_connection_manager.v3.HttpFilter'];
type NetworkFilter = Messages['envoy.config.listener.v3.Filter'];

export type ExtensionPhase = 'AUTHN' | 'AUTHZ' | 'STATS' | 'UNSPECIFIED';

export interface ExtensionSlots {
  readonly http: (phase: ExtensionPhase, port: number) => readonly HttpFilter[];
  readonly network: (phase: ExtensionPhase, port: number) => readonly NetworkFilter[];
}

/** Before the name of every extension's filter and ECDS resource. */
export const EXTENSION_PREFIX = 'extensions.istio.io/trafficextension/';

/** Ends the names of extensions that were written as WasmPlugin. */
const WASM_PLUGIN_SUFFIX = '~istio-translated-wasmplugin';

/** One extension, whichever kind it was written as. */
interface Extension {
  readonly name: string;
  readonly phase: ExtensionPhase;
  readonly priority: number;
  readonly match: readonly TrafficSelector[];
  readonly level: 'http' | 'network';
  readonly lua: string | undefined;
}

export function extensionSlots(
  role: ListenerRole,
  plugins: readonly ConfigObject<WasmPluginSpec>[],
  extensions: readonly ConfigObject<TrafficExtensionSpec>[],
): ExtensionSlots {
  const all = [...plugins.map(fromPlugin), ...extensions.flatMap(fromExtension)].sort(byPriority);
  const chosen = (level: Extension['level'], phase: ExtensionPhase, port: number): readonly Extension[] =>
    all.filter((each) => each.level === level && each.phase === phase && matches(each.match, role, port));
  return {
    http: (phase, port) => chosen('http', phase, port).map(httpFilter),
    network: (phase, port) => chosen('network', phase, port).map(networkFilter),
  };
}

const byPriority = orderBy<Extension>(
  (a, b) => b.priority - a.priority,
  (a, b) => compareStrings(a.name, b.name),
);

function fromPlugin({ namespace, name, spec }: ConfigObject<WasmPluginSpec>): Extension {
  const phase = spec.phase ?? 'UNSPECIFIED_PHASE';
  return {
    name: `${namespace}.${name}${WASM_PLUGIN_SUFFIX}`,
    phase: phase === 'UNSPECIFIED_PHASE' ? 'UNSPECIFIED' : phase,
    priority: spec.priority ?? 0,
    match: spec.match ?? [],
    level: spec.type === 'NETWORK' ? 'network' : 'http',
    lua: undefined,
  };
}

function fromExtension({ namespace, name, spec }: ConfigObject<TrafficExtensionSpec>): readonly Extension[] {
  if (spec.wasm === undefined && spec.lua === undefined) return [];
  return [
    {
      name: `${namespace}.${name}`,
      phase: spec.phase ?? 'UNSPECIFIED',
      priority: spec.priority ?? 0,
      match: spec.match ?? [],
      level: spec.wasm?.type === 'NETWORK' ? 'network' : 'http',
      lua: spec.lua?.inlineCode,
    },
  ];
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

function httpFilter({ name, lua }: Extension): HttpFilter {
  const filterName = EXTENSION_PREFIX + name;
  if (lua !== undefined) {
    return extension(filterName, 'envoy.extensions.filters.http.lua.v3.Lua', {
      defaultSourceCode: { inlineString: lua },
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
