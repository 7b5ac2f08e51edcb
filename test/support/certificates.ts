// Certificates made by OpenSSL, for what is outside of the mesh: users' servers, and impostors.

import { execFileSync } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

export interface Issued {
  readonly cert: string;
  readonly key: string;
  readonly certFile: string;
  readonly keyFile: string;
}

const KEY = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes'];

/** A certificate for a name (`DNS:…`, `URI:…`), signed by itself or by an authority. */
export function issue(
  folder: string,
  name: string,
  san: string,
  authority?: Pick<Issued, 'certFile' | 'keyFile'>,
): Issued {
  const keyFile = join(folder, `${name}-key.pem`);
  const certFile = join(folder, `${name}.pem`);
  if (authority === undefined) {
    openssl([
      'req',
      '-x509',
      ...KEY,
      '-days',
      '1',
      '-keyout',
      keyFile,
      '-out',
      certFile,
      ...subject(name),
      '-addext',
      altName(san),
    ]);
  } else {
    const request = join(folder, `${name}.csr`);
    const extensions = join(folder, `${name}.ext`);
    openssl(['req', ...KEY, '-keyout', keyFile, '-out', request, ...subject(name)]);
    writeFileSync(extensions, `${altName(san)}\nextendedKeyUsage=serverAuth,clientAuth\n`);
    const by = ['-CA', authority.certFile, '-CAkey', authority.keyFile, '-CAcreateserial'];
    openssl(['x509', '-req', '-in', request, ...by, '-days', '1', '-extfile', extensions, '-out', certFile]);
  }
  return { cert: readFileSync(certFile, 'utf8'), key: readFileSync(keyFile, 'utf8'), certFile, keyFile };
}

function subject(name: string): readonly string[] {
  return ['-subj', `/CN=${name}`];
}

function altName(san: string): string {
  return `subjectAltName=${san}`;
}

/** Runs OpenSSL; throws with what it says when it fails. */
export function openssl(args: readonly string[], input = ''): string {
  return execFileSync('openssl', [...args], { input, encoding: 'utf8', stdio: ['pipe', 'pipe', 'pipe'] });
}
