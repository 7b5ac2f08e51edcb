// What a proxy asks for next: the endpoints of its clusters, the routes of its listeners.
// In: an update. Out: names to ask for and to drop. Called by fake proxies, in benchmarks and in tests.

import { decode } from '../src/codec/index.ts';
import { TYPE_URL } from '../src/ir/draft.ts';
import type { ClientResource, Update } from '../src/xds/client-state.ts';

export interface FollowUp {
  readonly typeUrl: string;
  readonly added: readonly string[];
  readonly gone: readonly string[];
}

/** Undefined when nothing depends on what came. `names`: those that are asked for already. */
export function followUp(update: Update, names: (typeUrl: string) => ReadonlySet<string>): FollowUp | undefined {
  const { cluster, endpoint, listener, route } = TYPE_URL;
  const child = update.typeUrl === cluster ? endpoint : update.typeUrl === listener ? route : undefined;
  if (child === undefined) return undefined;
  const known = names(child);
  const referred = update.resources.flatMap((resource) => referencesOf(update.typeUrl, resource));
  const added = [...new Set(referred)].filter((name) => !known.has(name));
  const gone = update.typeUrl === cluster ? update.removed.filter((name) => known.has(name)) : [];
  return { typeUrl: child, added, gone };
}

/** References found before, by content. */
const byBytes = new WeakMap<Uint8Array, readonly string[]>();
const byVersion = new Map<string, readonly string[]>();

function referencesOf(typeUrl: string, resource: ClientResource): readonly string[] {
  const { version, bytes } = resource;
  const known = version === '' ? byBytes.get(bytes) : byVersion.get(version);
  if (known !== undefined) return known;
  const found = typeUrl === TYPE_URL.cluster ? endpointNames(resource) : routeNames(bytes);
  if (version === '') byBytes.set(bytes, found);
  else byVersion.set(version, found);
  return found;
}

function endpointNames({ name, bytes }: ClientResource): readonly string[] {
  const { type, edsClusterConfig: eds } = decode('envoy.config.cluster.v3.Cluster', bytes);
  return type === 'EDS' ? [(eds !== undefined && 'serviceName' in eds ? eds.serviceName : undefined) ?? name] : [];
}

function routeNames(bytes: Uint8Array): readonly string[] {
  const { filterChains = [], defaultFilterChain } = decode('envoy.config.listener.v3.Listener', bytes);
  const chains = defaultFilterChain === undefined ? filterChains : [...filterChains, defaultFilterChain];
  return (JSON.stringify(chains).match(/"routeConfigName":"[^"]*"/g) ?? []).map((text) => text.slice(19, -1));
}
