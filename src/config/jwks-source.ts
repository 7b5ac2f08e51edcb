// Where the keys of a JWT rule come from.

import type { JWTRule } from './generated/types.ts';

export type JwksSource =
  | { readonly kind: 'inline'; readonly document: string }
  | { readonly kind: 'jwks'; readonly uri: string }
  /** OpenID Connect: the document at `uri` names the key set. */
  | { readonly kind: 'discovery'; readonly uri: string };

export function jwksSource(rule: JWTRule): JwksSource {
  if (rule.jwks !== undefined && rule.jwks !== '') return { kind: 'inline', document: rule.jwks };
  const uri = rule.jwksUri ?? rule.jwks_uri ?? '';
  if (uri !== '') return { kind: 'jwks', uri };
  const issuer = rule.issuer ?? '';
  return {
    kind: 'discovery',
    uri: `${issuer.endsWith('/') ? issuer.slice(0, -1) : issuer}/.well-known/openid-configuration`,
  };
}

/** Who fetches what `jwksUri` names: the control plane; the proxies, where they know the host; or the proxies always. */
export type JwksFetchMode = 'istiod' | 'hybrid' | 'envoy';

/** The spellings of PILOT_JWT_ENABLE_REMOTE_JWKS; undefined for any other. */
export function jwksFetchMode(text: string): JwksFetchMode | undefined {
  switch (text.toLowerCase()) {
    case '':
    case 'false':
    case 'istiod':
      return 'istiod';
    case 'hybrid':
      return 'hybrid';
    case 'true':
    case 'envoy':
      return 'envoy';
    default:
      return undefined;
  }
}
