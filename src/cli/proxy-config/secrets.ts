// `proxy-config secret`: certificates that a proxy was given, and until when they hold.

import { X509Certificate } from 'node:crypto';
import { type Dump, entries } from './dump.ts';
import { at, type Json, listAt, textAt } from './json.ts';

interface SecretRow {
  readonly name: string;
  readonly state: string;
  readonly certificate: CertificateFacts | undefined;
  readonly trustDomain: string;
}

interface CertificateFacts {
  readonly type: 'CA' | 'Cert Chain';
  readonly valid: boolean;
  readonly serial: string;
  readonly notAfter: string;
  readonly notBefore: string;
}

const SECTION = 'SecretsConfigDump';

/** envoy.admin.v3.SecretsConfigDump as the dump has it. */
export function secretSection(dump: Dump): Json {
  const fields = ['staticSecrets', 'dynamicActiveSecrets', 'dynamicWarmingSecrets'];
  return Object.fromEntries(
    fields.map((field) => [field, entries(dump, SECTION, field)]).filter(([, list]) => list?.length !== 0),
  ) as Json;
}

/** One row for each certificate; undefined when the proxy has no secrets from its control plane. */
export function secretTable(
  dump: Dump,
  how: { readonly prefix: boolean; readonly now: number },
): readonly (readonly string[])[] | undefined {
  const rows = [
    ...entries(dump, SECTION, 'dynamicWarmingSecrets').flatMap((entry) => rowsOf(entry, 'WARMING', how.now)),
    ...entries(dump, SECTION, 'dynamicActiveSecrets').flatMap((entry) => rowsOf(entry, 'ACTIVE', how.now)),
  ];
  if (rows.length === 0) return undefined;
  // Several roots side by side, one for each trust domain: then it matters whose they are.
  const federated = rows.every((row) => row.trustDomain !== '');
  const header = ['RESOURCE NAME', 'TYPE', 'STATUS', 'VALID CERT', 'SERIAL NUMBER', 'NOT AFTER', 'NOT BEFORE'];
  return [
    federated ? [...header, 'TRUST DOMAIN'] : header,
    ...rows.map(({ name, state, certificate, trustDomain }) => [
      how.prefix ? `secret/${name}` : name,
      certificate?.type ?? '',
      state,
      `${certificate?.valid ?? false}`,
      certificate?.serial ?? '',
      certificate?.notAfter ?? '',
      certificate?.notBefore ?? '',
      ...(federated ? [trustDomain] : []),
    ]),
  ];
}

function rowsOf(entry: Json, state: string, now: number): readonly SecretRow[] {
  const name = textAt(entry, 'name');
  const secret = entry['secret'];
  const row = (pem: string, trustDomain = ''): SecretRow => {
    const facts = pem === '' ? undefined : certificateOf(pem, now);
    const { spiffe = '', ...certificate } = facts ?? {};
    return {
      name,
      state,
      certificate: facts === undefined ? undefined : (certificate as CertificateFacts),
      trustDomain: trustDomain === '' ? spiffe : trustDomain,
    };
  };
  const pem =
    dataOf(at(secret, 'tlsCertificate', 'certificateChain')) || dataOf(at(secret, 'validationContext', 'trustedCa'));
  const validator = at(secret, 'validationContext', 'customValidatorConfig', 'typedConfig');
  const domains = pem === '' ? listAt(validator, 'trustDomains') : [];
  if (domains.length === 0) return [row(pem)];
  return domains.map((domain) => row(dataOf(domain['trustBundle']), textAt(domain, 'name')));
}

/** The content of an envoy.config.core.v3.DataSource, as far as the dump has it. */
function dataOf(source: unknown): string {
  const bytes = textAt(source, 'inlineBytes');
  return bytes === '' ? textAt(source, 'inlineString') : Buffer.from(bytes, 'base64').toString();
}

/** What the first certificate of a chain or bundle says; undefined when it can't be read. */
function certificateOf(pem: string, now: number): (CertificateFacts & { readonly spiffe: string }) | undefined {
  let certificate: X509Certificate;
  try {
    certificate = new X509Certificate(pem);
  } catch {
    return undefined;
  }
  const [from, to] = [Date.parse(certificate.validFrom), Date.parse(certificate.validTo)];
  return {
    type: certificate.ca ? 'CA' : 'Cert Chain',
    valid: now > from && now < to,
    serial: certificate.serialNumber.toLowerCase().padStart(32, '0'),
    notAfter: rfc3339(to),
    notBefore: rfc3339(from),
    spiffe: /URI:spiffe:\/\/([^/,"]+)/.exec(certificate.subjectAltName ?? '')?.[1] ?? '',
  };
}

function rfc3339(time: number): string {
  return new Date(time).toISOString().replace('.000Z', 'Z');
}
