// One rule of an AuthorizationPolicy as an RBAC policy.
// In: a rule, the chain's kind, the action. Out: permissions and principals, or undefined when the rule must be left out.

import type { Condition, Operation, Rule, Source } from '../../config/generated/types.ts';
import type { Dialect } from '../../ir/proxy.ts';
import type { Messages } from '../../messages/index.ts';
import type { FieldMaker, Permission, Principal } from './rule-fields.ts';
import * as field from './rule-fields.ts';
import { expandPrincipals, type TrustDomains } from './trust-domain.ts';

export type RbacPolicy = Messages['envoy.config.rbac.v3.Policy'];

export interface RuleContext {
  readonly dialect: Dialect;
  /** Of the policy. */
  readonly namespace: string;
  readonly trustDomains: TrustDomains;
  readonly tcp: boolean;
  /**
   * What an unusable value means: an allow rule goes as a whole, for less is allowed then; of any other rule only the
   * value goes, for more is denied then.
   */
  readonly allow: boolean;
}

/** Nothing matches: what a policy without rules stands for. */
export const NEVER: RbacPolicy = {
  permissions: [{ notRule: { any: true } }],
  principals: [{ notId: { any: true } }],
};

interface Clause<T> {
  readonly maker: FieldMaker<T>;
  readonly values: readonly string[];
  readonly notValues: readonly string[];
}

/** A rule that can't be expressed on this kind of chain. */
const UNUSABLE = Symbol('unusable');

export function rbacPolicy(rule: Rule, context: RuleContext): RbacPolicy | undefined {
  const conditions = conditionClauses(rule.when ?? [], context);
  if (conditions === undefined) return undefined;
  const sources = rule.from ?? [];
  const operations = rule.to ?? [];
  const principals = (sources.length === 0 ? [undefined] : sources).map((from) => {
    const clauses = [...sourceClauses(from?.source, context), ...conditions.principal];
    return principalOf(clauses, context);
  });
  const permissions = (operations.length === 0 ? [undefined] : operations).map((to) => {
    const clauses = [...operationClauses(to?.operation), ...conditions.permission];
    return permissionOf(clauses, context);
  });
  const usable = <T>(part: T | typeof UNUSABLE): part is T => part !== UNUSABLE;
  if (!principals.every(usable) || !permissions.every(usable)) return undefined;
  return { permissions, principals };
}

function sourceClauses(source: Source | undefined, context: RuleContext): readonly Clause<Principal>[] {
  if (source === undefined) return [];
  const all = new Clauses<Principal>();
  const expand = (values: readonly string[] | undefined) => expandPrincipals(values ?? [], context.trustDomains);
  if (source.principals !== undefined || source.notPrincipals !== undefined)
    all.add(field.sourcePrincipal, expand(source.principals), expand(source.notPrincipals));
  if (source.requestPrincipals !== undefined || source.notRequestPrincipals !== undefined)
    all.add(field.requestPrincipal(context.dialect), source.requestPrincipals, source.notRequestPrincipals);
  if (source.serviceAccounts !== undefined || source.notServiceAccounts !== undefined)
    all.add(field.sourceServiceAccount(context.namespace), source.serviceAccounts, source.notServiceAccounts);
  all.add(field.sourceNamespace, source.namespaces, source.notNamespaces);
  all.add(field.sourceTrustDomain, source.trustDomains, source.notTrustDomains);
  all.add(field.remoteIp, source.remoteIpBlocks, source.notRemoteIpBlocks);
  all.add(field.sourceIp, source.ipBlocks, source.notIpBlocks);
  return all.list;
}

function operationClauses(operation: Operation | undefined): readonly Clause<Permission>[] {
  if (operation === undefined) return [];
  const all = new Clauses<Permission>();
  all.add(field.host, operation.hosts, operation.notHosts);
  all.add(field.method, operation.methods, operation.notMethods);
  all.add(field.path, operation.paths, operation.notPaths);
  all.add(field.destinationPort, operation.ports, operation.notPorts);
  return all.list;
}

/** Most rules speak of one or two fields: nothing is made for the others. */
class Clauses<T> {
  readonly list: Clause<T>[] = [];

  add(maker: FieldMaker<T>, values: readonly string[] | undefined, notValues: readonly string[] | undefined): void {
    if (values !== undefined || notValues !== undefined) this.list.push(clause(maker, values, notValues));
  }
}

function clause<T>(
  maker: FieldMaker<T>,
  values: readonly string[] = NO_VALUES,
  notValues: readonly string[] = NO_VALUES,
): Clause<T> {
  return { maker, values, notValues };
}

const NO_VALUES: readonly string[] = [];

interface Conditions {
  readonly principal: readonly Clause<Principal>[];
  readonly permission: readonly Clause<Permission>[];
}

/** Undefined: an unknown key, with which nothing can be said about the rule. */
function conditionClauses(conditions: readonly Condition[], context: RuleContext): Conditions | undefined {
  const principal: Clause<Principal>[] = [];
  const permission: Clause<Permission>[] = [];
  for (const { key = '', values, notValues } of conditions) {
    const ofPermission = permissionCondition(key, context);
    const ofPrincipal = ofPermission === undefined ? principalCondition(key, context) : undefined;
    if (ofPermission !== undefined) permission.push(clause(ofPermission, values, notValues));
    else if (ofPrincipal === undefined) return undefined;
    else if (key === 'source.principal') {
      const expand = (list: readonly string[] | undefined) => expandPrincipals(list ?? [], context.trustDomains);
      principal.push(clause(ofPrincipal, expand(values), expand(notValues)));
    } else principal.push(clause(ofPrincipal, values, notValues));
  }
  return { principal, permission };
}

const ENVOY_FILTERS = 'experimental.envoy.filters.';

function permissionCondition(key: string, { dialect }: RuleContext): FieldMaker<Permission> | undefined {
  switch (key) {
    case 'destination.ip':
      return field.destinationIp;
    case 'destination.port':
      return field.destinationPort;
    case 'connection.sni':
      return field.requestedServerName;
    default: {
      if (!key.startsWith(ENVOY_FILTERS)) return undefined;
      const name = key.slice('experimental.'.length);
      const [bracketed] = brackets(name) ?? [];
      return bracketed === undefined
        ? undefined
        : field.filterMetadata(name.slice(0, name.indexOf('[')), bracketed, dialect);
    }
  }
}

const REQUEST_HEADERS = 'request.headers';
const REQUEST_CLAIMS = 'request.auth.claims';

function principalCondition(key: string, { namespace, dialect }: RuleContext): FieldMaker<Principal> | undefined {
  switch (key) {
    case 'source.ip':
      return field.sourceIp;
    case 'remote.ip':
      return field.remoteIp;
    case 'source.namespace':
      return field.sourceNamespace;
    case 'source.serviceAccount':
      return field.sourceServiceAccount(namespace);
    case 'source.principal':
      return field.sourcePrincipal;
    case 'source.trustDomain':
      return field.sourceTrustDomain;
    case 'request.auth.principal':
      return field.requestPrincipal(dialect);
    case 'request.auth.audiences':
      return field.requestClaim(['aud'], dialect);
    case 'request.auth.presenter':
      return field.requestClaim(['azp'], dialect);
    default: {
      if (key.startsWith(`${REQUEST_CLAIMS}[`)) {
        const path = brackets(key);
        return path === undefined ? undefined : field.requestClaim(path, dialect);
      }
      if (!key.startsWith(`${REQUEST_HEADERS}[`)) return undefined;
      const [name] = brackets(key) ?? [];
      return name === undefined ? undefined : field.requestHeader(name);
    }
  }
}

/** The names in `prefix[a][b]`. */
function brackets(key: string): readonly string[] | undefined {
  const start = key.indexOf('[');
  if (start < 0 || !key.endsWith(']')) return undefined;
  const names = key.slice(start + 1, -1).split('][');
  return names.some((name) => name === '') ? undefined : names;
}

function principalOf(clauses: readonly Clause<Principal>[], context: RuleContext): Principal | typeof UNUSABLE {
  const ids = combined(
    clauses,
    context,
    (any) => ({ orIds: { ids: any } }),
    (id) => ({ notId: id }),
  );
  if (ids === UNUSABLE) return UNUSABLE;
  return { andIds: { ids: ids.length === 0 ? [{ any: true }] : ids } };
}

function permissionOf(clauses: readonly Clause<Permission>[], context: RuleContext): Permission | typeof UNUSABLE {
  const rules = combined(
    clauses,
    context,
    (any) => ({ orRules: { rules: any } }),
    (rule) => ({ notRule: rule }),
  );
  if (rules === UNUSABLE) return UNUSABLE;
  return { andRules: { rules: rules.length === 0 ? [{ any: true }] : rules } };
}

function combined<T>(
  clauses: readonly Clause<T>[],
  context: RuleContext,
  or: (any: readonly T[]) => T,
  not: (one: T) => T,
): readonly T[] | typeof UNUSABLE {
  const all: T[] = [];
  for (const { maker, values, notValues } of clauses) {
    const positive = matcherOf(maker, values, context, or);
    const negative = matcherOf(maker, notValues, context, or);
    if (positive === UNUSABLE || negative === UNUSABLE) return UNUSABLE;
    if (positive !== undefined) all.push(positive);
    if (negative !== undefined) all.push(not(negative));
  }
  return all;
}

/** Undefined: nothing to match. */
function matcherOf<T>(
  maker: FieldMaker<T>,
  values: readonly string[],
  context: RuleContext,
  or: (any: readonly T[]) => T,
): T | undefined | typeof UNUSABLE {
  if (values.length === 0) return undefined;
  const wrongChain = context.tcp && maker.http;
  if (maker.kind === 'all') {
    const made = wrongChain ? undefined : maker.of(values);
    return made ?? (context.allow ? UNUSABLE : undefined);
  }
  const made = wrongChain ? [] : values.flatMap((value) => maker.of(value) ?? []);
  if (context.allow && made.length < values.length) return UNUSABLE;
  return made.length === 0 ? undefined : or(made);
}
