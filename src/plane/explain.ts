// Why a proxy has what it has: the objects behind one resource, and behind the proxy as a whole.
// In: a session, a resource of its views. Out: origins with the generations in force. Called by the debug pages: nothing
// here is computed before somebody asks, and nothing of it is on the wire.

import type { ConfigObject, Kind, ObjectRef } from '../config/object.ts';
import { type Origin, originOf } from '../ir/draft.ts';
import { type Table, tableGet } from '../lib/table.ts';
import type { Resource } from '../resources/resource.ts';
import { type LinkedSnapshot, shapingObjects } from '../snapshot/index.ts';
import { uniqueOrigins } from '../translate/draft.ts';
import { impliedOrigins } from './implied-origins.ts';
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
  const all = [...resource.origins, ...unnamedOrigins(session, resource, snapshot)];
  return uniqueOrigins(all.map((origin) => withGeneration(origin, tables)));
}

/** Objects behind a resource of the session that the resource itself does not name. */
export function unnamedOrigins(
  { workload, classState }: PlaneSession,
  resource: Resource,
  snapshot: LinkedSnapshot,
): readonly Origin[] {
  const views = classState?.views;
  if (views === undefined || workload === undefined) return [];
  const { scope, resources } = views;
  return impliedOrigins({ scope, workload, snapshot, listeners: resources.parts.placeless?.listeners }, resource);
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
