// Conditions by which a controller says that an object is not in force.

import { FINDING_CODES } from '../config/codes.ts';
import type { Finding } from '../config/object.ts';
import { type Analysis, fieldOf, listOf, type WrittenDocument } from './analysis.ts';

const ROUTE = ['Accepted', 'Programmed', 'ResolvedRefs'];
const BOUND = ['istio.io/WaypointBound'];

/** By kind, the conditions that are bad news when they are False. */
const NEWS: Readonly<Record<string, readonly string[]>> = {
  Service: BOUND,
  ServiceEntry: BOUND,
  WorkloadEntry: BOUND,
  AuthorizationPolicy: ['ZtunnelAccepted', 'WaypointAccepted'],
  Gateway: ROUTE,
  HTTPRoute: ROUTE,
  GRPCRoute: ROUTE,
};

export function* negativeConditions({ documents }: Analysis): Iterable<Finding> {
  for (const document of documents) {
    const news = NEWS[document.kind];
    if (news === undefined) continue;
    for (const [path, condition] of conditionsOf(document)) {
      const { type, status, reason, message } = condition;
      const half = type === 'WaypointAccepted' && reason === 'PartiallyInvalid';
      if (!news.includes(String(type)) || (status !== 'False' && !half)) continue;
      const { severity } = FINDING_CODES.IST0171;
      const { kind, namespace, name, origin } = document;
      yield {
        severity,
        code: 'IST0171',
        ...(origin === undefined ? {} : { origin }),
        path,
        message: `${kind} ${namespace}/${name}: ${String(type)} is ${String(status)}, ${String(reason)}: ${String(message)}`,
      };
    }
  }
}

type Condition = Readonly<Record<string, unknown>>;

/** Routes have conditions for each parent. */
function conditionsOf({ value }: WrittenDocument): readonly (readonly [string, Condition])[] {
  const status = fieldOf(value, 'status');
  const own = listOf(status['conditions']).map((each, i) => [`status.conditions[${i}]`, each] as const);
  const parents = listOf(status['parents']).flatMap((parent, at) =>
    listOf(parent['conditions']).map((each, i) => [`status.parents[${at}].conditions[${i}]`, each] as const),
  );
  return [...own, ...parents];
}
