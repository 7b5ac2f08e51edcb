// Keys laid into the JWT rules that ask for them, so that all that comes after reads one kind of rule.
// In: RequestAuthentications, the key sets fetched so far, who is to fetch. Out: the same table with keys (or the proxies'
// own cluster to fetch them through) in the rules. An object is another one only when its own keys are.

import type { JWTRule, RequestAuthenticationSpec } from '../config/generated/types.ts';
import { jwksSource, type JwksFetchMode } from '../config/jwks-source.ts';
import type { ConfigObject } from '../config/object.ts';
import type { LinkedJwtRule, RequestAuthentication } from '../ir/policy.ts';
import type { Service } from '../ir/service.ts';
import { deepEqual } from '../lib/equal.ts';
import { type Derived, deriveTable, type Table, tableGet } from '../lib/table.ts';

/** Documents by the `uri` of their source. */
export type FetchedKeys = ReadonlyMap<string, string>;

export const NO_KEYS: FetchedKeys = new Map();

export type KeyedRules = Derived<ConfigObject<RequestAuthenticationSpec>, RequestAuthentication>;

export function keyedRules(
  previous: KeyedRules | undefined,
  table: Table<ConfigObject<RequestAuthenticationSpec>>,
  keys: FetchedKeys,
  mode: JwksFetchMode,
  services: Table<readonly Service[]>,
): KeyedRules {
  // The mesh's services count only where proxies fetch through them.
  const shared = mode === 'istiod' ? [keys, mode] : [keys, mode, services];
  return deriveTable(previous, table, shared, (object, _key, before) => {
    const rules = (object.spec.jwtRules ?? []).map((rule) => keyedRule(rule, keys, mode, services));
    if (rules.every((rule, index) => rule === object.spec.jwtRules?.[index])) return object;
    const next = { ...object, spec: { ...object.spec, jwtRules: rules } };
    return deepEqual(before, next) ? before : next;
  });
}

function keyedRule(
  rule: JWTRule,
  keys: FetchedKeys,
  mode: JwksFetchMode,
  services: Table<readonly Service[]>,
): LinkedJwtRule {
  const source = jwksSource(rule);
  if (source.kind === 'inline') return rule;
  if (source.kind === 'jwks' && mode !== 'istiod') {
    const remote = remoteOf(source.uri, mode, services);
    if (remote !== undefined) return { ...rule, remote };
  }
  const jwks = keys.get(source.uri);
  return jwks === undefined ? rule : { ...rule, jwks };
}

/** Scheme, host and port of a URL, without user and path. */
const HTTP_URL = /^(https?):\/\/(?:[^/@]*@)?(\[[^\]]+\]|[^/:?#]+)(?::(\d+))?/i;

function remoteOf(uri: string, mode: JwksFetchMode, services: Table<readonly Service[]>): LinkedJwtRule['remote'] {
  const [, scheme = '', hostname = '', explicit] = HTTP_URL.exec(uri) ?? [];
  if (hostname === '') return undefined;
  const port = explicit === undefined ? (scheme.toLowerCase() === 'https' ? 443 : 80) : Number(explicit);
  const known = (tableGet(services, hostname) ?? []).some(({ ports }) => ports.some(({ number }) => number === port));
  return known || mode === 'envoy' ? { uri, hostname, port } : undefined;
}
