import { afterAll, describe, expect, it } from 'vitest';
import fc from 'fast-check';
import { join } from 'node:path';
import { newCsr } from '../../src/ca/csr-request.ts';
import { MAX_CSR_BYTES, readCsr } from '../../src/ca/csr.ts';
import { CaError } from '../../src/ca/errors.ts';
import { readPem, writePem } from '../../src/ca/pem.ts';
import { newFolder, openssl, removeFolders } from './support.ts';

afterAll(removeFolders);

function opensslCsr(keyArgs: readonly string[], ...more: readonly string[]): string {
  const key = join(newFolder(), 'key.pem');
  return openssl(['req', '-new', '-newkey', ...keyArgs, '-nodes', '-keyout', key, '-subj', '/', ...more]);
}

const ec = (curve: string) => ['ec', '-pkeyopt', `ec_paramgen_curve:${curve}`];

function codeOf(pem: string): string {
  try {
    readCsr(pem);
    return 'accepted';
  } catch (error) {
    return error instanceof CaError ? error.code : `crash: ${String(error)}`;
  }
}

describe('readCsr', () => {
  it.each([
    ['EC P-256', ec('prime256v1')],
    ['EC P-384', ec('secp384r1')],
    ['EC P-521', ec('secp521r1')],
    ['RSA 2048', ['rsa:2048']],
  ])('accepts %s made by openssl', (_name, args) => {
    expect(codeOf(opensslCsr(args))).toBe('accepted');
  });

  it.each([
    ['RSA 1024', ['rsa:1024'], 'KEY_TOO_WEAK'],
    ['EC P-224', ec('secp224r1'), 'KEY_TYPE_UNSUPPORTED'],
    ['EC secp256k1', ec('secp256k1'), 'KEY_TYPE_UNSUPPORTED'],
    ['Ed25519', ['ed25519'], 'KEY_TYPE_UNSUPPORTED'],
  ])('refuses %s', (_name, args, code) => {
    expect(codeOf(opensslCsr(args))).toBe(code);
  });

  it('refuses SHA-1 signatures', () => {
    expect(codeOf(opensslCsr(['rsa:2048'], '-sha1'))).toBe('CSR_SIGNATURE_ALGORITHM');
  });

  it('reads the names asked for, of every kind', () => {
    const san =
      'subjectAltName=URI:spiffe://cluster.local/ns/a/sa/b,DNS:x.example,IP:10.0.0.1,IP:fd00::1,email:a@b.example';
    const csr = readCsr(opensslCsr(ec('prime256v1'), '-addext', san));
    expect(csr.altNames).toEqual([
      { kind: 'uri', value: 'spiffe://cluster.local/ns/a/sa/b' },
      { kind: 'dns', value: 'x.example' },
      { kind: 'ip', value: '10.0.0.1' },
      { kind: 'ip', value: 'fd00:0:0:0:0:0:0:1' },
      { kind: 'other', value: 'email' },
    ]);
    expect(csr.commonName).toBeUndefined();
  });

  it('refuses a request whose body was changed after signing', () => {
    const pem = opensslCsr(ec('prime256v1'), '-addext', 'subjectAltName=DNS:honest.example');
    const der = readPem(pem)[0]?.der ?? Buffer.alloc(0);
    const at = der.indexOf('honest');
    der.write('crooks', at, 'latin1');
    expect(codeOf(writePem('CERTIFICATE REQUEST', der))).toBe('CSR_SIGNATURE_INVALID');
  });

  it.each([
    ['nothing', '', 'CSR_MALFORMED'],
    ['a certificate', writePem('CERTIFICATE', Buffer.from('x')), 'CSR_MALFORMED'],
    ['text in PEM clothes', writePem('CERTIFICATE REQUEST', Buffer.from('hello')), 'CSR_MALFORMED'],
    ['too much', 'x'.repeat(MAX_CSR_BYTES + 1), 'CSR_TOO_LARGE'],
  ])('refuses %s', (_name, pem, code) => {
    expect(codeOf(pem)).toBe(code);
  });

  it('refuses two requests in one', () => {
    const pem = opensslCsr(ec('prime256v1'));
    expect(codeOf(pem + pem)).toBe('CSR_MALFORMED');
  });

  it('never crashes on arbitrary bytes', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 400 }), (bytes) => {
        expect(codeOf(writePem('CERTIFICATE REQUEST', bytes))).toMatch(/^CSR_|^KEY_/);
      }),
      { numRuns: 500 },
    );
  });

  it('never crashes on, or accepts, a request with one byte changed, whichever', async () => {
    const { csrPem } = await newCsr('spiffe://cluster.local/ns/a/sa/b', { kind: 'ecdsa' });
    const der = readPem(csrPem)[0]?.der ?? Buffer.alloc(0);
    expect(codeOf(writePem('CERTIFICATE REQUEST', der))).toBe('accepted');
    for (let at = 0; at < der.length; at++) {
      for (const change of [1, 2, 0x20, 0x80, 0xff]) {
        const damaged = Buffer.from(der);
        damaged[at] = (damaged[at] ?? 0) ^ change;
        expect(`${at}: ${codeOf(writePem('CERTIFICATE REQUEST', damaged))}`).toMatch(/: CSR_|: KEY_/);
      }
    }
  });

  it('never crashes on, or accepts, a request cut short or followed by more', async () => {
    const { csrPem } = await newCsr('spiffe://cluster.local/ns/a/sa/b', { kind: 'ecdsa' });
    const der = readPem(csrPem)[0]?.der ?? Buffer.alloc(0);
    for (let end = 0; end < der.length; end++) {
      expect(codeOf(writePem('CERTIFICATE REQUEST', der.subarray(0, end)))).toBe('CSR_MALFORMED');
    }
    expect(codeOf(writePem('CERTIFICATE REQUEST', Buffer.concat([der, Buffer.from([0])])))).toBe('CSR_MALFORMED');
  });
});

describe('newCsr', () => {
  it.each([{ kind: 'ecdsa' } as const, { kind: 'rsa', bits: 2048 } as const])(
    'openssl verifies a $kind request',
    async (key) => {
      const { csrPem, keyPem } = await newCsr('spiffe://cluster.local/ns/a/sa/b', key);
      const text = openssl(['req', '-verify', '-noout', '-text'], csrPem);
      expect(text).toContain('URI:spiffe://cluster.local/ns/a/sa/b');
      expect(openssl(['req', '-noout', '-pubkey'], csrPem)).toBe(openssl(['pkey', '-pubout'], keyPem));
    },
  );
});
