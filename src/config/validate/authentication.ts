// RequestAuthentication and PeerAuthentication.

import type { JWTRule, PeerAuthenticationSpec, RequestAuthenticationSpec } from '../generated/types.ts';
import { isHttpToken } from './addresses.ts';
import { checkDuration, checkSelectorLabels, checkTargets, member } from './common.ts';
import type { KindValidator, Report } from './report.ts';

export const validateRequestAuthentication: KindValidator<RequestAuthenticationSpec> = ({ spec }, report) => {
  checkTargets(report, spec);
  for (const [index, rule] of (spec.jwtRules ?? []).entries()) checkJwtRule(report, `spec.jwtRules[${index}]`, rule);
};

function checkJwtRule(report: Report, path: string, rule: JWTRule): void {
  if ((rule.issuer ?? '') === '' && (rule.jwksUri ?? '') === '')
    report.error(`${path}.issuer`, 'is missing', 'issuer or jwksUri');
  if ((rule.jwksUri ?? '') !== '') {
    if (!isHttpUrl(rule.jwksUri ?? ''))
      report.error(
        `${path}.jwksUri`,
        `${JSON.stringify(rule.jwksUri)} is no usable URL`,
        'http:// or https:// with a host',
      );
    if ((rule.jwks ?? '') !== '') report.warn(`${path}.jwks`, 'is used instead of jwksUri', 'one of them');
  }
  if ((rule.jwks ?? '') !== '') checkJwks(report, `${path}.jwks`, rule.jwks ?? '');
  for (const field of ['audiences', 'fromParams', 'fromCookies'] as const) {
    for (const [index, value] of (rule[field] ?? []).entries()) {
      if (value === '') report.error(`${path}.${field}[${index}]`, 'is empty', 'a value');
    }
  }
  for (const [index, header] of (rule.fromHeaders ?? []).entries()) {
    if (!isHttpToken(header.name ?? ''))
      report.error(
        `${path}.fromHeaders[${index}].name`,
        `${JSON.stringify(header.name ?? '')} is no header name`,
        'a header name',
      );
  }
  for (const [index, output] of (rule.outputClaimToHeaders ?? []).entries()) {
    const at = `${path}.outputClaimToHeaders[${index}]`;
    if ((output.claim ?? '') === '') report.error(`${at}.claim`, 'is missing', 'a claim');
    if (!/^[-_A-Za-z0-9]+$/.test(output.header ?? '')) {
      report.error(
        `${at}.header`,
        `${JSON.stringify(output.header ?? '')} is no header name`,
        'letters, digits, - and _',
      );
    }
  }
  checkDuration(report, `${path}.timeout`, rule.timeout);
}

function isHttpUrl(text: string): boolean {
  return /^https?:\/\/(?:\[[0-9a-fA-F:.]+\]|[^/?#:@[\]\s]+)(?::\d{1,5})?(?:[/?#]\S*)?$/.test(text);
}

const PRIVATE_MEMBERS = ['d', 'p', 'q', 'dp', 'dq', 'qi', 'k'];

/** RFC 7517: a set of keys, or one key. */
function checkJwks(report: Report, path: string, text: string): void {
  const keys = keysOf(text);
  if (keys === undefined) return report.error(path, 'is no JSON Web Key Set', '{"keys": [...]}');
  if (keys.length === 0) report.warn(path, 'holds no key: no token will be good', 'a key');
  for (const [index, key] of keys.entries()) {
    if (typeof key['kty'] !== 'string') report.error(path, `key ${index} has no type`, 'kty');
    else if (PRIVATE_MEMBERS.some((field) => key[field] !== undefined)) {
      report.warn(path, `key ${index} contains private parts, which verification does not need`, 'the public key only');
    }
  }
}

function keysOf(text: string): readonly Readonly<Record<string, unknown>>[] | undefined {
  let parsed: unknown;
  try {
    parsed = JSON.parse(text);
  } catch {
    return undefined;
  }
  if (!isRecord(parsed)) return undefined;
  const keys = parsed['keys'] ?? ('kty' in parsed ? [parsed] : undefined);
  return Array.isArray(keys) && keys.every(isRecord) ? keys : undefined;
}

function isRecord(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

export const validatePeerAuthentication: KindValidator<PeerAuthenticationSpec> = ({ spec }, report) => {
  if (spec.selector !== undefined) checkSelectorLabels(report, 'spec.selector.matchLabels', spec.selector.matchLabels);
  const ports = spec.portLevelMtls;
  if (ports === undefined) return;
  const path = 'spec.portLevelMtls';
  const keys = Object.keys(ports);
  if (keys.length === 0) report.strict(path, 'is empty', 'at least one port, or no portLevelMtls');
  else if (Object.keys(spec.selector?.matchLabels ?? {}).length === 0) {
    report.strict(path, 'needs a selector', 'a policy for certain workloads');
  }
  for (const port of keys) {
    const valid = /^\d{1,5}$/.test(port) && Number(port) >= 1 && Number(port) <= 65535;
    if (!valid) report.error(member(path, port), `${JSON.stringify(port)} is no port`, '1 to 65535');
  }
};
