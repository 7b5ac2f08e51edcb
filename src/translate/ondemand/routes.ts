// RouteConfigurations without their virtual hosts, and single virtual hosts as Envoy asks for them.
// In: a RouteConfiguration's draft as it is for everybody. Out: a draft that makes Envoy ask, and answers by authority.
// Called by index.ts. Every answer has one domain, the authority that was asked for: two answers can't claim the same.

import { decode, decodeShallow, encode, encodeJson, Encoded } from '../../codec/index.ts';
import type { Draft } from '../../ir/draft.ts';
import { memo } from '../../lib/memo.ts';
import type { Messages } from '../../messages/index.ts';
import { lazyDraftOf } from '../draft.ts';
import { hostsOf, type VirtualHost } from '../routes/route-config.ts';
import { type HostIndex, hostFor, indexHosts, withoutPort } from './hosts.ts';
import { addClusterNames } from './references.ts';

type ConfigSource = Messages['envoy.config.core.v3.ConfigSource'];

const ROUTE = 'envoy.config.route.v3.RouteConfiguration';
const HOST = 'envoy.config.route.v3.VirtualHost';

/**
 * Over the stream that brought the routes. An empty answer doesn't reach Envoy, which listens after this time without.
 * Of a RouteConfiguration with another time than before Envoy lets go of all virtual hosts and asks again for those that
 * requests need: the two forms take turns.
 */
const SOURCES = ['5s', '5.001s'].map(
  (initialFetchTimeout): ConfigSource => ({ ads: {}, resourceApiVersion: 'V3', initialFetchTimeout }),
);

export interface OnDemandRoutes {
  /** What it was made from. */
  readonly source: Draft;
  /** Without virtual hosts, in two forms. */
  readonly shells: readonly Draft[];
  readonly index: HostIndex;
  readonly ignoresPort: boolean;
}

/** `previous` and its shells are kept where they would be the same. */
export function onDemandRoutes(source: Draft, previous: OnDemandRoutes | undefined): OnDemandRoutes {
  if (previous?.source === source) return previous;
  const { virtualHosts: _, ...fields } = decodeShallow(ROUTE, source.bytes) as Readonly<Record<string, unknown>>;
  const shells = SOURCES.map((configSource, form) => {
    const bytes = encodeJson(ROUTE, { ...fields, ignorePortInHostMatching: undefined, vhds: { configSource } });
    const before = previous?.shells[form];
    return before !== undefined && sameBytes(before.bytes, bytes)
      ? before
      : lazyDraftOf(ROUTE, source.name, bytes, () => []);
  });
  return {
    source,
    shells,
    index: indexHosts(virtualHostsOf(source), previous?.index),
    ignoresPort: fields['ignorePortInHostMatching'] === true,
  };
}

/** The virtual hosts of a RouteConfiguration, also of one that user-written patches went through. */
export function virtualHostsOf(source: Draft): readonly VirtualHost[] {
  return hostsOf(source) ?? encodedHosts(source);
}

const encodedHosts = memo((source: Draft): readonly VirtualHost[] => {
  const { virtualHosts } = decodeShallow(ROUTE, source.bytes);
  const list = Array.isArray(virtualHosts) ? (virtualHosts as readonly unknown[]) : [];
  return list.flatMap((message) =>
    message instanceof Encoded ? { name: source.name, message, origins: source.origins } : [],
  );
});

export interface HostAnswer {
  readonly draft: Draft;
  /** Candidates for the clusters that its routes lead to. */
  readonly clusters: readonly string[];
}

/** The virtual host for one authority; never nothing: Envoy would wait. */
export function hostAnswer(routes: OnDemandRoutes | undefined, name: string, authority: string): HostAnswer {
  const known =
    routes === undefined ? undefined : hostFor(routes.index, routes.ignoresPort ? withoutPort(authority) : authority);
  const host = known ?? NO_HOST;
  return { draft: renamedHost(host, name, authority), clusters: clustersOf(host.message) };
}

/** Without routes: 404, as where no virtual host fits. */
const NO_HOST: VirtualHost = { name: '', message: new Encoded(encode(HOST, {})), origins: [] };

/** Counted by tests: one run for each virtual host and authority. */
export const renamedHost = memo((host: VirtualHost, name: string, authority: string): Draft => {
  const fields = decodeShallow(HOST, host.message.bytes);
  const bytes = encodeJson(HOST, { ...fields, name, domains: [literal(authority, name)] });
  return lazyDraftOf(HOST, name, bytes, () => host.origins);
});

/** An authority with a `*` at an end would be read as a pattern, and no host is called so: it stands for itself alone. */
function literal(authority: string, name: string): string {
  return authority === '' || authority.startsWith('*') || authority.endsWith('*') ? `${name}/` : authority;
}

const clustersOf = memo((host: Encoded): readonly string[] => {
  const names = new Set<string>();
  addClusterNames(host.bytes, names);
  return [...names];
});

/** Clusters that a virtual host's routes send copies of requests to: Envoy doesn't ask for those. */
export const mirrorsOf = memo((host: Encoded): readonly string[] => {
  const { routes } = decodeShallow(HOST, host.bytes);
  return (Array.isArray(routes) ? (routes as readonly unknown[]) : []).flatMap((route) => {
    const { route: action } = route instanceof Encoded ? decodeShallow('envoy.config.route.v3.Route', route.bytes) : {};
    if (!(action instanceof Encoded)) return [];
    const { requestMirrorPolicies } = decodeShallow('envoy.config.route.v3.RouteAction', action.bytes);
    return ((requestMirrorPolicies ?? []) as readonly Encoded[]).flatMap(
      ({ bytes }) => decode('envoy.config.route.v3.RouteAction.RequestMirrorPolicy', bytes).cluster ?? [],
    );
  });
});

function sameBytes(a: Uint8Array, b: Uint8Array): boolean {
  return a.length === b.length && a.every((byte, i) => byte === b[i]);
}
