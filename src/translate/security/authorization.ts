// AuthorizationPolicies of a workload as filters, once for HTTP chains and once for TCP chains.
// In: the policies that select the workload, mesh, providers. Out: CUSTOM filters, and those of AUDIT, DENY and ALLOW in
// the order in which they decide. Called by context.ts for inbound and gateway chains.

import { encode, joined, lasting } from '../../codec/index.ts';
import type { AuthorizationPolicySpec } from '../../config/generated/types.ts';
import type { ConfigObject } from '../../config/object.ts';
import type { Dialect } from '../../ir/proxy.ts';
import { compareStrings } from '../../lib/order.ts';
import { Encoded, type Messages } from '../../messages/index.ts';
import { extension } from '../envoy.ts';
import type { Providers } from '../observability/providers.ts';
import { type EncodedRule, encodedRules, type Protocol, trustDomainsOf } from './encoded-rules.ts';
import { EXT_AUTHZ_RULE_PREFIX, EXT_AUTHZ_SHADOW_PREFIX, externalAuthorizer } from './ext-authz.ts';
import type { MeshSettings } from '../mesh.ts';

type HttpFilter = Messages['envoy.extensions.filters.network.http_connection_manager.v3.HttpFilter'];
type NetworkFilter = Messages['envoy.config.listener.v3.Filter'];
type RbacAction = NonNullable<Messages['envoy.config.rbac.v3.RBAC']['action']>;
type Policy = ConfigObject<AuthorizationPolicySpec>;

interface Stage<T> {
  /** Before authentication of requests. */
  readonly custom: readonly T[];
  readonly rules: readonly T[];
}

export interface AuthorizationFilters {
  readonly http: Stage<HttpFilter>;
  readonly tcp: Stage<NetworkFilter>;
}

export const NO_AUTHORIZATION: AuthorizationFilters = {
  http: { custom: [], rules: [] },
  tcp: { custom: [], rules: [] },
};

export interface AuthorizationInputs {
  readonly policies: readonly Policy[];
  readonly mesh: MeshSettings;
  readonly providers: Providers;
  readonly dialect: Dialect;
}

const RBAC = 'envoy.config.rbac.v3.RBAC';

export function authorizationFilters(inputs: AuthorizationInputs): AuthorizationFilters {
  if (inputs.policies.length === 0) return NO_AUTHORIZATION;
  return {
    http: { custom: customFilters(inputs, 'http'), rules: ruleFilters(inputs, 'http') },
    tcp: { custom: customFilters(inputs, 'tcp'), rules: ruleFilters(inputs, 'tcp') },
  };
}

type PolicyAction = NonNullable<AuthorizationPolicySpec['action']>;

/** The order in which actions decide: AUDIT only marks, one DENY is enough, ALLOW comes last. */
const RULE_ACTIONS: readonly (readonly [PolicyAction, RbacAction])[] = [
  ['AUDIT', 'LOG'],
  ['DENY', 'DENY'],
  ['ALLOW', 'ALLOW'],
];

function withAction(policies: readonly Policy[], action: PolicyAction): readonly Policy[] {
  return policies.filter(({ spec }) => (spec.action ?? 'ALLOW') === action);
}

const DRY_RUN_ANNOTATION = 'istio.io/dry-run';

function isDryRun({ annotations, spec }: Policy): boolean {
  const action = spec.action ?? 'ALLOW';
  return annotations[DRY_RUN_ANNOTATION]?.toLowerCase() === 'true' && (action === 'ALLOW' || action === 'DENY');
}

function ruleFilters(inputs: AuthorizationInputs, protocol: Protocol): readonly HttpFilter[] {
  return RULE_ACTIONS.flatMap(([action, rbacAction]) => {
    const chosen = withAction(inputs.policies, action);
    if (chosen.length === 0) return [];
    const enforced = chosen.filter((policy) => !isDryRun(policy));
    const dry = chosen.filter(isDryRun);
    const rbacOf = (list: readonly Policy[]): Encoded | undefined =>
      list.length === 0 ? undefined : rbac(list, rbacAction, inputs, protocol, AS_IS);
    return [rbacFilter(protocol, rbacOf(enforced), rbacOf(dry), dryRunPrefix(dry.length > 0 && action === 'DENY'))];
  });
}

/** The prefix is there without dry runs too, where it has no effect. */
function dryRunPrefix(deny: boolean): string {
  return deny ? 'istio_dry_run_deny_' : 'istio_dry_run_allow_';
}

/** What stands before and behind the names of rules. */
interface Naming {
  readonly prefix: string;
  readonly suffix: string;
}

const AS_IS: Naming = { prefix: '', suffix: '' };

function rbac(
  policies: readonly Policy[],
  action: RbacAction,
  { mesh, dialect }: AuthorizationInputs,
  protocol: Protocol,
  { prefix, suffix }: Naming,
): Encoded {
  const domains = trustDomainsOf(mesh);
  const allow = action === 'ALLOW';
  const rules: EncodedRule[] = [];
  for (const policy of policies) {
    for (const rule of encodedRules(policy, allow, dialect, domains, prefix, suffix)[protocol]) rules.push(rule);
  }
  rules.sort((a, b) => compareStrings(a.name, b.name));
  // ALLOW is the enum's zero value.
  const start = encode(RBAC, { action: allow ? undefined : action });
  return new Encoded(joined([start, ...rules.map(({ bytes }) => bytes)]));
}

const TCP_STAT_PREFIX = 'tcp.';

/** Every chain of a workload has the filter: encoded once. */
function rbacFilter(
  protocol: Protocol,
  rules: Encoded | undefined,
  shadowRules: Encoded | undefined,
  shadowRulesStatPrefix: string | undefined,
): HttpFilter & NetworkFilter {
  const settings = { rules, shadowRules, shadowRulesStatPrefix };
  return lasting(
    protocol === 'http'
      ? extension('envoy.filters.http.rbac', 'envoy.extensions.filters.http.rbac.v3.RBAC', settings)
      : extension('envoy.filters.network.rbac', 'envoy.extensions.filters.network.rbac.v3.RBAC', {
          ...settings,
          statPrefix: TCP_STAT_PREFIX,
        }),
  );
}

/** Ends the keys of rules that deny because their authorizer can't be asked. */
const BAD_CUSTOM_SUFFIX = '-deny-due-to-bad-CUSTOM-action';

/** Rules without effect that mark what they match, and the authorizer, which runs for what is marked. */
function customFilters(inputs: AuthorizationInputs, protocol: Protocol): readonly HttpFilter[] {
  const { policies, providers } = inputs;
  const chosen = withAction(policies, 'CUSTOM');
  if (chosen.length === 0) return [];
  const names = [...new Set(chosen.map(({ spec }) => spec.provider?.name ?? ''))].sort(compareStrings);
  return names.flatMap((name) => {
    const own = chosen.filter(({ spec }) => (spec.provider?.name ?? '') === name);
    const prefix = `${EXT_AUTHZ_RULE_PREFIX}-${name}-`;
    const marks = (suffix: string): Encoded => rbac(own, 'DENY', inputs, protocol, { prefix, suffix });
    const provider = names.length === 1 ? providers.get(name) : undefined;
    const authorizer = provider === undefined ? undefined : externalAuthorizer(provider);
    if (authorizer === undefined) return [rbacFilter(protocol, marks(BAD_CUSTOM_SUFFIX), undefined, undefined)];
    const filter = protocol === 'http' ? authorizer.http : authorizer.tcp;
    // An HTTP authorizer has nothing to say about connections.
    return filter === undefined ? [] : [rbacFilter(protocol, undefined, marks(''), EXT_AUTHZ_SHADOW_PREFIX), filter];
  });
}
