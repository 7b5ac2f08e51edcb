// RouteConfigurations and their virtual hosts, put together from parts that are encoded already.
// A virtual host is encoded once for each list of routes and domains; a RouteConfiguration is its virtual hosts' bytes
// one after the other, and stays the same draft while they are the same objects.

import { asField, encode, fieldOf, joined } from '../../codec/index.ts';
import type { Draft, Origin } from '../../ir/draft.ts';
import type { Dialect } from '../../ir/proxy.ts';
import type { OutboundPolicy } from '../../ir/traffic.ts';
import { deepEqual } from '../../lib/equal.ts';
import { memo } from '../../lib/memo.ts';
import { stamp } from '../../lib/stamp.ts';
import { sameList } from '../../lib/table.ts';
import { Encoded, type Messages } from '../../messages/index.ts';
import { DYNAMIC_DNS_CLUSTER, outboundClusterName, PASSTHROUGH_CLUSTER } from '../clusters/names.ts';
import { lazyDraftOf } from '../draft.ts';
import { UNIX_PREFIX } from '../envoy.ts';
import { DOMAIN_SEPARATOR } from './domains.ts';
import { type HostRun, hostRuns } from './host-runs.ts';
import { ANY_PATH } from './match.ts';
import { HTTP_PROXY_ROUTE } from './names.ts';
import { timeouts } from './settings.ts';
import type { RouteList } from './virtual-service.ts';

type HeaderValueOption = Messages['envoy.config.core.v3.HeaderValueOption'];
type Route = Messages['envoy.config.route.v3.Route'];

export interface VirtualHost {
  readonly name: string;
  readonly message: Encoded;
  /** Of a long one: what its bytes are, piece by piece. */
  readonly pieces?: readonly Uint8Array[] | undefined;
  readonly origins: readonly Origin[];
}

/** Counted by tests: one run for each list of routes and domains. `owner` comes before the origins of the list. */
export const virtualHost = memo(
  (
    list: RouteList,
    name: string,
    domains: string,
    attemptCount: boolean,
    requireTls: boolean,
    http3Port?: number,
    owner?: Origin,
  ): VirtualHost => {
    const bytes = encode(VIRTUAL_HOST, {
      name,
      domains: domains.split(DOMAIN_SEPARATOR),
      routes: list.routes.map((route) => route.message),
      ...behindRoutes(attemptCount, requireTls, http3Port),
    });
    const origins = owner === undefined ? list.origins : [owner, ...list.origins];
    return { name, message: new Encoded(bytes), origins };
  },
);

const VIRTUAL_HOST = 'envoy.config.route.v3.VirtualHost';

/** Number of the field; name and domains have lower ones, all others higher ones. */
const ROUTES_OF_HOST = 3;

function behindRoutes(
  attemptCount: boolean,
  requireTls: boolean,
  http3Port: number | undefined,
): Omit<Messages['envoy.config.route.v3.VirtualHost'], 'name'> {
  return {
    includeRequestAttemptCount: attemptCount ? true : undefined,
    requireTls: requireTls ? 'ALL' : undefined,
    responseHeadersToAdd: http3Port === undefined ? undefined : [alternative(http3Port)],
  };
}

/** The same of many lists, which are copied one behind the other, and without looking for one made before. */
export function longVirtualHost(
  lists: readonly RouteList[],
  name: string,
  domains: string,
  attemptCount: boolean,
  requireTls: boolean,
  http3Port: number | undefined,
  owner: Origin,
): VirtualHost {
  const pieces = [encode(VIRTUAL_HOST, { name, domains: domains.split(DOMAIN_SEPARATOR) })];
  for (const list of lists) pieces.push(encodedList(list).some);
  for (const list of lists) pieces.push(encodedList(list).every);
  pieces.push(encode(VIRTUAL_HOST, behindRoutes(attemptCount, requireTls, http3Port)));
  let message: Encoded | undefined;
  return {
    name,
    pieces,
    // Nobody asks for it but classes on demand.
    get message(): Encoded {
      return (message ??= new Encoded(joined(pieces)));
    },
    get origins(): readonly Origin[] {
      return [owner, ...lists.flatMap((list) => list.origins)];
    },
  };
}

/** The routes of a list as they stand in a virtual host; those that take every request come behind those of all lists. */
const encodedList = memo(({ routes }: RouteList): { readonly some: Uint8Array; readonly every: Uint8Array } => {
  const bytesOf = (catchAll: boolean): readonly Uint8Array[] =>
    routes.flatMap((route) => (route.catchAll === catchAll ? [route.message.bytes] : []));
  return { some: asField(ROUTES_OF_HOST, bytesOf(false)), every: asField(ROUTES_OF_HOST, bytesOf(true)) };
});

/** Tells clients that the same port answers HTTP/3 too, for a day (RFC 7838). */
function alternative(port: number): HeaderValueOption {
  const header = { key: 'alt-svc', value: `h3=":${port}"; ma=86400` };
  return { header, appendAction: 'OVERWRITE_IF_EXISTS_OR_ADD' };
}

/** The limit that validation sets to bodies of direct responses; Envoy's own is 4 KiB. */
const MAX_DIRECT_RESPONSE = 1024 * 1024;

/**
 * The draft of a RouteConfiguration; `before` is kept where it was made from the same virtual hosts. `losers` are objects
 * that have no part in it because others were there first.
 */
export function routeConfiguration(
  name: string,
  hosts: readonly VirtualHost[],
  losers: readonly Origin[],
  before: Draft | undefined,
): Draft {
  const parts = before?.name === name ? partsOf.get(before) : undefined;
  if (parts !== undefined && sameList(parts.hosts, hosts) && sameLosers(parts.losers, losers)) return before as Draft;
  const { encoded, runs } = encodedAs(name, hosts, parts?.runs);
  const made: Parts = { hosts, losers, runs };
  // Those of thousands of virtual hosts are put in order when somebody asks for them.
  const origins = (): readonly Origin[] => [...made.hosts.flatMap((host) => host.origins), ...made.losers];
  const draft = lazyDraftOf(ROUTES, name, encoded, origins);
  partsOf.set(draft, made);
  return draft;
}

/** From so many virtual hosts on it is less work to write what stands before and behind them by itself. */
const MANY = 8;

interface EncodedHosts {
  readonly encoded: Uint8Array | readonly Uint8Array[];
  readonly runs?: readonly HostRun[] | undefined;
}

function encodedAs(name: string, hosts: readonly VirtualHost[], before: readonly HostRun[] | undefined): EncodedHosts {
  const long = hosts.some((host) => host.pieces !== undefined);
  if (!long && hosts.length < MANY) {
    return { encoded: encode(ROUTES, { virtualHosts: hosts.map((host) => host.message), ...routeFields(name) }) };
  }
  const [front, end] = [encode(ROUTES, { name }), encode(ROUTES, { ...routeFields(name), name: undefined })];
  if (long) {
    const pieces = [front];
    for (const host of hosts) pieces.push(...fieldOf(VIRTUAL_HOSTS, host.pieces ?? [host.message.bytes]));
    pieces.push(end);
    return { encoded: pieces };
  }
  const runs = hostRuns(VIRTUAL_HOSTS, hosts, before);
  return { encoded: [front, ...runs.map((run) => run.bytes), end], runs };
}

const ROUTES = 'envoy.config.route.v3.RouteConfiguration';

/** Number of the field; all others but the name have higher ones. */
const VIRTUAL_HOSTS = 2;

/** A RouteConfiguration without its virtual hosts. */
export function routeFields(name: string): Messages['envoy.config.route.v3.RouteConfiguration'] {
  return {
    name,
    validateClusters: false,
    maxDirectResponseBodySizeBytes: MAX_DIRECT_RESPONSE,
    // Where services of all ports meet, the port in the Host header says which of them is meant.
    ignorePortInHostMatching: name === HTTP_PROXY_ROUTE || name.startsWith(UNIX_PREFIX) ? undefined : true,
  };
}

interface Parts {
  readonly hosts: readonly VirtualHost[];
  readonly losers: readonly Origin[];
  readonly runs: readonly HostRun[] | undefined;
}

const partsOf = stamp<Draft, Parts>();

/** The virtual hosts of a RouteConfiguration that was made here; undefined for any other, such as a patched one. */
export function hostsOf(draft: Draft): readonly VirtualHost[] | undefined {
  return partsOf.get(draft)?.hosts;
}

/** Losers are listed anew whenever their group is linked; nothing but their text shows. */
function sameLosers(a: readonly Origin[], b: readonly Origin[]): boolean {
  return a === b || deepEqual(a, b);
}

/** The virtual host for every name that no other one has: what the outbound traffic policy says of unknown hosts. */
export const catchAllHost = memo(
  (policy: OutboundPolicy, attemptCount: boolean, forwardedHost: boolean, dialect: Dialect): VirtualHost => {
    const { name, route } = catchAllRoute(policy, forwardedHost, dialect);
    const bytes = encode(VIRTUAL_HOST, {
      name,
      domains: ['*'],
      routes: [{ name, match: ANY_PATH, ...route }],
      includeRequestAttemptCount: attemptCount ? true : undefined,
    });
    return { name, message: new Encoded(bytes), origins: [] };
  },
);

function catchAllRoute(
  policy: OutboundPolicy,
  forwardedHost: boolean,
  dialect: Dialect,
): { readonly name: string; readonly route: Route } {
  const to = (cluster: string): Route => ({
    route: { cluster, ...timeouts('0s', dialect), appendXForwardedHost: forwardedHost ? true : undefined },
  });
  switch (policy.mode) {
    case 'ALLOW_ANY': {
      const { egressProxy } = policy;
      if (egressProxy === undefined) return { name: 'allow_any', route: to(PASSTHROUGH_CLUSTER) };
      const { port, subset, host } = egressProxy;
      return { name: 'allow_any', route: to(outboundClusterName(port, subset, host)) };
    }
    case 'ALLOW_ANY_DYNAMIC_DNS':
      return { name: 'allow_any_dynamic_dns', route: to(DYNAMIC_DNS_CLUSTER) };
    case 'REGISTRY_ONLY':
      return { name: 'block_all', route: { directResponse: { status: 502 } } };
  }
}
