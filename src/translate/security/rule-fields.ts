// One generator per field and condition of an AuthorizationPolicy rule.
// In: a value, or all values of a field. Out: an RBAC principal or permission, or undefined where the value is unusable
// (or needs HTTP on a TCP chain): what that means for the rule is decided by the caller.

import type { Dialect } from '../../ir/proxy.ts';
import type { Messages } from '../../messages/index.ts';
import { cidrRange, extension } from '../envoy.ts';
import {
  claimMatcher,
  claimValues,
  headerMatcher,
  principalMatcher,
  regexMatcher,
  SPIFFE_SCHEME,
  stringMatcher,
} from './matchers.ts';

export type Principal = Messages['envoy.config.rbac.v3.Principal'];
export type Permission = Messages['envoy.config.rbac.v3.Permission'];
type StringMatcher = Messages['envoy.type.matcher.v3.StringMatcher'];
type MetadataMatcher = Messages['envoy.type.matcher.v3.MetadataMatcher'];

/** A field whose values are alternatives, each a matcher by itself. */
export interface EachValue<T> {
  readonly kind: 'each';
  readonly http: boolean;
  readonly of: (value: string) => T | undefined;
}

/** A field whose values make one matcher together. */
export interface AllValues<T> {
  readonly kind: 'all';
  readonly http: boolean;
  readonly of: (values: readonly string[]) => T | undefined;
}

export type FieldMaker<T> = EachValue<T> | AllValues<T>;

function each<T>(of: (value: string) => T | undefined): EachValue<T> {
  return { kind: 'each', http: false, of };
}

function eachHttp<T>(of: (value: string) => T | undefined): EachValue<T> {
  return { kind: 'each', http: true, of };
}

function authenticated(principalName: StringMatcher): Principal {
  return { authenticated: { principalName } };
}

export const sourcePrincipal = each<Principal>((value) => authenticated(principalMatcher(value)));

export const sourceNamespace = each<Principal>((value) =>
  authenticated(regexMatcher(`.*/ns/${value.replaceAll('*', '.*')}/.*`)),
);

/** `SA` of the policy's own namespace, or `NAMESPACE/SA`. */
export function sourceServiceAccount(policyNamespace: string): FieldMaker<Principal> {
  return each((value) => {
    const [first = '', second] = value.split('/');
    const namespace = second === undefined ? policyNamespace : first;
    return authenticated(regexMatcher(`spiffe://.+/ns/${namespace}/(.+/|)sa/${second ?? first}(/.+)?`));
  });
}

export const sourceTrustDomain = each<Principal>((value) => {
  if (value === '*') return authenticated({ prefix: SPIFFE_SCHEME });
  if (!value.includes('*')) return authenticated({ prefix: `${SPIFFE_SCHEME}${value}/` });
  const domain = value
    .split('*')
    .map((part) => part.replaceAll('.', '\\.'))
    .join('[^/]*');
  return authenticated(regexMatcher(`${SPIFFE_SCHEME}${domain}/.*`));
});

export const sourceIp = each<Principal>((value) => {
  const range = cidrRange(value);
  return range === undefined ? undefined : { directRemoteIp: range };
});

export const remoteIp = each<Principal>((value) => {
  const range = cidrRange(value);
  return range === undefined ? undefined : { remoteIp: range };
});

export function requestHeader(name: string): FieldMaker<Principal> {
  return eachHttp((value) => ({ header: headerMatcher(name, value) }));
}

/** Dynamic metadata under the field that the proxy's Envoy knows without a warning. */
function metadata(
  matcher: MetadataMatcher,
  dialect: Dialect,
): Pick<Principal & Permission, 'metadata' | 'sourcedMetadata'> {
  return dialect === 'classic' ? { metadata: matcher } : { sourcedMetadata: { metadataMatcher: matcher } };
}

/** Claims of a verified token; `path` leads into nested ones. */
export function requestClaim(path: readonly string[], dialect: Dialect): FieldMaker<Principal> {
  return { kind: 'all', http: true, of: (values) => metadata(claimMatcher(path, claimValues(values)), dialect) };
}

/** `ISSUER/SUBJECT`: each part has matchers of its own. */
export function requestPrincipal(dialect: Dialect): FieldMaker<Principal> {
  return {
    kind: 'all',
    http: true,
    of: (values) => {
      const any = values.map((value) => issuerAndSubject(value, dialect));
      return any.length === 1 ? any[0] : { orIds: { ids: any } };
    },
  };
}

function issuerAndSubject(value: string, dialect: Dialect): Principal {
  const [issuer, subject] = principalParts(value);
  return {
    andIds: {
      ids: [
        metadata(claimMatcher(['iss'], { stringMatch: stringMatcher(issuer) }), dialect),
        metadata(claimMatcher(['sub'], { stringMatch: stringMatcher(subject) }), dialect),
      ],
    },
  };
}

/** Issuers are URLs, so the last slash divides; a wildcard without one leaves the other part open, a name has no subject. */
function principalParts(value: string): readonly [issuer: string, subject: string] {
  const slash = value.lastIndexOf('/');
  if (value === '*') return ['*', '*'];
  if (slash >= 0) return [value.slice(0, slash), value.slice(slash + 1)];
  if (value.startsWith('*')) return ['*', value];
  return [value, value.endsWith('*') ? '*' : ''];
}

export const destinationIp = each<Permission>((value) => {
  const range = cidrRange(value);
  return range === undefined ? undefined : { destinationIp: range };
});

export const destinationPort = each<Permission>((value) => {
  const port = Number(value);
  return /^\d+$/.test(value) && port <= 65535 ? { destinationPort: port } : undefined;
});

export const requestedServerName = each<Permission>((value) => ({ requestedServerName: stringMatcher(value) }));

export const host = eachHttp<Permission>((value) => ({ header: headerMatcher(':authority', value, true) }));

export const method = eachHttp<Permission>((value) => ({ header: headerMatcher(':method', value) }));

/** `{*}` stands for one segment, `{**}` for the rest: a template rather than a text. */
export const path = eachHttp<Permission>((value) => {
  if (!value.includes('{*}') && !value.includes('{**}')) return { urlPath: { path: stringMatcher(value) } };
  const pathTemplate = value.replaceAll('{**}', '**').replaceAll('{*}', '*');
  return {
    uriTemplate: extension('uri-template', 'envoy.extensions.path.match.uri_template.v3.UriTemplateMatchConfig', {
      pathTemplate,
    }),
  };
});

/** Dynamic metadata of another filter; a value in brackets is one member of a list. */
export function filterMetadata(filter: string, key: string, dialect: Dialect): FieldMaker<Permission> {
  return {
    kind: 'all',
    http: false,
    of: (values) => {
      const valueMatchers = values.map((value) => {
        const inList = value.startsWith('[') && value.endsWith(']');
        const match = stringMatcher(inList ? value.slice(1, -1) : value);
        return inList ? { listMatch: { oneOf: { stringMatch: match } } } : { stringMatch: match };
      });
      const value = valueMatchers.length === 1 ? valueMatchers[0] : { orMatch: { valueMatchers } };
      return metadata({ filter, path: [{ key }], value }, dialect);
    },
  };
}
