// The order of HTTP filters: one table for sidecars and gateways, a reason on every line.
// A filter is on a chain when its `make` gives something there.

import type { Messages } from '../../messages/index.ts';
import { constantExtension, extension } from '../envoy.ts';
import { SESSION_FILTER } from '../routes/session.ts';
import { alpnFilter } from './alpn.ts';
import { proxyHeaders } from './headers.ts';
import { peerFilters } from './peer.ts';
import type { DnsCache, HcmInputs } from './index.ts';

type HttpFilter = Messages['envoy.extensions.filters.network.http_connection_manager.v3.HttpFilter'];

/** What the table is asked for. */
export type HttpFilterInputs = Omit<HcmInputs, 'routes' | 'statPrefix'>;

interface Slot {
  readonly what: string;
  readonly why: string;
  readonly make: (inputs: HttpFilterInputs) => readonly HttpFilter[];
}

export const HTTP_FILTER_ORDER: readonly Slot[] = [
  {
    what: 'peer',
    why: 'requests that are refused are counted too, and nobody below sees the header',
    make: ({ context }) => (context.logs.metrics ? peerFilters(context.role) : []),
  },
  {
    what: 'CUSTOM authorization',
    why: 'an external authorizer may replace the credentials that the filters below look at',
    make: ({ context }) => context.authorization.http.custom,
  },
  {
    what: 'extensions, phase AUTHN',
    why: 'they bring credentials for jwt_authn',
    make: ({ context, port }) => context.extensions.http('AUTHN', port),
  },
  {
    what: 'jwt_authn',
    why: 'authorization rules read the claims that it checks',
    make: ({ context }) => context.jwt,
  },
  {
    what: 'extensions, phase AUTHZ',
    why: 'authenticated already, and able to refuse before the built-in rules',
    make: ({ context, port }) => context.extensions.http('AUTHZ', port),
  },
  {
    what: 'rbac',
    why: 'AUDIT, DENY, ALLOW: nothing that costs runs for a request that is refused',
    make: ({ context }) => context.authorization.http.rules,
  },
  {
    what: 'extensions, phase STATS',
    why: 'they count what was let in',
    make: ({ context, port }) => context.extensions.http('STATS', port),
  },
  {
    what: 'extensions without a phase',
    why: 'after everything that decides, before everything that routes',
    make: ({ context, port }) => context.extensions.http('UNSPECIFIED', port),
  },
  {
    what: 'grpc_web',
    why: 'grpc_stats below must see gRPC frames',
    make: ({ protocol }) => (protocol === 'GRPC-Web' ? [GRPC_WEB] : []),
  },
  {
    what: 'grpc_stats',
    why: 'message counts for access logs, by filter state',
    make: () => [GRPC_STATS],
  },
  {
    what: 'upstream ALPN',
    why: 'the route is known to every filter, and the connection pool is chosen by the router below',
    make: ({ context }) => (context.role === 'sidecar-inbound' ? [] : [alpnFilter()]),
  },
  {
    what: 'fault',
    why: 'injected faults show in the statistics above; settings are per route',
    make: () => [FAULT],
  },
  {
    what: 'cors',
    why: 'answers preflights without a call to the service; settings are per route',
    make: () => [CORS],
  },
  {
    what: 'stateful_session',
    why: 'the endpoint of a session is chosen for the router below; settings are per route',
    make: ({ context }) =>
      context.role !== 'sidecar-inbound' && context.mesh.features?.persistentSessions === true ? [SESSION_FILTER] : [],
  },
  {
    what: 'dynamic_forward_proxy',
    why: 'resolves the host just before the router asks its cluster for it',
    make: ({ dnsCaches, moreDnsCaches }) => [
      ...(moreDnsCaches ?? []).map((cache) => dynamicForwardProxy('meltemi.dynamic_forward_proxy', cache)),
      ...(dnsCaches ?? []).map((cache) => dynamicForwardProxy('envoy.filters.http.dynamic_forward_proxy', cache)),
    ],
  },
  {
    what: 'router',
    why: 'the terminal filter',
    make: ({ context }) => [router(proxyHeaders(context.proxyClass).suppressDebugHeaders)],
  },
];

/** The HTTP filters of one chain, in order. */
export function httpFilters(inputs: HttpFilterInputs): readonly HttpFilter[] {
  const filters: HttpFilter[] = [];
  for (const { make } of HTTP_FILTER_ORDER) for (const filter of make(inputs)) filters.push(filter);
  return filters;
}

const GRPC_WEB: HttpFilter = constantExtension(
  'envoy.filters.http.grpc_web',
  'envoy.extensions.filters.http.grpc_web.v3.GrpcWeb',
  {},
);

const GRPC_STATS: HttpFilter = constantExtension(
  'envoy.filters.http.grpc_stats',
  'envoy.extensions.filters.http.grpc_stats.v3.FilterConfig',
  { emitFilterState: true, statsForAllMethods: false },
);

const FAULT: HttpFilter = constantExtension(
  'envoy.filters.http.fault',
  'envoy.extensions.filters.http.fault.v3.HTTPFault',
  {},
);

const CORS: HttpFilter = constantExtension('envoy.filters.http.cors', 'envoy.extensions.filters.http.cors.v3.Cors', {});

function dynamicForwardProxy(name: string, dnsCacheConfig: DnsCache): HttpFilter {
  return extension(name, 'envoy.extensions.filters.http.dynamic_forward_proxy.v3.FilterConfig', { dnsCacheConfig });
}

function router(suppressEnvoyHeaders: boolean): HttpFilter {
  return suppressEnvoyHeaders ? SILENT_ROUTER : ROUTER;
}

const ROUTER: HttpFilter = constantExtension(
  'envoy.filters.http.router',
  'envoy.extensions.filters.http.router.v3.Router',
  {},
);

const SILENT_ROUTER: HttpFilter = constantExtension(
  'envoy.filters.http.router',
  'envoy.extensions.filters.http.router.v3.Router',
  { suppressEnvoyHeaders: true },
);
