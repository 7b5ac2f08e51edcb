// Why a proxy has what it has: the objects behind one resource, and behind the proxy as a whole.
// In: a session, a resource of its views. Out: origins with the generations in force. Called by the debug pages: nothing
// here is computed before somebody asks, and nothing of it is on the wire.

import type { ConfigObject, Kind, ObjectRef } from '../config/object.ts';
import { type Origin, originOf, TYPE_URL } from '../ir/draft.ts';
import type { Service } from '../ir/service.ts';
import type { Scope } from '../ir/snapshot.ts';
import type { ScopedService } from '../ir/traffic.ts';
import { type Table, tableGet } from '../lib/table.ts';
import { endpointSources } from '../registry/sources.ts';
import type { Resource } from '../resources/resource.ts';
import { shardKey } from '../resources/view.ts';
import { type LinkedSnapshot, shapingObjects } from '../snapshot/index.ts';
import { uniqueOrigins } from '../translate/draft.ts';
import type { PlaneSession } from './proxy-session.ts';

/** Objects in force, by kind. */
export type ObjectTables = (kind: Kind) => Table<ConfigObject>;

/** What a resource of the session was made from, in order of kind, namespace and name. */
export function resourceOrigins(
  session: PlaneSession,
  resource: Resource,
  snapshot: LinkedSnapshot,
  tables: ObjectTables,
): readonly Origin[] {
  const scope = session.classState?.views?.scope;
  const more = scope === undefined ? [] : further(scope, resource, snapshot);
  return uniqueOrigins([...resource.origins, ...more].map((origin) => withGeneration(origin, tables)));
}

/** What shapes the proxy as a whole: Sidecar, policies, and those that lost against them. */
export function proxyOrigins(session: PlaneSession, snapshot: LinkedSnapshot, tables: ObjectTables): readonly Origin[] {
  const { classState, workload } = session;
  const scope = classState?.views?.scope;
  if (scope === undefined || workload === undefined) return [];
  const gateways = (scope.gateway?.ports ?? []).flatMap((port) =>
    port.servers.map((server) => originOf(server.gateway)),
  );
  const shaping = shapingObjects(snapshot, workload, scope.policies);
  return uniqueOrigins([...gateways, ...shaping].map((origin) => withGeneration(origin, tables)));
}

/** What a draft need not carry, since it can be told from its name: who brought the endpoints, who decided on mTLS. */
function further(scope: Scope, { typeUrl, name }: Resource, snapshot: LinkedSnapshot): readonly Origin[] {
  const host = shardKey(name);
  if (host === name) return [];
  if (typeUrl === TYPE_URL.endpoint) return endpointSources(snapshot.registry, host).map((object) => originOf(object));
  if (typeUrl !== TYPE_URL.cluster) return [];
  const scoped = tableGet(scope.services, host);
  if (scoped === undefined) return [];
  const inside = isResolvedByProxy(scoped.service) ? endpointSources(snapshot.registry, host) : [];
  return [...inside.map((object) => originOf(object)), ...mtlsOrigins(scope, scoped, snapshot)];
}

/** Such clusters carry their endpoints. */
function isResolvedByProxy({ resolution }: Service): boolean {
  return resolution === 'DNSLB' || resolution === 'DNSRoundRobinLB';
}

function mtlsOrigins(scope: Scope, scoped: ScopedService, snapshot: LinkedSnapshot): readonly Origin[] {
  if (scoped.mtls === undefined) return [];
  const levels = [snapshot.settings.rootNamespace, scoped.service.namespace];
  return scope.peerAuthn.objects
    .filter(({ namespace }) => levels.includes(namespace))
    .filter(({ spec }) => Object.keys(spec.selector?.matchLabels ?? {}).length === 0)
    .map((object) => originOf(object, 'spec.mtls'));
}

/**
 * Services are known by reference downstream, so that a write to one that changes nothing renders nothing: their
 * generation is that of the object in force.
 */
function withGeneration(origin: Origin, tables: ObjectTables): Origin {
  if (origin.generation !== 0) return origin;
  const generation = objectOf(origin, tables)?.generation ?? 0;
  return generation === 0 ? origin : { ...origin, generation };
}

function objectOf({ kind, namespace, name }: ObjectRef, tables: ObjectTables): ConfigObject | undefined {
  return tableGet(tables(kind), `${namespace}/${name}`);
}
