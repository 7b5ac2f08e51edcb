// The routes of one VirtualService on one port: rendered and encoded once for all listeners and classes that agree on the
// inputs. In: the linked node and flat values; out: encoded routes in order, the fields that they came from, findings.
// Called for sidecars (index.ts) and gateways (../gateway/routes.ts).

import { CodecError, constantTemplate, encode, lasting, slot } from '../../codec/index.ts';
import type {
  ConsistentHashLB,
  Destination,
  HTTPMatchRequest,
  HTTPRetry,
  HTTPRoute,
} from '../../config/generated/types.ts';
import type { Finding } from '../../config/object.ts';
import { type Origin, originOf } from '../../ir/draft.ts';
import type { Dialect } from '../../ir/proxy.ts';
import type { VirtualService } from '../../ir/traffic.ts';
import { memo } from '../../lib/memo.ts';
import { Encoded, type Messages } from '../../messages/index.ts';
import { type ActionResult, routeAction } from './action.ts';
import { ALL_APPLY, APPLIES, type Audience, applicableClauses } from './applicable.ts';
import { isServiceCluster, matchedPath, operationBase } from './decorator.ts';
import { perFilterConfig } from './filters.ts';
import { isCatchAll, type RouteMatch, routeMatch } from './match.ts';
import { type RouteSettings, semanticsOf, type Target } from './settings.ts';

type Route = Messages['envoy.config.route.v3.Route'];

export interface EncodedRoute {
  readonly message: Encoded;
  /** Takes every request. */
  readonly catchAll: boolean;
}

/** The routes of a virtual host, with what they were made from. Its identity stands for its content. */
export interface RouteList {
  readonly routes: readonly EncodedRoute[];
  readonly origins: readonly Origin[];
  readonly findings: readonly Finding[];
}

/** Finds where destinations lead: the one thing that routes need to know of other objects. */
export type TargetOf = (destination: Destination) => Target;

/** What of the mesh and the proxy routes depend on. */
export interface RouteDefaults {
  readonly retries: HTTPRetry | undefined;
  readonly forwardedHost: boolean;
  readonly dialect: Dialect;
  /** Services may keep their callers with one endpoint. */
  readonly sessions: boolean;
}

/** The routes that apply for the audience; without any, the VirtualService has no say there. */
export function virtualServiceRoutes(
  node: VirtualService,
  audience: Audience,
  tls: boolean,
  defaults: RouteDefaults,
  targetOf: TargetOf,
): RouteList {
  const targets: (string | ConsistentHashLB | undefined)[] = [];
  for (const destination of destinationsOf(node)) {
    const { cluster, hash, session } = targetOf(destination);
    targets.push(cluster, hash, session);
  }
  const clauses = applicableClauses(node, audience);
  const { retries, forwardedHost, dialect } = defaults;
  // Where nothing tells of the listener, routes are the same on every one.
  const alike = isForwarding(node) && targets.every(leadsToService);
  const port = alike ? ANY_PORT : audience.port;
  return renderRoutes(node, port, clauses, tls && !alike, retries, forwardedHost, dialect, ...targets);
}

/** In place of a port that shows nowhere. */
const ANY_PORT = -1;

/** All rules lead to one destination each: redirects tell of the listener, and so do operations of anything else. */
const isForwarding = memo((node: VirtualService): boolean =>
  node.http.every(
    ({ route, redirect, directResponse }) =>
      redirect === undefined &&
      directResponse === undefined &&
      route?.length === 1 &&
      route[0]?.destination !== undefined,
  ),
);

/** Of the cluster, the hash and the session of a destination, the cluster leads to a port of a service. */
function leadsToService(target: string | ConsistentHashLB | undefined, index: number): boolean {
  return index % 3 !== 0 || (typeof target === 'string' && isServiceCluster(target));
}

/** Every destination and mirror, in order. */
export const destinationsOf = memo((node: VirtualService): readonly Destination[] => {
  const all: Destination[] = [];
  const add = (destination: Destination | undefined): void => {
    if (destination !== undefined) all.push(destination);
  };
  for (const rule of node.http) {
    for (const { destination } of rule.route ?? []) add(destination);
    add(rule.mirror);
    for (const { destination } of rule.mirrors ?? []) add(destination);
  }
  return all;
});

/** Counted by tests: one run for each VirtualService, port and set of targets. */
export const renderRoutes = memo(
  (
    node: VirtualService,
    port: number,
    clauses: string,
    tls: boolean,
    defaultRetries: HTTPRetry | undefined,
    forwardedHost: boolean,
    dialect: Dialect,
    ...targets: readonly (string | ConsistentHashLB | undefined)[]
  ): RouteList => {
    const semantics = semanticsOf(node);
    const settings: RouteSettings = { port, tls, semantics, defaultRetries, forwardedHost, dialect };
    return renderAll({ node, settings, targets: pairTargets(node, targets), metadata: metadataOf(node) }, clauses);
  },
);

function pairTargets(
  node: VirtualService,
  flat: readonly (string | ConsistentHashLB | undefined)[],
): ReadonlyMap<Destination, Target> {
  const pairs = new Map<Destination, Target>();
  for (const [index, destination] of destinationsOf(node).entries()) {
    pairs.set(destination, {
      cluster: flat[index * 3] as string,
      hash: flat[index * 3 + 1] as ConsistentHashLB | undefined,
      session: flat[index * 3 + 2] as string | undefined,
    });
  }
  return pairs;
}

interface Pass {
  readonly node: VirtualService;
  readonly settings: RouteSettings;
  readonly targets: ReadonlyMap<Destination, Target>;
  readonly metadata: Encoded;
}

/** What has come of the clauses so far. */
interface Made {
  readonly routes: EncodedRoute[];
  readonly origins: Origin[];
  readonly findings: Finding[];
}

function renderAll(pass: Pass, clauses: string): RouteList {
  const { node } = pass;
  const made: Made = { routes: [], origins: [], findings: [] };
  let clause = 0;
  for (let index = 0; index < node.http.length; index++) {
    const rule = node.http[index] as HTTPRoute;
    const matches = rule.match ?? [];
    const before = made.routes.length;
    renderRule(pass, rule, index, clauses === ALL_APPLY ? undefined : clauses, clause, made);
    clause += matches.length === 0 ? 1 : matches.length;
    const own = made.routes.length > before;
    if (own) made.origins.push(originOf(node.object, rulePath(node, index)));
    // Routes are tried in order: behind one that takes everything nothing is ever reached.
    if (matches.length === 0 || (own && made.routes.at(-1)?.catchAll === true)) break;
  }
  for (const object of node.delegates) made.origins.push(originOf(object));
  return made;
}

/** `letters` of all clauses of the VirtualService, those of the rule from `first` on; undefined = all apply. */
function renderRule(
  pass: Pass,
  rule: HTTPRoute,
  index: number,
  letters: string | undefined,
  first: number,
  made: Made,
): void {
  const matches: readonly (HTTPMatchRequest | undefined)[] = rule.match?.length ? rule.match : ANY_REQUEST;
  let shared: SharedAction | undefined;
  for (let position = 0; position < matches.length; position++) {
    if (letters !== undefined && letters[first + position] !== APPLIES) continue;
    const match = matches[position];
    // Only a rewrite by path elements looks at what was matched.
    if (shared === undefined || pass.settings.semantics === 'gateway') shared = sharedAction(pass, rule, match);
    const outcome = renderClause(pass, rule, index, match, shared);
    if ('severity' in outcome) made.findings.push(outcome);
    else {
      made.routes.push(outcome);
      if (outcome.catchAll) break;
    }
  }
}

const ANY_REQUEST: readonly undefined[] = [undefined];

/** What the clauses of a rule have in common; what they lead to is encoded once for all of them. */
interface SharedAction {
  readonly action: ActionResult;
  readonly route: Route['route'];
  /** Of the operation that spans are named by; the path comes behind it. */
  readonly operation: string;
}

function sharedAction({ node, settings, targets }: Pass, rule: HTTPRoute, clause?: HTTPMatchRequest): SharedAction {
  const match = settings.semantics === 'gateway' ? routeMatch(clause, 'elements') : undefined;
  const action = routeAction({ rule, settings, targets, matchedElements: match?.pathSeparatedPrefix });
  if (action.kind === 'unusable') return { action, route: undefined, operation: '' };
  const several = (rule.match?.length ?? 0) > 1 && settings.semantics !== 'gateway';
  const mark = several && action.route !== undefined && !(action.route instanceof Encoded);
  const route = mark ? lasting(action.route) : action.route;
  return { action, route, operation: operationBase(action.cluster, node.name, settings.port) };
}

function renderClause(
  pass: Pass,
  rule: HTTPRoute,
  index: number,
  clause: HTTPMatchRequest | undefined,
  { action, route, operation }: SharedAction,
): EncodedRoute | Finding {
  const { node, settings, metadata } = pass;
  const match = routeMatch(clause, settings.semantics === 'istio' ? 'characters' : 'elements');
  if (match === undefined) return refused(node, index, 'match', 'an empty regular expression matches no path');
  if (action.kind === 'unusable') return refused(node, index, action.field, action.why);
  try {
    const bytes = encode(
      'envoy.config.route.v3.Route',
      routeMessage(rule, clause, match, action, route, operation, metadata),
    );
    return { message: new Encoded(bytes), catchAll: isCatchAll(match) };
  } catch (error) {
    if (!(error instanceof CodecError)) throw error;
    return refused(node, index, '', error.message);
  }
}

function routeMessage(
  rule: HTTPRoute,
  clause: HTTPMatchRequest | undefined,
  match: RouteMatch,
  { redirect, directResponse, changes, session }: ActionResult & { readonly kind: 'action' },
  route: Route['route'],
  operation: string,
  metadata: Encoded,
): Route {
  return {
    match,
    route,
    redirect,
    metadata,
    decorator: { operation: operation + matchedPath(match) },
    directResponse,
    requestHeadersToAdd: changes.requestHeadersToAdd,
    responseHeadersToAdd: changes.responseHeadersToAdd,
    responseHeadersToRemove: changes.responseHeadersToRemove,
    requestHeadersToRemove: changes.requestHeadersToRemove,
    typedPerFilterConfig: perFilterConfig(rule.fault, rule.corsPolicy, session),
    name: nonEmpty(clause?.name) === undefined ? nonEmpty(rule.name) : `${rule.name ?? ''}.${clause?.name}`,
    statPrefix: nonEmpty(clause?.statPrefix),
  };
}

/** Access logs and tools show which object a route came from. */
function metadataOf({ object }: VirtualService): Encoded {
  const config = `/apis/networking.istio.io/v1/namespaces/${object.namespace}/virtual-service/${object.name}`;
  return new Encoded(METADATA.fill(config));
}

const METADATA = constantTemplate('envoy.config.core.v3.Metadata', () => ({
  filterMetadata: { istio: { config: slot(0) } },
}));

function refused(node: VirtualService, index: number, field: string, message: string): Finding {
  const { kind, namespace, name, origin } = node.object;
  const rule = rulePath(node, index);
  const path = rule === undefined || field === '' ? rule : `${rule}.${field}`;
  return { severity: 'error', code: 'MEL0051', ref: { kind, namespace, name }, origin, path, message };
}

/** With delegates merged in, the position among the merged rules is no position in the object. */
function rulePath(node: VirtualService, index: number): string | undefined {
  return node.delegates.length > 0 ? undefined : `spec.http[${index}]`;
}

function nonEmpty(text: string | undefined): string | undefined {
  return text === '' ? undefined : text;
}
