// WasmPlugins and TrafficExtensions as one thing. In: an object. Out: what it adds to which chains, and its module.
// Called by slots.ts, which puts filters into chains, and by config.ts, which sends what the filters run.

import type {
  TrafficExtensionSpec,
  TrafficSelector,
  WasmExtension,
  WasmPluginSpec,
} from '../../config/generated/types.ts';
import type { ConfigObject } from '../../config/object.ts';
import { memo } from '../../lib/memo.ts';
import { compareStrings, orderBy } from '../../lib/order.ts';

export type ExtensionPhase = 'AUTHN' | 'AUTHZ' | 'STATS' | 'UNSPECIFIED';

export interface Extension {
  readonly object: ConfigObject<WasmPluginSpec | TrafficExtensionSpec>;
  /** `NAMESPACE.NAME`, with a suffix where it was written as WasmPlugin. */
  readonly name: string;
  readonly phase: ExtensionPhase;
  readonly priority: number;
  readonly match: readonly TrafficSelector[];
  readonly level: 'http' | 'network';
  readonly code:
    | { readonly kind: 'lua'; readonly source: string }
    | { readonly kind: 'wasm'; readonly module: WasmExtension };
}

/** Before the name of every extension's filter and ECDS resource. */
export const EXTENSION_PREFIX = 'extensions.istio.io/trafficextension/';

/** Ends the names of extensions that were written as WasmPlugin. */
const WASM_PLUGIN_SUFFIX = '~istio-translated-wasmplugin';

/** Larger scripts would be in every listener that they match. */
const MAX_LUA = 65_536;

/** All of them, in the order in which they run within a phase. */
export function extensionsOf(
  plugins: readonly ConfigObject<WasmPluginSpec>[],
  extensions: readonly ConfigObject<TrafficExtensionSpec>[],
): readonly Extension[] {
  return [
    ...plugins.flatMap((plugin) => fromPlugin(plugin)),
    ...extensions.flatMap((extension) => fromExtension(extension)),
  ].sort(byPriority);
}

const byPriority = orderBy<Extension>(
  (a, b) => b.priority - a.priority,
  (a, b) => compareStrings(a.name, b.name),
);

const fromPlugin = memo((object: ConfigObject<WasmPluginSpec>): readonly Extension[] => {
  const { namespace, name, spec } = object;
  if (!spec.url) return [];
  const phase = spec.phase ?? 'UNSPECIFIED_PHASE';
  return [
    {
      object,
      name: `${namespace}.${name}${WASM_PLUGIN_SUFFIX}`,
      phase: phase === 'UNSPECIFIED_PHASE' ? 'UNSPECIFIED' : phase,
      priority: spec.priority ?? 0,
      match: spec.match ?? [],
      level: spec.type === 'NETWORK' ? 'network' : 'http',
      code: { kind: 'wasm', module: spec },
    },
  ];
});

const fromExtension = memo((object: ConfigObject<TrafficExtensionSpec>): readonly Extension[] => {
  const { namespace, name, spec } = object;
  const code = codeOf(spec);
  if (code === undefined) return [];
  return [
    {
      object,
      name: `${namespace}.${name}`,
      phase: spec.phase ?? 'UNSPECIFIED',
      priority: spec.priority ?? 0,
      match: spec.match ?? [],
      level: spec.wasm?.type === 'NETWORK' ? 'network' : 'http',
      code,
    },
  ];
});

function codeOf({ wasm, lua }: TrafficExtensionSpec): Extension['code'] | undefined {
  if (wasm !== undefined) return wasm.url ? { kind: 'wasm', module: wasm } : undefined;
  const source = lua?.inlineCode ?? '';
  return source === '' || source.length > MAX_LUA ? undefined : { kind: 'lua', source };
}
