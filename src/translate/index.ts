// Translation as a whole: what one class of proxies, and one workload, is given.
// In: a scope, a workload. Out: drafts. Called by the plane; every part keeps what it made before and reuses it by identity.

import type { Draft } from '../ir/draft.ts';
import type { Workload } from '../ir/proxy.ts';
import type { Scope } from '../ir/snapshot.ts';
import { memo } from '../lib/memo.ts';
import type { Table } from '../lib/table.ts';
import { endpointAssignments, type EndpointAssignments } from './endpoints/index.ts';
import { inboundClusters, type OutboundClusters, outboundClusters } from './clusters/index.ts';
import { gatewayListeners } from './gateway/listeners.ts';
import { gatewayRoutes } from './gateway/routes.ts';
import { inboundListeners, type OutboundListeners, outboundListeners, workloadListeners } from './listeners/index.ts';
import { type OutboundRoutes, outboundRoutes } from './routes/index.ts';

/** Resources that all proxies of a class share. */
export interface ClassResources {
  readonly clusters: Table<readonly Draft[]>;
  readonly endpoints: Table<readonly Draft[]>;
  readonly listeners: readonly Draft[];
  readonly routes: readonly Draft[];
  readonly extensions: readonly Draft[];
  readonly nameTables: readonly Draft[];
  /** What the parts start from next time. */
  readonly parts: ClassParts;
}

interface ClassParts {
  readonly clusters: OutboundClusters;
  readonly endpoints: EndpointAssignments;
  readonly listeners?: OutboundListeners | undefined;
  readonly routes?: OutboundRoutes | undefined;
}

/** Resources of one workload, beside those of its class. */
export interface WorkloadResources {
  readonly clusters: readonly Draft[];
  readonly listeners: readonly Draft[];
}

export function translateClass(scope: Scope, previous: ClassResources | undefined): ClassResources {
  const clusters = outboundClusters(scope, previous?.parts.clusters);
  const endpoints = endpointAssignments(scope, previous?.parts.endpoints);
  const base = { clusters: clusters.table, endpoints: endpoints.table, extensions: [], nameTables: [] };
  if (scope.proxyClass.type === 'router') {
    return {
      ...base,
      listeners: gatewayListeners(scope, previous?.listeners),
      routes: gatewayRoutes(scope, previous?.routes),
      parts: { clusters, endpoints },
    };
  }
  const listeners = outboundListeners(scope, previous?.parts.listeners);
  const routes = outboundRoutes(scope, previous?.parts.routes);
  return {
    ...base,
    listeners: listeners.drafts,
    routes: routes.drafts,
    parts: { clusters, endpoints, listeners, routes },
  };
}

/** `shared`: what the workload's class was given under this scope. */
export function translateWorkload(scope: Scope, workload: Workload, shared: ClassResources): WorkloadResources {
  const clusters = inboundClusters(scope, workload);
  const { listeners } = shared.parts;
  if (listeners === undefined) return { clusters, listeners: [] };
  return {
    clusters,
    listeners: joined(workloadListeners(scope, workload, listeners.named), inboundListeners(scope, workload)),
  };
}

const joined = memo((outbound: readonly Draft[], inbound: readonly Draft[]): readonly Draft[] => [
  ...outbound,
  ...inbound,
]);
