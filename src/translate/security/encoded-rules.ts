// Rules of AuthorizationPolicies, encoded one by one for both kinds of chains.
// In: a policy, and how its rules are named and judged. Out: RBACs of one rule each: maps one behind the other are one map, so
// that a change of one policy leaves those of all others as they are.

import { encode, encodeEntry } from '../../codec/index.ts';
import type { AuthorizationPolicySpec, Rule } from '../../config/generated/types.ts';
import type { ConfigObject } from '../../config/object.ts';
import type { Dialect } from '../../ir/proxy.ts';
import { memo } from '../../lib/memo.ts';
import type { MeshSettings } from '../mesh.ts';
import { NEVER, rbacPolicy, type RuleContext } from './rule.ts';

export type Protocol = 'http' | 'tcp';

export interface EncodedRule {
  /** As statistics and logs show it. */
  readonly name: string;
  /** An RBAC of this rule alone. */
  readonly bytes: Uint8Array;
}

/** In no trust domain. */
const DOMAIN_SEPARATOR = '\n';

/** The mesh's own trust domain and its aliases, as text: a flat memo input. */
export function trustDomainsOf({ trustDomain, trustDomainAliases }: MeshSettings): string {
  return [...new Set([trustDomain, ...trustDomainAliases])].join(DOMAIN_SEPARATOR);
}

/** `policies` of envoy.config.rbac.v3.RBAC. */
const POLICIES = 2;

/** The rules of one policy that can be expressed. Counted by tests. */
export const encodedRules = memo(
  (
    { namespace, name, spec }: ConfigObject<AuthorizationPolicySpec>,
    allow: boolean,
    dialect: Dialect,
    domains: string,
    prefix: string,
    suffix: string,
  ): Readonly<Record<Protocol, readonly EncodedRule[]>> => {
    const context = { dialect, namespace, trustDomains: domains.split(DOMAIN_SEPARATOR), allow };
    const settings = `${namespace} ${dialect} ${allow} ${domains}`;
    const made: Record<Protocol, EncodedRule[]> = { http: [], tcp: [] };
    for (const [index, rule] of (spec.rules?.length ? spec.rules : NO_RULES).entries()) {
      const key = `${prefix}ns[${namespace}]-policy[${name}]-rule[${index}]${suffix}`;
      const { http, tcp } = policiesOf(rule, context, settings);
      if (http !== undefined) made.http.push({ name: key, bytes: encodeEntry(POLICIES, key, http) });
      if (tcp !== undefined) made.tcp.push({ name: key, bytes: encodeEntry(POLICIES, key, tcp) });
    }
    return made;
  },
);

/** A policy without rules matches nothing. */
const NO_RULES: readonly undefined[] = [undefined];

/** An encoded envoy.config.rbac.v3.Policy for each kind of chain; undefined where the rule must be left out. */
type RulePolicies = Readonly<Record<Protocol, Uint8Array | undefined>>;

type Context = Omit<RuleContext, 'tcp'>;

/** Many policies of a mesh have the same rules under other names: made for one, they are there for all. */
const MAX_KNOWN = 4096;
const known = new Map<string, RulePolicies>();

/** `settings`: all that the context says, as text. */
function policiesOf(rule: Rule | undefined, context: Context, settings: string): RulePolicies {
  const text = `${settings}\n${JSON.stringify(rule)}`;
  let policies = known.get(text);
  if (policies === undefined) {
    policies = { http: policyOf(rule, { ...context, tcp: false }), tcp: policyOf(rule, { ...context, tcp: true }) };
    if (known.size >= MAX_KNOWN) known.clear();
    known.set(text, policies);
  }
  return policies;
}

function policyOf(rule: Rule | undefined, context: RuleContext): Uint8Array | undefined {
  const policy = rule === undefined ? NEVER : rbacPolicy(rule, context);
  return policy && encode('envoy.config.rbac.v3.Policy', policy);
}
