import { X509Certificate } from 'node:crypto';
import { readdirSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { newCsr } from '../../src/ca/csr-request.ts';
import { fileRootStore } from '../../src/ca/root-store.ts';
import {
  describeCertificate,
  manualTime,
  newAuthority,
  newFolder,
  openssl,
  removeFolders,
  verifyChain,
  writePluggedCa,
} from './support.ts';

afterAll(removeFolders);

const ID = 'spiffe://cluster.local/ns/shop/sa/web';
const DAY = 24 * 3600_000;

async function certify(
  authority: { certify(csr: string, ids: readonly string[], ttl: number): Promise<string[]> },
  ttl = 0,
  ids = [ID],
) {
  const { csrPem } = await newCsr(ID, { kind: 'ecdsa' });
  return authority.certify(csrPem, ids, ttl);
}

describe('a self-signed authority', () => {
  it.each([{ kind: 'ecdsa' } as const, { kind: 'rsa', bits: 2048 } as const])(
    'issues what openssl verifies ($kind)',
    async (rootKey) => {
      const { authority } = await newAuthority({ rootKey });
      const chain = await certify(authority);
      expect(chain).toHaveLength(2);
      expect(verifyChain(chain)).toContain('OK');
      const text = describeCertificate(chain[0] ?? '');
      expect(text).toMatch(/Subject Alternative Name: critical\s+URI:spiffe:\/\/cluster.local\/ns\/shop\/sa\/web\n/);
      expect(text).toMatch(/Key Usage: critical\s+Digital Signature, Key Encipherment\n/);
      expect(text).toMatch(/Extended Key Usage:\s+TLS Web Server Authentication, TLS Web Client Authentication\n/);
      expect(text).toMatch(/Basic Constraints: critical\s+CA:FALSE\n/);
      expect(text).toMatch(/Subject:\s*\n/);
      const root = new X509Certificate(chain[1] ?? '');
      expect(root.subject).toBe('O=cluster.local');
      expect(text).toContain(
        openssl(['x509', '-noout', '-ext', 'subjectKeyIdentifier'], root.toString()).split('\n')[1]?.trim(),
      );
    },
  );

  it('names addresses and DNS names of its own certificates', async () => {
    const { authority } = await newAuthority();
    const { publicKey } = new X509Certificate(authority.rootBundle);
    const [leaf = ''] = await authority.certifyOwn(publicKey, ['a.example', '10.1.2.3', '::1', 'fd00::7:1'], 60);
    expect(describeCertificate(leaf)).toContain(
      'DNS:a.example, IP Address:10.1.2.3, IP Address:0:0:0:0:0:0:0:1, IP Address:FD00:0:0:0:0:0:7:1',
    );
  });

  it('gives every leaf a serial of its own, also when asked at once', async () => {
    const { authority } = await newAuthority();
    const chains = await Promise.all(Array.from({ length: 40 }, () => certify(authority)));
    const serials = new Set(chains.map(([leaf]) => new X509Certificate(leaf ?? '').serialNumber));
    expect(serials.size).toBe(40);
    for (const serial of serials) expect(serial).toMatch(/^[4-7][0-9A-F]{31}$/);
  });

  it('sets a common name only if the request had one', async () => {
    const { authority } = await newAuthority();
    const key = join(newFolder(), 'key.pem');
    const csr = openssl(['req', '-new', '-newkey', 'rsa:2048', '-nodes', '-keyout', key, '-subj', '/CN=somebody-else']);
    const [leaf = ''] = await authority.certify(csr, [ID], 0);
    expect(new X509Certificate(leaf).subject).toBe(`CN=${ID}`);
  });

  it('refuses the name of somebody else', async () => {
    const { authority } = await newAuthority();
    const other = 'spiffe://cluster.local/ns/shop/sa/admin';
    await expect(certify(authority, 0, [other])).rejects.toMatchObject({ code: 'SAN_NOT_ALLOWED' });
    await expect(certify(authority, 0, [])).rejects.toMatchObject({ code: 'SAN_NOT_ALLOWED' });
  });

  it('grants, shortens and refuses lifetimes', async () => {
    const { authority, time } = await newAuthority({ rootLifetimeDays: 100 });
    const life = async (ttl: number) => {
      const [leaf = ''] = await certify(authority, ttl);
      return Date.parse(new X509Certificate(leaf).validTo) - time.clock.now();
    };
    const near = (actual: number, wanted: number) => expect(Math.abs(actual - wanted)).toBeLessThan(1001);
    near(await life(0), DAY);
    near(await life(-5), DAY);
    near(await life(Number.NaN), DAY);
    near(await life(600), 600_000);
    await expect(certify(authority, 90 * 86400 + 1)).rejects.toMatchObject({ code: 'TTL_TOO_LONG' });
    time.advance(60 * DAY);
    const [leaf = ''] = await certify(authority, 80 * 86400);
    expect(new X509Certificate(leaf).validTo).toBe(new X509Certificate(authority.rootBundle).validTo);
  });

  it('refuses to sign once its root has expired', async () => {
    const { authority, time } = await newAuthority({ rootLifetimeDays: 1, checkIntervalMs: 0 });
    time.advance(DAY + 1);
    await expect(certify(authority)).rejects.toMatchObject({ code: 'SIGNER_EXPIRED' });
  });

  it('renews the root below a fifth of its life, with the same key', async () => {
    const { authority, time } = await newAuthority({ rootLifetimeDays: 10 });
    const changes: boolean[] = [];
    authority.onChange(({ rootsChanged }) => changes.push(rootsChanged));
    const before = authority.rootBundle;
    const [oldLeaf = ''] = await certify(authority, 9 * 86400);
    time.advance(7.9 * DAY);
    await authority.check();
    expect(authority.rootBundle).toBe(before);
    time.advance(0.2 * DAY);
    await authority.check();
    expect(changes).toEqual([true]);
    expect(authority.rootBundle).not.toBe(before);
    expect(verifyChain([oldLeaf, authority.rootBundle], time.clock.now())).toContain('OK');
    expect(verifyChain(await certify(authority), time.clock.now())).toContain('OK');
    authority.close();
    expect(time.pending()).toBe(0);
  });

  it('keeps its root in files for the owner only, and finds it again', async () => {
    const state = newFolder();
    const rootStore = fileRootStore(state);
    const first = await newAuthority({ rootStore });
    const second = await newAuthority({ rootStore: fileRootStore(state) });
    expect(second.authority.rootBundle).toBe(first.authority.rootBundle);
    for (const name of ['ca-cert.pem', 'ca-key.pem'])
      expect(statSync(join(state, 'ca', name)).mode & 0o777).toBe(0o600);
    expect(statSync(join(state, 'ca')).mode & 0o777).toBe(0o700);
    expect(readdirSync(state)).toEqual(['ca']);
  });

  it('makes one root when several processes start together', async () => {
    const state = newFolder();
    const rigs = await Promise.all(Array.from({ length: 6 }, () => newAuthority({ rootStore: fileRootStore(state) })));
    expect(new Set(rigs.map(({ authority }) => authority.rootBundle)).size).toBe(1);
    expect(readdirSync(state)).toEqual(['ca']);
  });

  it('says which state file is missing', async () => {
    const state = newFolder();
    await newAuthority({ rootStore: fileRootStore(state) });
    rmSync(join(state, 'ca', 'ca-key.pem'));
    await expect(newAuthority({ rootStore: fileRootStore(state) })).rejects.toThrow(/lacks ca-key.pem/);
  });
});

describe('a plug-in authority', () => {
  it('signs by the intermediate and ends the response with the root', async () => {
    const files = writePluggedCa(newFolder());
    const { authority } = await newAuthority({ bundleDirectory: files.directory });
    const chain = await certify(authority);
    expect(authority.source).toBe('plugged-in');
    expect(chain).toHaveLength(3);
    expect(chain[2]).toBe(files.root);
    expect(verifyChain(chain)).toContain('OK');
    expect(chain.every((pem) => pem.endsWith('-----\n'))).toBe(true);
  });

  it('reads the layout of a TLS secret', async () => {
    const plugged = newFolder();
    const { root } = writePluggedCa(plugged);
    const tls = newFolder();
    const copy = (from: string, to: string) =>
      writeFileSync(join(tls, to), openssl([from.includes('key') ? 'pkey' : 'x509', '-in', join(plugged, from)]));
    copy('ca-cert.pem', 'tls.crt');
    copy('ca-key.pem', 'tls.key');
    await expect(newAuthority({ bundleDirectory: tls })).rejects.toThrow(/tls.crt, tls.key present, ca.crt missing/);
    writeFileSync(join(tls, 'ca.crt'), root);
    const { authority } = await newAuthority({ bundleDirectory: tls });
    expect(verifyChain(await certify(authority))).toContain('OK');
  });

  it('refuses half a bundle, naming what is missing', async () => {
    const { directory } = writePluggedCa(newFolder());
    rmSync(join(directory, 'ca-key.pem'));
    rmSync(join(directory, 'cert-chain.pem'));
    await expect(newAuthority({ bundleDirectory: directory })).rejects.toMatchObject({
      code: 'BUNDLE_INCOMPLETE',
      message: expect.stringContaining('ca-cert.pem, root-cert.pem present, ca-key.pem, cert-chain.pem missing'),
    });
  });

  it('refuses a key of another certificate, a leaf as signer, and a root of somebody else', async () => {
    const a = writePluggedCa(newFolder());
    const b = writePluggedCa(newFolder(), 'Root B');
    const swap = (name: string, text: string) => {
      const mixed = writePluggedCa(newFolder(), 'Root A', { root: a });
      writeFileSync(join(mixed.directory, name), text);
      return newAuthority({ bundleDirectory: mixed.directory });
    };
    const otherKey = openssl(['pkey', '-in', join(b.directory, 'ca-key.pem')]);
    await expect(swap('ca-key.pem', otherKey)).rejects.toThrow(/does not belong/);
    await expect(swap('root-cert.pem', b.root)).rejects.toThrow(/no chain from the signing certificate to a root/);
    await expect(swap('ca-key.pem', 'garbage')).rejects.toThrow(/not a PEM private key/);
    await expect(swap('root-cert.pem', 'garbage')).rejects.toThrow(/no PEM certificate/);
  });

  it('takes a directory with a root alone as one more root to trust', async () => {
    const { root } = writePluggedCa(newFolder());
    const directory = newFolder();
    writeFileSync(join(directory, 'root-cert.pem'), root);
    const { authority } = await newAuthority({ bundleDirectory: directory });
    expect(authority.source).toBe('self-signed');
    expect(authority.rootBundle).toContain(root);
  });

  it('follows its files: a new intermediate, a grown and a shrunk root bundle, but no exchange of roots', async () => {
    const a = writePluggedCa(newFolder());
    const { authority, lines } = await newAuthority({ bundleDirectory: a.directory });
    const changes: boolean[] = [];
    authority.onChange(({ rootsChanged }) => changes.push(rootsChanged));
    const [, middleBefore] = await certify(authority);

    writePluggedCa(a.directory, '', { root: a });
    await authority.check();
    const chain = await certify(authority);
    expect(chain[1]).not.toBe(middleBefore);
    expect(changes).toEqual([false]);

    const b = writePluggedCa(newFolder(), 'Root B');
    const copyOfB = writePluggedCa(newFolder(), '', { root: b });
    const replaceBy = (directory: string, roots: string) => {
      for (const name of ['ca-cert.pem', 'cert-chain.pem']) {
        writeFileSync(join(a.directory, name), openssl(['x509', '-in', join(directory, name)]));
      }
      writeFileSync(join(a.directory, 'ca-key.pem'), openssl(['pkey', '-in', join(directory, 'ca-key.pem')]));
      writeFileSync(join(a.directory, 'root-cert.pem'), roots);
    };
    replaceBy(copyOfB.directory, b.root);
    await authority.check();
    expect(changes).toEqual([false]);
    expect(JSON.stringify(lines)).toContain('ROOT_SWAP_REFUSED');
    expect(authority.rootBundle).toBe(a.root);

    replaceBy(copyOfB.directory, a.root + b.root);
    await authority.check();
    expect(changes).toEqual([false, true]);
    expect(verifyChain(await certify(authority))).toContain('OK');

    writeFileSync(join(a.directory, 'root-cert.pem'), b.root);
    await authority.check();
    expect(changes).toEqual([false, true, true]);
    expect(authority.rootBundle).toBe(b.root);
    authority.close();
  });

  it('sees a changed file by itself', async () => {
    const a = writePluggedCa(newFolder());
    const { realTimers } = await import('./support.ts');
    const time = { ...manualTime(), timers: realTimers };
    const { authority } = await newAuthority({ bundleDirectory: a.directory }, time);
    const changed = new Promise<boolean>((resolve) => authority.onChange(({ rootsChanged }) => resolve(rootsChanged)));
    const b = writePluggedCa(newFolder(), 'Root B');
    writeFileSync(join(a.directory, 'root-cert.pem'), a.root + b.root);
    expect(await changed).toBe(true);
    authority.close();
  });
});
