// The routes of a service that no VirtualService takes.

import { encode, slot, type Template, template } from '../../codec/index.ts';
import type { ConsistentHashLB, HTTPRetry } from '../../config/generated/types.ts';
import { originOf } from '../../ir/draft.ts';
import type { Dialect } from '../../ir/proxy.ts';
import type { Service } from '../../ir/service.ts';
import type { DestinationRule, ScopedService } from '../../ir/traffic.ts';
import { memo } from '../../lib/memo.ts';
import { Encoded, type Messages } from '../../messages/index.ts';
import { outboundClusterName } from '../clusters/names.ts';
import { serviceOrigins } from '../listeners/origins.ts';
import { serviceOperation } from './decorator.ts';
import { hashPolicy, serviceHash } from './hash-policy.ts';
import { ANY_PATH } from './match.ts';
import { retryPolicy } from './retry.ts';
import { sessionSettings } from './session.ts';
import { timeouts } from './settings.ts';
import type { RouteDefaults, RouteList } from './virtual-service.ts';

/** One route to the service itself. */
export function serviceRoutes(
  { service, rule }: ScopedService,
  port: number,
  { retries, dialect, sessions }: RouteDefaults,
): RouteList {
  const hash = serviceHash(rule, port);
  return renderService(service, port, retries, dialect, hash, hash === undefined ? undefined : rule, sessions);
}

/** Counted by tests: one run for each service and port. */
export const renderService = memo(
  (
    service: Service,
    port: number,
    retries: HTTPRetry | undefined,
    dialect: Dialect,
    hash: ConsistentHashLB | undefined,
    rule: DestinationRule | undefined,
    sessions: boolean,
  ): RouteList => {
    const session = sessions ? service.persistentSession : undefined;
    const { hostname } = service;
    const bytes =
      hash === undefined && session === undefined && hostname !== ''
        ? plainRoute(retries ?? BUILT_IN, dialect).fill(String(port), hostname)
        : encode('envoy.config.route.v3.Route', routeTo(String(port), hostname, retries, dialect, hash, session));
    const own = serviceOrigins(service);
    const origins = rule === undefined ? own : [...own, ...rule.objects.map((object) => originOf(object))];
    return { routes: [{ message: new Encoded(bytes), catchAll: true }], origins, findings: [] };
  },
);

/** Stands for the absence of retries of the mesh: memos want an object. */
const BUILT_IN: HTTPRetry = {};

/** Routes of most services, of which nothing but port and hostname tells them apart. */
const plainRoute = memo(
  (retries: HTTPRetry, dialect: Dialect): Template =>
    template(
      'envoy.config.route.v3.Route',
      routeTo(slot(0), slot(1), retries === BUILT_IN ? undefined : retries, dialect, undefined, undefined),
    ),
);

function routeTo(
  port: string,
  hostname: string,
  retries: HTTPRetry | undefined,
  dialect: Dialect,
  hash: ConsistentHashLB | undefined,
  session: string | undefined,
): Messages['envoy.config.route.v3.Route'] {
  const policy = hashPolicy(hash);
  return {
    name: 'default',
    match: ANY_PATH,
    route: {
      cluster: outboundClusterName(port, '', hostname),
      ...timeouts('0s', dialect),
      retryPolicy: retryPolicy(retries, false),
      hashPolicy: policy === undefined ? undefined : [policy],
    },
    decorator: { operation: serviceOperation(hostname, port) },
    typedPerFilterConfig: session === undefined ? undefined : sessionSettings(session),
  };
}
