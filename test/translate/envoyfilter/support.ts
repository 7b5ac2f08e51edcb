// What a proxy is sent under EnvoyFilters: everything translated for it, decoded.

import { decodeJson } from '../../../src/codec/index.ts';
import type { EnvoyConfigObjectPatch, EnvoyFilterSpec } from '../../../src/config/generated/types.ts';
import type { ConfigObject } from '../../../src/config/object.ts';
import type { Draft } from '../../../src/ir/draft.ts';
import { finish } from '../../../src/lib/steps.ts';
import { tableValues } from '../../../src/lib/table.ts';
import { type Link, type LinkedScope, scopeOf } from '../../../src/snapshot/index.ts';
import {
  type ClassResources,
  classFindings,
  translateClass,
  translateWorkload,
  type WorkloadResources,
} from '../../../src/translate/index.ts';
import { envoyFilter, type Meta } from '../../support/builders.ts';
import { linkOf, type ProxyOptions, proxy, type World } from '../../support/snapshot-builders.ts';

export interface Sent {
  readonly scope: LinkedScope;
  readonly link: Link;
  readonly shared: ClassResources;
  readonly own: WorkloadResources;
}

/** Everything for one proxy; `before`: what it was sent under the mesh of before. */
export function sent(at: World, options: ProxyOptions = {}, before?: Sent): Sent {
  const link = linkOf(at, proxy(options), before?.link);
  const scope = scopeOf(at.snapshot, link.proxyClass, before?.scope);
  const shared = finish(translateClass(scope, before?.shared));
  return { scope, link, shared, own: translateWorkload(scope, link.workload, shared) };
}

export function clusterDrafts({ shared, own }: Sent): readonly Draft[] {
  return [...[...tableValues(shared.clusters)].flat(), ...own.clusters];
}

export function endpointNames({ shared }: Sent): readonly string[] {
  return [...tableValues(shared.endpoints)]
    .flat()
    .map((draft) => draft.name)
    .sort();
}

export function listenerDrafts({ shared, own }: Sent): readonly Draft[] {
  return [...shared.listeners, ...own.listeners];
}

export function everyDraft(of: Sent): readonly Draft[] {
  return [...clusterDrafts(of), ...listenerDrafts(of), ...of.shared.routes, ...of.shared.extensions];
}

type Json = Readonly<Record<string, unknown>>;

/** The message of the draft of that name, as plain JSON. */
export function messageOf(drafts: readonly Draft[], name: string): Json {
  const draft = drafts.find((each) => each.name === name);
  if (draft === undefined) throw new Error(`no ${name} among ${drafts.map((each) => each.name).join(' ')}`);
  return decodeJson(draft.typeUrl.slice(draft.typeUrl.indexOf('/') + 1), draft.bytes) as Json;
}

export function names(drafts: readonly Draft[]): readonly string[] {
  return drafts.map((draft) => draft.name).sort();
}

/** A value inside a message: `filterChains.0.filters.1.name`. */
export function at(message: unknown, path: string): unknown {
  return path.split('.').reduce<unknown>((value, key) => (value as Json | undefined)?.[key], message);
}

/** Names of the network filters of each chain, and in brackets those of HTTP filters. */
export function filtersOf(listener: Json): readonly string[] {
  const chains = [...((listener['filterChains'] ?? []) as readonly Json[])];
  if (listener['defaultFilterChain'] !== undefined) chains.push(listener['defaultFilterChain'] as Json);
  return chains.map((chain) => ((chain['filters'] ?? []) as readonly Json[]).map(filterText).join(' '));
}

function filterText(filter: Json): string {
  const http = at(filter, 'typedConfig.httpFilters') as readonly Json[] | undefined;
  const name = short(filter);
  return http === undefined ? name : `${name}[${http.map(short).join(' ')}]`;
}

function short({ name }: Json): string {
  return String(name)
    .replace(/^envoy\.filters\.(http|network|listener)\./, '')
    .replace('http_connection_manager', 'hcm');
}

/** One EnvoyFilter with these patches. */
export function filter(
  patches: readonly EnvoyConfigObjectPatch[],
  { name = 'patch', selector, priority, ...meta }: FilterOptions = {},
): ConfigObject<EnvoyFilterSpec> {
  return envoyFilter(
    name,
    {
      configPatches: patches,
      ...(selector === undefined ? {} : { workloadSelector: { labels: selector } }),
      ...(priority === undefined ? {} : { priority }),
    },
    meta,
  );
}

interface FilterOptions extends Meta {
  readonly name?: string;
  readonly selector?: Readonly<Record<string, string>>;
  readonly priority?: number;
}

export function findingsOf({ scope, shared, own }: Sent): readonly string[] {
  return [...classFindings(scope, shared), ...own.findings()].map(
    ({ code, path, message }) => `${code} ${path} ${message}`,
  );
}

const TYPES = 'type.googleapis.com/envoy.extensions.filters.';

export const HCM = 'envoy.filters.network.http_connection_manager';
export const HCM_TYPE = `${TYPES}network.http_connection_manager.v3.HttpConnectionManager`;

/** A Lua filter as users write one. */
export function lua(name = 'lua', code = 'function envoy_on_request(h) end'): Json {
  return {
    name: `envoy.filters.http.${name}`,
    typed_config: { '@type': `${TYPES}http.lua.v3.Lua`, default_source_code: { inline_string: code } },
  };
}

/** A connection limit as users write one. */
export function limit(connections: number): Json {
  return {
    name: 'envoy.filters.network.connection_limit',
    typed_config: {
      '@type': `${TYPES}network.connection_limit.v3.ConnectionLimit`,
      stat_prefix: 'limit',
      max_connections: connections,
    },
  };
}
