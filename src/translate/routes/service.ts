// The routes of a service that no VirtualService takes.

import { encode } from '../../codec/index.ts';
import type { ConsistentHashLB, HTTPRetry } from '../../config/generated/types.ts';
import { originOf } from '../../ir/draft.ts';
import type { Dialect } from '../../ir/proxy.ts';
import type { Service } from '../../ir/service.ts';
import type { DestinationRule, ScopedService } from '../../ir/traffic.ts';
import { memo } from '../../lib/memo.ts';
import { Encoded } from '../../messages/index.ts';
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
    const policy = hashPolicy(hash);
    const session = sessions ? service.persistentSession : undefined;
    const bytes = encode('envoy.config.route.v3.Route', {
      name: 'default',
      match: ANY_PATH,
      route: {
        cluster: outboundClusterName(port, '', service.hostname),
        ...timeouts('0s', dialect),
        retryPolicy: retryPolicy(retries, false),
        hashPolicy: policy === undefined ? undefined : [policy],
      },
      decorator: { operation: serviceOperation(service.hostname, port) },
      typedPerFilterConfig: session === undefined ? undefined : sessionSettings(session),
    });
    const origins = [...serviceOrigins(service), ...(rule?.objects ?? []).map((object) => originOf(object))];
    return { routes: [{ message: new Encoded(bytes), catchAll: true }], origins, findings: [] };
  },
);
