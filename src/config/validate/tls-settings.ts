// TLS of servers (Gateway, Sidecar ingress) and of clients (DestinationRule, mesh providers).

import type { ClientTLSSettings, ServerTLSSettings } from '../generated/types.ts';
import { isCipher } from '../ciphers.ts';
import type { Report } from './report.ts';

const filled = (value: string | undefined): boolean => value !== undefined && value !== '';

function credentialFields(tls: ServerTLSSettings): string[] {
  return [
    filled(tls.serverCertificate) ? 'serverCertificate' : undefined,
    filled(tls.privateKey) ? 'privateKey' : undefined,
    filled(tls.caCertificates) ? 'caCertificates' : undefined,
    (tls.tlsCertificates ?? []).length > 0 ? 'tlsCertificates' : undefined,
    filled(tls.credentialName) ? 'credentialName' : undefined,
    (tls.credentialNames ?? []).length > 0 ? 'credentialNames' : undefined,
    filled(tls.caCertCredentialName) ? 'caCertCredentialName' : undefined,
  ].filter((field) => field !== undefined);
}

export function checkServerTls(report: Report, path: string, tls: ServerTLSSettings | undefined): void {
  if (tls === undefined) return;
  checkVersionsAndCiphers(report, path, tls);
  const fields = credentialFields(tls);
  const mode = tls.mode ?? 'PASSTHROUGH';
  if (mode === 'ISTIO_MUTUAL') {
    for (const field of fields)
      report.error(`${path}.${field}`, 'is not used by ISTIO_MUTUAL', 'no certificates of its own');
    return;
  }
  if (mode === 'PASSTHROUGH' || mode === 'AUTO_PASSTHROUGH') {
    if (fields.length > 0)
      report.warn(path, `${mode} uses no certificates: ${fields.join(', ')} are ignored`, `no ${fields.join(', ')}`);
    return;
  }
  checkServerSources(report, path, tls, mode);
}

function checkServerSources(report: Report, path: string, tls: ServerTLSSettings, mode: string): void {
  const credential = filled(tls.credentialName) || (tls.credentialNames ?? []).length > 0;
  const sources = [
    filled(tls.serverCertificate) && filled(tls.privateKey) ? 'serverCertificate' : undefined,
    filled(tls.credentialName) ? 'credentialName' : undefined,
    (tls.credentialNames ?? []).length > 0 ? 'credentialNames' : undefined,
    (tls.tlsCertificates ?? []).length > 0 ? 'tlsCertificates' : undefined,
  ].filter((source) => source !== undefined);
  if (sources.length > 1)
    report.error(path, `has certificates from ${sources.join(' and ')}`, 'one source of certificates');
  if (filled(tls.caCrl) && credential)
    report.error(`${path}.caCrl`, 'can not be combined with a credential', 'the list inside the credential');
  if (filled(tls.caCrl) && mode === 'SIMPLE')
    report.error(`${path}.caCrl`, 'is of no use without client certificates', 'MUTUAL mode');
  for (const [index] of (tls.credentialNames ?? []).entries()) {
    if (index === 2)
      report.warn(`${path}.credentialNames`, 'has more than two certificates', 'at most one RSA and one ECDSA');
  }
  if (credential) return;
  if (mode !== 'SIMPLE' && !filled(tls.caCertificates))
    report.error(`${path}.caCertificates`, 'is missing', 'the CA of the clients');
  const pairs = tls.tlsCertificates ?? [];
  if (pairs.length > 2)
    report.warn(`${path}.tlsCertificates`, 'has more than two certificates', 'at most one RSA and one ECDSA');
  if (pairs.length === 0) checkPair(report, path, tls);
  for (const [index, pair] of pairs.entries()) checkPair(report, `${path}.tlsCertificates[${index}]`, pair);
}

interface Pair {
  readonly serverCertificate?: string | undefined;
  readonly privateKey?: string | undefined;
}

function checkPair(report: Report, path: string, pair: Pair): void {
  for (const field of ['serverCertificate', 'privateKey'] as const) {
    if (!filled(pair[field])) report.error(`${path}.${field}`, 'is missing', 'a file, or credentialName instead');
  }
}

function checkVersionsAndCiphers(report: Report, path: string, tls: ServerTLSSettings): void {
  const old = tls.minProtocolVersion === 'TLSV1_0' || tls.minProtocolVersion === 'TLSV1_1';
  if (old && (tls.cipherSuites ?? []).length === 0) {
    report.warn(`${path}.minProtocolVersion`, 'no default cipher works with TLS below 1.2', 'cipherSuites that do');
  }
  const seen = new Set<string>();
  for (const [index, cipher] of (tls.cipherSuites ?? []).entries()) {
    const at = `${path}.cipherSuites[${index}]`;
    if (!isCipher(cipher))
      report.warn(
        at,
        `${JSON.stringify(cipher)} is no known cipher suite and is ignored`,
        'a name as BoringSSL writes it',
      );
    else if (seen.has(cipher)) report.warn(at, `${cipher} is listed twice`, 'each cipher suite once');
    seen.add(cipher);
  }
}

/** `code` tells a missing CA at the top of a policy from one of a port. */
export function checkClientTls(
  report: Report,
  path: string,
  tls: ClientTLSSettings | undefined,
  code: 'IST0128' | 'IST0129',
): void {
  if (tls === undefined) return;
  const files = filled(tls.clientCertificate) || filled(tls.privateKey) || filled(tls.caCertificates);
  if (tls.insecureSkipVerify === true && (filled(tls.caCertificates) || (tls.subjectAltNames ?? []).length > 0)) {
    report.error(
      `${path}.insecureSkipVerify`,
      'contradicts caCertificates and subjectAltNames',
      'either verification or none',
    );
  }
  if (filled(tls.credentialName) && (files || filled(tls.caCrl))) {
    report.error(`${path}.credentialName`, 'stands beside files', 'either a credential or files');
  }
  if ((tls.mode === 'SIMPLE' || tls.mode === 'MUTUAL') && filled(tls.credentialName)) return;
  if (tls.mode === 'MUTUAL') {
    for (const field of ['clientCertificate', 'privateKey'] as const) {
      if (!filled(tls[field])) report.error(`${path}.${field}`, 'is missing', 'a file, or credentialName instead');
    }
  }
  const verifies = tls.mode === 'SIMPLE' || tls.mode === 'MUTUAL';
  if (verifies && !filled(tls.caCertificates) && tls.insecureSkipVerify !== true) {
    report.warn(
      path,
      `${tls.mode} without caCertificates: the trust store of the system decides`,
      'caCertificates',
      code,
    );
  }
}
