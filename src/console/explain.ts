// `/debug/explain?proxyID=…[&type=…][&name=…]`: which objects a proxy's resources were made from.
// In: the console's port, a query. Out: rows for the page and for `meltemi explain`. Called by the debug pages.

import { type Origin, TYPE_URL } from '../ir/draft.ts';
import { compareStrings } from '../lib/order.ts';
import type { Resource } from '../resources/resource.ts';
import { viewResources } from '../resources/view.ts';
import type { ConnectionInfo } from './port.ts';

/** Types that can be asked for, in the order in which they are shown. */
export const EXPLAINED_TYPES = ['listener', 'route', 'cluster', 'endpoint', 'secret', 'extension'] as const;

export type ExplainedType = (typeof EXPLAINED_TYPES)[number];

export interface Explanation {
  readonly proxy: string;
  /** What shapes the proxy as a whole: its Sidecar, Gateways and policies. Empty where one resource is asked for. */
  readonly shapedBy: readonly Origin[];
  readonly resources: readonly ExplainedResource[];
}

export interface ExplainedResource {
  readonly type: ExplainedType;
  readonly name: string;
  readonly version: string;
  readonly origins: readonly Origin[];
}

export function isExplainedType(text: string): text is ExplainedType {
  return EXPLAINED_TYPES.some((type) => type === text);
}

/** Of all types when `type` is undefined; of all resources when `name` is. */
export function explanation(
  connection: ConnectionInfo,
  type: ExplainedType | undefined,
  name: string | undefined,
): Explanation {
  const types = type === undefined ? EXPLAINED_TYPES : [type];
  return {
    proxy: connection.proxyId,
    shapedBy: type === undefined ? connection.shapedBy() : [],
    resources: types.flatMap((each) => explained(connection, each, name)),
  };
}

/** Those of the name; those that have it in theirs when no name is exactly it. */
function named(resources: readonly Resource[], name: string | undefined): Resource[] {
  if (name === undefined) return [...resources];
  const exact = resources.filter((resource) => resource.name === name);
  return exact.length > 0 ? exact : resources.filter((resource) => resource.name.includes(name));
}

function explained(
  connection: ConnectionInfo,
  type: ExplainedType,
  name: string | undefined,
): readonly ExplainedResource[] {
  const view = connection.view(TYPE_URL[type]);
  if (view === undefined) return [];
  return named([...viewResources(view)], name)
    .sort((a, b) => compareStrings(a.name, b.name))
    .map((resource) => ({
      type,
      name: resource.name,
      version: resource.version,
      origins: connection.origins(resource),
    }));
}
