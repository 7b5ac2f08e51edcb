import { X509Certificate } from 'node:crypto';
import { readFileSync, statSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import { join } from 'node:path';
import { exportJWK, generateKeyPair, SignJWT } from 'jose';
import { afterAll, describe, expect, it } from 'vitest';
import { authenticate } from '../../src/ca/authenticate.ts';
import {
  type Authenticator,
  clientCertAuthenticator,
  jwtAuthenticator,
  kubernetesAuthenticator,
} from '../../src/ca/authenticators.ts';
import { keysOfIssuer, keysOfJwks, openJwksFile, parseOidcRule } from '../../src/ca/jwks.ts';
import { openTokenKey } from '../../src/ca/token.ts';
import { newAuthority, newFolder, realTimers, recordingLog, removeFolders } from './support.ts';

type Key = Awaited<ReturnType<typeof generateKeyPair>>['privateKey'];

const ID = 'spiffe://cluster.local/ns/shop/sa/web';
const WEB = { namespace: 'shop', serviceAccount: 'web' };

afterAll(removeFolders);

describe('openTokenKey', () => {
  it('keeps one key in the state directory, for the owner only', async () => {
    const state = newFolder();
    const keys = await Promise.all(Array.from({ length: 5 }, () => openTokenKey(state)));
    expect(new Set(keys.map(({ keyId }) => keyId)).size).toBe(1);
    expect(statSync(join(state, 'token-key.pem')).mode & 0o777).toBe(0o600);
    expect(readFileSync(join(state, 'token-key.pem'), 'utf8')).toContain('PRIVATE KEY');
  });
});

describe('authenticators', () => {
  const nobody = { certificate: undefined, bearer: undefined, clusterId: undefined, address: 'test' };
  const clock = { now: () => Date.now() };

  it('accepts tokens of a JWKS file by any of its keys, and only of its issuer', async () => {
    const { publicKey, privateKey } = await generateKeyPair('RS256');
    const jwks = JSON.stringify({ keys: [{ ...(await exportJWK(publicKey)), kid: 'one', alg: 'RS256' }] });
    const rule = {
      trustDomain: 'td',
      audiences: ['istio-ca'],
      issuer: 'https://issuer',
      keys: keysOfJwks(jwks),
      clock,
    };
    const sign = (issuer: string, sub = 'system:serviceaccount:a:b') =>
      new SignJWT({})
        .setProtectedHeader({ alg: 'RS256', kid: 'one' })
        .setIssuer(issuer)
        .setSubject(sub)
        .setAudience('istio-ca')
        .setExpirationTime('1h')
        .sign(privateKey);
    const decide = async (bearer: string) => authenticate([jwtAuthenticator(rule)], { ...nobody, bearer });
    expect(await decide(await sign('https://issuer'))).toMatchObject({
      kind: 'accepted',
      caller: { identities: ['spiffe://td/ns/a/sa/b'], namespace: 'a' },
    });
    expect(await decide(await sign('https://other'))).toMatchObject({ kind: 'refused' });
    for (const sub of [
      'user',
      'system:serviceaccount:a',
      'system:serviceaccount:a:b:c',
      'system:serviceaccount:a/sa/x:b',
      'system:serviceaccount::b',
    ]) {
      expect(await decide(await sign('https://issuer', sub))).toMatchObject({ kind: 'refused' });
    }
  });

  const signed = async (key: Key, kid: string) =>
    new SignJWT({})
      .setProtectedHeader({ alg: 'ES256', kid })
      .setIssuer('https://issuer')
      .setSubject('system:serviceaccount:shop:web')
      .setAudience('istio-ca')
      .setExpirationTime('1h')
      .sign(key);
  const rule = { trustDomain: 'td', audiences: ['istio-ca'], issuer: 'https://issuer', clock };

  it('follows a JWKS file, and keeps the old keys while it is broken', async () => {
    const [old, next] = [await generateKeyPair('ES256'), await generateKeyPair('ES256')];
    const jwks = async (key: Key, kid: string) => JSON.stringify({ keys: [{ ...(await exportJWK(key)), kid }] });
    const path = join(newFolder(), 'jwks.json');
    writeFileSync(path, await jwks(old.publicKey, 'old'));
    const log = recordingLog();
    const followed = await openJwksFile(path, realTimers, log.log);
    const { keys } = followed;
    const kindOf = async (key: Key, kid: string) =>
      (await authenticate([jwtAuthenticator({ ...rule, keys })], { ...nobody, bearer: await signed(key, kid) })).kind;
    const logged = async (text: string) => {
      while (!log.text().includes(text)) await new Promise((resolve) => setTimeout(resolve, 20));
    };
    expect(await kindOf(old.privateKey, 'old')).toBe('accepted');
    writeFileSync(path, 'broken');
    await logged('token keys not replaced');
    expect(await kindOf(old.privateKey, 'old')).toBe('accepted');
    writeFileSync(path, await jwks(next.publicKey, 'next'));
    await logged('token keys replaced');
    expect(await kindOf(old.privateKey, 'old')).toBe('refused');
    expect(await kindOf(next.privateKey, 'next')).toBe('accepted');
    followed.close();
    await expect(openJwksFile(join(newFolder(), 'none'), realTimers, log.log)).rejects.toThrow(/ENOENT/);
  });

  it('discovers the keys of an issuer, again after a failure', async () => {
    const { publicKey, privateKey } = await generateKeyPair('ES256');
    const jwk = { ...(await exportJWK(publicKey)), kid: 'one' };
    const asked: string[] = [];
    let isUp = false;
    const server = createServer((request, response) => {
      asked.push(request.url ?? '');
      if (!isUp) response.writeHead(503).end();
      else response.end(JSON.stringify(request.url === '/jwks' ? { keys: [jwk] } : { jwks_uri: `${base}/jwks` }));
    });
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    const base = `http://127.0.0.1:${(server.address() as { port: number }).port}`;
    const keys = keysOfIssuer({ issuer: base, jwksUri: undefined, audiences: [] });
    const decide = async (kid: string) =>
      authenticate([jwtAuthenticator({ ...rule, keys })], { ...nobody, bearer: await signed(privateKey, kid) });
    expect(await decide('one')).toMatchObject({ kind: 'refused', reason: expect.stringContaining('status 503') });
    isUp = true;
    expect((await decide('one')).kind).toBe('accepted');
    expect((await decide('two')).kind).toBe('refused');
    expect((await decide('one')).kind).toBe('accepted');
    expect(asked).toEqual(['/.well-known/openid-configuration', '/.well-known/openid-configuration', '/jwks']);
    server.close();
    server.closeAllConnections();
  });

  it('reads token rules', () => {
    expect(parseOidcRule('{"issuer":"i","audiences":["a"]}')).toEqual({
      issuer: 'i',
      jwksUri: undefined,
      audiences: ['a'],
    });
    expect(() => parseOidcRule('{"audiences":["a"]}')).toThrow(/issuer/);
    expect(() => parseOidcRule('{"issuer":"i"}')).toThrow(/audience/);
  });

  it('asks the cluster named by the peer about its token', async () => {
    const asked: unknown[] = [];
    const review = (username: string, groups = ['system:serviceaccounts']): Authenticator =>
      kubernetesAuthenticator({
        trustDomain: 'cluster.local',
        audiences: ['istio-ca'],
        review: async (...args) => {
          asked.push(args);
          return args[0] === 'unknown' ? undefined : { authenticated: username !== '', username, groups };
        },
      });
    const credentials = { ...nobody, bearer: 'opaque', clusterId: 'east' };
    const account = 'system:serviceaccount:shop:web';
    expect(await authenticate([review(account)], credentials)).toMatchObject({
      kind: 'accepted',
      caller: { identities: [ID], source: 'kubernetes' },
    });
    expect(asked).toEqual([['east', 'opaque', ['istio-ca']]]);
    expect(await authenticate([review(account, [])], credentials)).toMatchObject({ kind: 'refused' });
    expect(await authenticate([review('')], credentials)).toMatchObject({ kind: 'refused' });
    expect(await authenticate([review(account)], { ...credentials, clusterId: 'unknown' })).toMatchObject({
      kind: 'refused',
    });
  });

  it('takes a certificate of an own trust domain only, with exactly one workload identity', async () => {
    const { authority } = await newAuthority();
    const key = new X509Certificate(authority.rootBundle).publicKey;
    const decide = async (names: readonly string[]) => {
      const [leaf = ''] = await authority.certifyOwn(key, names, 60);
      return authenticate([clientCertAuthenticator(['cluster.local'])], {
        ...nobody,
        certificate: new X509Certificate(leaf).raw,
      });
    };
    expect(await decide([ID, 'x.example'])).toMatchObject({
      kind: 'accepted',
      caller: { identities: [ID, 'x.example'], source: 'client-certificate', ...WEB },
    });
    expect(await decide(['istiod.istio-system.svc'])).toMatchObject({ kind: 'refused' });
    expect(await decide(['spiffe://other/ns/shop/sa/web'])).toMatchObject({ kind: 'refused' });
    expect(await decide([ID, 'spiffe://cluster.local/ns/shop/sa/admin'])).toMatchObject({ kind: 'refused' });
  });
});
