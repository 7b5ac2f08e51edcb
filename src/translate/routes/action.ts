// What a route does: forward to one or several clusters, redirect, or answer by itself.

import type {
  Destination,
  HTTPDirectResponse,
  HTTPRedirect,
  HTTPRoute,
  HTTPRouteDestination,
  Percent,
} from '../../config/generated/types.ts';
import { protoDuration } from '../../lib/duration.ts';
import type { Encoded, Messages } from '../../messages/index.ts';
import { escapeRegex } from '../envoy.ts';
import { filledAction } from './filled-action.ts';
import { hashPolicy } from './hash-policy.ts';
import { type HeaderChanges, headerEdit, joinChanges, NO_EDIT } from './headers.ts';
import { fractionOf, hundredths } from './percent.ts';
import { retryPolicy } from './retry.ts';
import { sessionSettings } from './session.ts';
import { type RouteSettings, type Target, timeouts } from './settings.ts';

type Route = Messages['envoy.config.route.v3.Route'];
type RouteAction = Messages['envoy.config.route.v3.RouteAction'];
type HashPolicy = Messages['envoy.config.route.v3.RouteAction.HashPolicy'];
type MirrorPolicy = Messages['envoy.config.route.v3.RouteAction.RequestMirrorPolicy'];
type ClusterWeight = Messages['envoy.config.route.v3.WeightedCluster.ClusterWeight'];
type RedirectCode = NonNullable<Messages['envoy.config.route.v3.RedirectAction']['responseCode']>;

/** The fields of a route that make up its action, or why there is none. */
export type ActionResult =
  | {
      readonly kind: 'action';
      readonly changes: HeaderChanges;
      readonly route: Route['route'];
      readonly redirect: Route['redirect'];
      readonly directResponse: Route['directResponse'];
      readonly cluster: string | undefined;
      readonly session: string | undefined;
    }
  | { readonly kind: 'unusable'; readonly field: string; readonly why: string };

export interface ActionInputs {
  readonly rule: HTTPRoute;
  readonly settings: RouteSettings;
  readonly targets: ReadonlyMap<Destination, Target>;
  /** The path elements that the match takes off with a rewrite to `/`. */
  readonly matchedElements: string | undefined;
}

export function routeAction(inputs: ActionInputs): ActionResult {
  const { rule, settings } = inputs;
  const { changes, authority } = headerEdit(rule.headers);
  if (rule.redirect !== undefined) {
    const redirect = redirectAction(rule.redirect, settings);
    if (redirect === undefined)
      return unusable('redirect.redirectCode', 'Envoy redirects by 301, 302, 303, 307 and 308');
    return answered(changes, redirect, undefined);
  }
  if (rule.directResponse !== undefined) {
    return answered(changes, undefined, directAnswer(rule.directResponse));
  }
  return forward(inputs, changes, authority);
}

function answered(
  changes: HeaderChanges,
  redirect: Route['redirect'],
  directResponse: Route['directResponse'],
): ActionResult {
  return {
    kind: 'action',
    changes,
    route: undefined,
    redirect,
    directResponse,
    cluster: undefined,
    session: undefined,
  };
}

function forwarded(
  changes: HeaderChanges,
  route: Route['route'],
  cluster: string | undefined,
  session: string | undefined,
): ActionResult {
  return { kind: 'action', changes, route, redirect: undefined, directResponse: undefined, cluster, session };
}

function unusable(field: string, why: string): ActionResult {
  return { kind: 'unusable', field, why };
}

function forward(inputs: ActionInputs, changes: HeaderChanges, authority: string | undefined): ActionResult {
  const destinations = inputs.rule.route ?? [];
  const [only] = destinations;
  if (only === undefined) return unusable('route', 'the rule has no destination');
  if (destinations.length > 1) return forwardToSeveral(inputs, changes, authority, destinations);
  const own = headerEdit(only.headers);
  const target = targetOf(inputs, only);
  const all = own === NO_EDIT ? changes : joinChanges(changes, own.changes);
  const host = authority ?? own.authority;
  const route = filledForward(inputs, host, target) ?? forwardAction(inputs, host, target, undefined);
  return forwarded(all, route, target.cluster, target.session);
}

/** Undefined where more than texts tells the rule from others. */
function filledForward(inputs: ActionInputs, host: string | undefined, target: Target): Encoded | undefined {
  const { rule, settings } = inputs;
  if (target.hash !== undefined || rule.mirror !== undefined || rule.mirrors !== undefined) return undefined;
  const { prefixRewrite, regexRewrite } = pathRewrite(inputs);
  if (regexRewrite !== undefined) return undefined;
  const authority = nonEmpty(rule.rewrite?.authority) ?? host;
  const { semantics, dialect, forwardedHost, defaultRetries } = settings;
  const marked = rule.rewrite !== undefined && forwardedHost ? 'f' : '-';
  const kind = {
    timeout: rule.timeout,
    retries: rule.retries ?? defaultRetries,
    mark: `${dialect}${semantics === 'gateway' ? 'g' : '-'}${marked}`,
  };
  return filledAction(kind, { cluster: target.cluster, prefixRewrite, authority }, (texts) => {
    const uri = texts.prefixRewrite;
    const standIn: HTTPRoute = {
      ...(rule.rewrite && { rewrite: { uri } }),
      timeout: kind.timeout,
      retries: kind.retries,
    };
    const to: Target = { cluster: texts.cluster, hash: undefined, session: undefined };
    return forwardAction({ ...inputs, rule: standIn }, texts.authority, to, undefined);
  });
}

function forwardToSeveral(
  inputs: ActionInputs,
  changes: HeaderChanges,
  authority: string | undefined,
  destinations: readonly HTTPRouteDestination[],
): ActionResult {
  const clusters = clusterWeights(inputs, destinations);
  if (clusters.length === 0) return unusable('route', 'every destination has weight 0');
  return forwarded(changes, forwardAction(inputs, authority, undefined, { clusters }), undefined, undefined);
}

function forwardAction(
  inputs: ActionInputs,
  authority: string | undefined,
  target: Target | undefined,
  weightedClusters: RouteAction['weightedClusters'],
): RouteAction {
  const { rule, settings } = inputs;
  const { timeout, maxGrpcTimeout, maxStreamDuration } = timeouts(
    protoDuration(rule.timeout) ?? '0s',
    settings.dialect,
  );
  const { prefixRewrite, regexRewrite } = pathRewrite(inputs);
  // Written out field by field, as matches are.
  return {
    cluster: target?.cluster,
    clusterNotFoundResponseCode: settings.semantics === 'gateway' ? 'INTERNAL_SERVER_ERROR' : undefined,
    weightedClusters,
    prefixRewrite,
    hostRewriteLiteral: nonEmpty(rule.rewrite?.authority) ?? authority,
    timeout,
    retryPolicy: retryPolicy(rule.retries ?? settings.defaultRetries, target?.hash !== undefined),
    hashPolicy: hashPolicies(inputs, rule.route ?? []),
    maxGrpcTimeout,
    requestMirrorPolicies: mirrorPolicies(inputs),
    regexRewrite,
    maxStreamDuration,
    appendXForwardedHost: rule.rewrite !== undefined && settings.forwardedHost ? true : undefined,
  };
}

/** A destination without host stands for a backend that could not be resolved: no cluster has this name. */
const UNKNOWN: Target = { cluster: 'UnknownService', hash: undefined, session: undefined };

function targetOf({ targets }: ActionInputs, to: HTTPRouteDestination): Target {
  return (to.destination === undefined ? undefined : targets.get(to.destination)) ?? UNKNOWN;
}

function clusterWeights(inputs: ActionInputs, destinations: readonly HTTPRouteDestination[]): readonly ClusterWeight[] {
  return destinations
    .filter(({ weight = 0 }) => weight > 0)
    .map((to) => {
      const { changes, authority } = headerEdit(to.headers);
      const { cluster: name, session } = targetOf(inputs, to);
      const own = { hostRewriteLiteral: authority, typedPerFilterConfig: ofSession(session), ...changes };
      return { name, weight: to.weight, ...own };
    });
}

function ofSession(session: string | undefined): ClusterWeight['typedPerFilterConfig'] {
  return session === undefined ? undefined : sessionSettings(session);
}

function hashPolicies(inputs: ActionInputs, destinations: readonly HTTPRouteDestination[]): RouteAction['hashPolicy'] {
  const policies: HashPolicy[] = [];
  for (const to of destinations) {
    if (destinations.length > 1 && (to.weight ?? 0) <= 0) continue;
    const policy = hashPolicy(targetOf(inputs, to).hash);
    if (policy !== undefined) policies.push(policy);
  }
  return policies.length === 0 ? undefined : policies;
}

const NO_REWRITE: Pick<RouteAction, 'prefixRewrite' | 'regexRewrite'> = {};

function pathRewrite({
  rule,
  settings,
  matchedElements,
}: ActionInputs): Pick<RouteAction, 'prefixRewrite' | 'regexRewrite'> {
  if (rule.rewrite === undefined) return NO_REWRITE;
  const { uri, uriRegexRewrite } = rule.rewrite;
  if (uriRegexRewrite !== undefined) {
    const { match: regex, rewrite: substitution } = uriRegexRewrite;
    return { regexRewrite: { pattern: { regex }, substitution } };
  }
  if (uri === undefined || uri === '') return {};
  if (settings.semantics !== 'gateway' || uri !== '/') return { prefixRewrite: uri };
  // Rewriting a prefix of elements to `/` as text would leave two slashes.
  const regex = `^${escapeRegex(matchedElements ?? '')}(/?)(.*)`;
  return { regexRewrite: { pattern: { regex }, substitution: '/\\2' } };
}

function mirrorPolicies({ rule, targets }: ActionInputs): RouteAction['requestMirrorPolicies'] {
  if (rule.mirror === undefined && rule.mirrors === undefined) return undefined;
  const policies: MirrorPolicy[] = [];
  const add = (to: Destination | undefined, percentage: Percent | undefined, whole: number | undefined): void => {
    if (to === undefined || (percentage?.value ?? whole ?? (percentage === undefined ? 100 : 0)) <= 0) return;
    const defaultValue = percentage === undefined ? hundredths(whole ?? 100) : fractionOf(percentage);
    policies.push({
      cluster: (targets.get(to) ?? UNKNOWN).cluster,
      runtimeFraction: { defaultValue },
      traceSampled: false,
      disableShadowHostSuffixAppend: true,
    });
  };
  add(rule.mirror, rule.mirrorPercentage, rule.mirrorPercent ?? rule.mirror_percent);
  for (const { destination, percentage } of rule.mirrors ?? []) add(destination, percentage, undefined);
  return policies.length === 0 ? undefined : policies;
}

const REDIRECT_CODES: ReadonlyMap<number, RedirectCode> = new Map<number, RedirectCode>([
  [0, 'MOVED_PERMANENTLY'],
  [301, 'MOVED_PERMANENTLY'],
  [302, 'FOUND'],
  [303, 'SEE_OTHER'],
  [307, 'TEMPORARY_REDIRECT'],
  [308, 'PERMANENT_REDIRECT'],
]);

function redirectAction(redirect: HTTPRedirect, settings: RouteSettings): Route['redirect'] | undefined {
  const responseCode = REDIRECT_CODES.get(redirect.redirectCode ?? 0);
  if (responseCode === undefined) return undefined;
  const prefixRewrite = nonEmpty(redirect.prefixRewrite);
  const path = prefixRewrite === undefined ? { pathRedirect: redirect.uri ?? '' } : { prefixRewrite };
  return {
    ...path,
    hostRedirect: redirect.authority,
    schemeRedirect: nonEmpty(redirect.scheme),
    portRedirect: redirectPort(redirect, settings),
    responseCode,
  };
}

/** A port that the scheme implies is left out, so that clients see a clean URL. */
function redirectPort(redirect: HTTPRedirect, settings: RouteSettings): number | undefined {
  const port = redirect.derivePort === 'FROM_REQUEST_PORT' ? settings.port : redirect.port;
  const scheme = nonEmpty(redirect.scheme) ?? (settings.tls ? 'https' : 'http');
  const implied = (scheme === 'http' && port === 80) || (scheme === 'https' && port === 443);
  return implied || port === 0 ? undefined : port;
}

function directAnswer({ status, body }: HTTPDirectResponse): Route['directResponse'] {
  if (body?.string !== undefined) return { status, body: { inlineString: body.string } };
  if (body?.bytes !== undefined) return { status, body: { inlineBytes: body.bytes } };
  return { status };
}

function nonEmpty(text: string | undefined): string | undefined {
  return text === '' ? undefined : text;
}
