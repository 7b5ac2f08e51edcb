import { readFile } from 'node:fs/promises';
import { rootCertificates } from 'node:tls';

const PLACES = [
  '/etc/ssl/certs/ca-certificates.crt',
  '/etc/pki/tls/certs/ca-bundle.crt',
  '/etc/ssl/ca-bundle.pem',
  '/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem',
  '/etc/ssl/cert.pem',
];

/** The operating system's trusted roots; Node's own list where the system has none. */
export async function systemRoots(): Promise<string> {
  for (const place of PLACES) {
    const text = await readFile(place, 'utf8').catch(() => undefined);
    if (text !== undefined) return text;
  }
  return `${rootCertificates.join('\n')}\n`;
}
