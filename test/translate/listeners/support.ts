// What a sidecar listens on, decoded and told in short: one line per filter chain.

import { decode } from '../../../src/codec/index.ts';
import type { Draft } from '../../../src/ir/draft.ts';
import type { Listener, Messages } from '../../../src/messages/index.ts';
import { type LinkedScope, scopeOf } from '../../../src/snapshot/index.ts';
import { workloadGround } from '../../../src/translate/ground.ts';
import {
  inboundListeners,
  type OutboundListeners,
  outboundListeners,
  workloadListeners,
} from '../../../src/translate/listeners/index.ts';
import { linkOf, type ProxyOptions, proxy, type World } from '../../support/snapshot-builders.ts';

export type FilterChain = Messages['envoy.config.listener.v3.FilterChain'];
export type Filter = Messages['envoy.config.listener.v3.Filter'];

/** One sidecar's listeners at one moment, and what its class starts from at the next. */
export interface Listening {
  readonly scope: LinkedScope;
  readonly outbound: OutboundListeners;
  readonly drafts: readonly Draft[];
}

export function listening(at: World, options: ProxyOptions = {}, before?: Listening): Listening {
  const { proxyClass, workload } = linkOf(at, proxy(options));
  const scope = scopeOf(at.snapshot, proxyClass, before?.scope);
  const outbound = outboundListeners(scope, before?.outbound);
  const ground = workloadGround(scope, outbound.named);
  const own = workloadListeners(ground, workload);
  return { scope, outbound, drafts: [...outbound.drafts, ...own, ...inboundListeners(ground, workload)] };
}

export function decoded(drafts: readonly Draft[]): ReadonlyMap<string, Listener> {
  return new Map(drafts.map(({ name, bytes }) => [name, decode('envoy.config.listener.v3.Listener', bytes)]));
}

export function listenerNamed(drafts: readonly Draft[], name: string): Listener {
  const found = decoded(drafts).get(name);
  if (found === undefined) throw new Error(`no listener ${name} among ${drafts.map((draft) => draft.name).join(' ')}`);
  return found;
}

/** Chains in order, the default one last. */
export function chainsOf(listener: Listener): readonly FilterChain[] {
  const chains = (listener.filterChains ?? []) as readonly FilterChain[];
  const fallback = listener.defaultFilterChain as FilterChain | undefined;
  return fallback === undefined ? chains : [...chains, fallback];
}

/** `MATCH -> WHAT` of every chain. */
export function told(listener: Listener): readonly string[] {
  return chainsOf(listener).map((chain) => {
    const match = (chain.filterChainMatch ?? {}) as Messages['envoy.config.listener.v3.FilterChainMatch'];
    const ranges = (match.prefixRanges ?? []) as readonly Messages['envoy.config.core.v3.CidrRange'][];
    const parts = [
      match.destinationPort === undefined ? '' : `:${match.destinationPort}`,
      match.transportProtocol ?? '',
      (match.applicationProtocols ?? []).join('+'),
      (match.serverNames ?? []).join('+'),
      ranges.map(({ addressPrefix, prefixLen }) => `${addressPrefix}/${prefixLen}`).join('+'),
    ].filter((part) => part !== '');
    const fallback = chain === listener.defaultFilterChain ? 'default' : 'any';
    const tls = chain.transportSocket === undefined ? '' : 'tls ';
    return `${parts.length === 0 ? fallback : parts.join(' ')} -> ${tls}${target(chain)}`;
  });
}

function target(chain: FilterChain): string {
  const filters = (chain.filters ?? []) as readonly Filter[];
  const config = filters.at(-1)?.typedConfig as Record<string, unknown> | undefined;
  const weighted = config?.['weightedClusters'] as { clusters: { name: string; weight: number }[] } | undefined;
  if (weighted !== undefined) return weighted.clusters.map(({ name, weight }) => `${name}*${weight}`).join(' ');
  if (typeof config?.['cluster'] === 'string') return config['cluster'];
  const rds = config?.['rds'] as { routeConfigName: string } | undefined;
  const inline = config?.['routeConfig'] as { name: string } | undefined;
  return rds === undefined ? `routes ${inline?.name}` : `rds ${rds.routeConfigName}`;
}

/** Names of the HTTP filters of the first connection manager. */
export function httpFilterNames(listener: Listener): readonly string[] {
  for (const chain of chainsOf(listener)) {
    const config = ((chain.filters ?? []) as readonly Filter[]).at(-1)?.typedConfig as Record<string, unknown>;
    const filters = config['httpFilters'] as readonly { name: string }[] | undefined;
    if (filters !== undefined) return filters.map(({ name }) => name);
  }
  return [];
}

export function listenerFilterNames(listener: Listener): readonly string[] {
  return ((listener.listenerFilters ?? []) as readonly { name?: string }[]).map(({ name = '' }) =>
    name.replace('envoy.filters.listener.', ''),
  );
}
