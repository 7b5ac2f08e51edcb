import { execFileSync, spawn } from 'node:child_process';
import { generateKeyPairSync } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { exportJWK, SignJWT } from 'jose';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { call } from '../support/apps.ts';
import { type Issued, issue } from '../support/certificates.ts';
import { envoysForTests } from '../support/envoy.ts';
import { type Mesh, startMesh } from '../support/mesh.ts';
import { type LocalControlPlane, trustBundle } from '../support/server.ts';
import { istio, NAMESPACE } from './fixtures.ts';

const ID = (account: string): string => `spiffe://cluster.local/ns/${NAMESPACE}/sa/${account}`;
const strict = istio('PeerAuthentication', 'default', { mtls: { mode: 'STRICT' } });

describe.each(envoysForTests())('security by real sidecars', ({ version, envoy }) => {
  describe.skipIf(envoy === '')(`of Envoy ${version}`, () => {
    let mesh: Mesh<LocalControlPlane>;

    beforeAll(async () => {
      const egress = [
        { name: 'http', number: 8080 },
        { name: 'tcp', number: 7000, protocol: 'TCP' },
      ];
      mesh = await startMesh({
        envoy,
        workloads: [
          { name: 'client', egress },
          { name: 'intruder', egress },
          { name: 'web', service: 'web', ports: [{ name: 'http', number: 8080 }] },
          { name: 'ledger', service: 'ledger', ports: [{ name: 'tcp', number: 7000, protocol: 'TCP' }] },
          { name: 'legacy', service: 'legacy', proxied: false, ports: [{ name: 'http', number: 8080 }] },
        ],
      });
    });
    afterAll(() => mesh?.finish());

    const get = (from: string, path = '/', headers: Record<string, string> = {}, method = 'GET') =>
      mesh.call(from, { host: 'web', path, headers, method });

    /**
     * A sidecar applies a policy to connections made after it came: one that stood before is closed with its next answer.
     * That answer is had here.
     */
    const apply = async (name: string, objects: readonly object[]): Promise<void> => {
      await mesh.apply(name, objects);
      for (const from of ['client', 'intruder']) await get(from);
    };

    describe('mutual TLS', () => {
      it('is optional at first: plaintext is served, without an identity', async () => {
        const answer = await call({ address: mesh.at.pod('web'), port: 8080 });
        expect(answer.status).toBe(200);
        expect(answer.echo().headers['x-forwarded-client-cert']).toBeUndefined();
      });

      it('shows each side the other: the client in x-forwarded-client-cert, the server in its certificate', async () => {
        const { headers } = (await get('client')).echo();
        const shown = String(headers['x-forwarded-client-cert']);
        expect(shown).toContain(`By=${ID('web')};`);
        expect(shown).toMatch(new RegExp(`URI=${ID('client')}$`));
        // What a client claims about itself is not passed on.
        const forged = (await get('client', '/', { 'x-forwarded-client-cert': `URI=${ID('admin')}` })).echo();
        expect(String(forged.headers['x-forwarded-client-cert'])).not.toContain('admin');
        const stats = await mesh.proxy('client').stats('outbound.8080.*web.*ssl.handshake$');
        expect([...stats.values()].some((value) => value > 0)).toBe(true);
      });

      it('STRICT refuses plaintext and serves the mesh', async () => {
        await apply('peer', [strict]);
        await expect
          .poll(() => call({ address: mesh.at.pod('web'), port: 8080 }).then(String, (error: Error) => error.message), {
            timeout: 5000,
          })
          .toMatch(/ECONNRESET|socket hang up/);
        expect((await get('client')).status).toBe(200);
        expect(await mesh.talk('client', 7000, 'hi')).toBe('ledger hi');
      });

      it('still reaches servers without a sidecar in plaintext', async () => {
        const answer = await mesh.call('client', { host: 'legacy' });
        expect([answer.status, answer.echo().app]).toEqual([200, 'legacy']);
      });

      it('is what OpenSSL says it is', async () => {
        const { certificates } = mesh.proxy('client');
        const file = (name: string): string => join(certificates, name);
        const args = [
          ...['s_client', '-connect', `${mesh.at.pod('web')}:8080`, '-alpn', 'istio', '-CAfile', file('root-cert.pem')],
          ...['-cert', file('cert-chain.pem'), '-key', file('key.pem'), '-verify_return_error', '-showcerts'],
        ];
        const seen = await sClient(args);
        expect(seen).toContain('Verify return code: 0 (ok)');
        expect(seen).toMatch(/New, TLSv1\.3/);
        expect(sanOf(firstCertificate(seen))).toContain(`URI:${ID('web')}`);
        expect(sanOf(readFileSync(file('cert-chain.pem'), 'utf8'))).toContain(`URI:${ID('client')}`);
        const anonymous = await sClient(args.filter((_, index) => index < 7 || index > 10));
        expect(anonymous).toMatch(/certificate required|alert/);
        const old = await sClient([...args, '-tls1_1', '-cipher', 'ALL:@SECLEVEL=0']);
        expect(old).toMatch(/alert protocol version|no protocols available|wrong version/);
      });

      it('refuses a certificate of another authority, and one of another trust domain', async () => {
        const { folder } = mesh.plane;
        const own = folder.sub('strangers');
        const authority = {
          certFile: join(folder.stateDir, 'ca', 'ca-cert.pem'),
          keyFile: join(folder.stateDir, 'ca', 'ca-key.pem'),
        };
        const ask = ({ cert, key }: Issued) => {
          const tls = { cert, key, ca: trustBundle(folder), rejectUnauthorized: false };
          return call({ address: mesh.at.pod('web'), port: 8080, tls });
        };
        expect((await ask(issue(own, 'known', `URI:${ID('client')}`, authority))).status).toBe(200);
        await expect(ask(issue(own, 'self-signed', `URI:${ID('client')}`))).rejects.toThrow();
        await expect(
          ask(issue(own, 'foreign', 'URI:spiffe://elsewhere/ns/shop/sa/client', authority)),
        ).rejects.toThrow();
      });
    });

    describe('authorization', () => {
      const policy = (name: string, spec: object) => istio('AuthorizationPolicy', name, { ...WEB, ...spec });
      const WEB = { selector: { matchLabels: { app: 'web' } } };

      it('DENY takes away, with 403', async () => {
        await apply('authz', [
          strict,
          policy('deny', {
            action: 'DENY',
            rules: [
              {
                from: [{ source: { principals: ['cluster.local/ns/shop/sa/intruder'] } }],
                to: [{ operation: { paths: ['/admin*'] } }],
              },
            ],
          }),
        ]);
        expect((await get('client', '/admin/x')).status).toBe(200);
        const denied = await get('intruder', '/admin/x');
        expect([denied.status, denied.body]).toEqual([403, 'RBAC: access denied']);
        expect((await get('intruder', '/')).status).toBe(200);
      });

      it('ALLOW leaves only what it names', async () => {
        await apply('authz', [
          strict,
          policy('allow', {
            action: 'ALLOW',
            rules: [
              {
                from: [{ source: { serviceAccounts: ['client'] } }],
                to: [{ operation: { methods: ['GET'], paths: ['/items/{*}/price'] } }],
              },
              {
                to: [{ operation: { paths: ['/public/{**}'] } }],
                when: [{ key: 'request.headers[x-key]', values: ['open*'] }],
              },
            ],
          }),
        ]);
        expect((await get('client', '/items/7/price')).status).toBe(200);
        expect((await get('client', '/items/7/8/price')).status).toBe(403);
        expect((await get('client', '/items/7/price', {}, 'POST')).status).toBe(403);
        expect((await get('intruder', '/items/7/price')).status).toBe(403);
        expect((await get('intruder', '/public/a/b', { 'x-key': 'open-sesame' })).status).toBe(200);
        expect((await get('intruder', '/public/a/b')).status).toBe(403);
      });

      it('closes TCP connections that it does not allow', async () => {
        await apply('authz', [
          strict,
          istio('AuthorizationPolicy', 'ledger', {
            selector: { matchLabels: { app: 'ledger' } },
            rules: [{ from: [{ source: { principals: ['cluster.local/ns/shop/sa/client'] } }] }],
          }),
        ]);
        expect(await mesh.talk('client', 7000, 'mine')).toBe('ledger mine');
        expect(await mesh.talk('intruder', 7000, 'mine')).toBeUndefined();
      });
    });

    describe('tokens of end users', () => {
      const issuer = 'https://issuer.example';
      const { privateKey, publicKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
      const token = (claims: Record<string, unknown>, subject = 'ann', from = issuer) =>
        new SignJWT(claims)
          .setProtectedHeader({ alg: 'ES256', kid: 'one' })
          .setIssuer(from)
          .setSubject(subject)
          .setExpirationTime('1h')
          .sign(privateKey);
      const bearer = async (value: Promise<string>) => ({ authorization: `Bearer ${await value}` });

      beforeAll(async () => {
        const jwks = JSON.stringify({ keys: [{ ...(await exportJWK(publicKey)), kid: 'one', alg: 'ES256' }] });
        const selector = { matchLabels: { app: 'web' } };
        await apply('authz', [
          strict,
          istio('RequestAuthentication', 'jwt', {
            selector,
            jwtRules: [
              {
                issuer,
                jwks,
                outputClaimToHeaders: [{ header: 'x-group', claim: 'group' }],
                forwardOriginalToken: false,
              },
            ],
          }),
          istio('AuthorizationPolicy', 'jwt', {
            selector,
            action: 'ALLOW',
            rules: [
              { to: [{ operation: { paths: ['/open'] } }] },
              {
                from: [{ source: { requestPrincipals: [`${issuer}/*`] } }],
                when: [{ key: 'request.auth.claims[group]', values: ['staff'] }],
              },
            ],
          }),
        ]);
      });

      it('are checked where they are shown, and required where a policy says so', async () => {
        expect((await get('client', '/open')).status).toBe(200);
        expect((await get('client', '/open', { authorization: 'Bearer nonsense' })).status).toBe(401);
        expect((await get('client', '/')).status).toBe(403);
        expect((await get('client', '/', await bearer(token({ group: 'guest' })))).status).toBe(403);
        expect(
          (await get('client', '/', await bearer(token({ group: 'staff' }, 'ann', 'https://other.example')))).status,
        ).toBe(401);
        const answer = await get('client', '/', await bearer(token({ group: 'staff' })));
        expect(answer.status).toBe(200);
        expect(answer.echo().headers).toMatchObject({ 'x-group': 'staff' });
        expect(answer.echo().headers.authorization).toBeUndefined();
      });
    });
  });
});

/** What `openssl s_client` prints of a connection that is closed once it stands. */
function sClient(args: readonly string[]): Promise<string> {
  return new Promise((resolve, reject) => {
    const child = spawn('openssl', [...args], { stdio: ['pipe', 'pipe', 'pipe'] });
    let text = '';
    for (const stream of [child.stdout, child.stderr]) stream.on('data', (chunk: Buffer) => (text += chunk.toString()));
    child.on('error', reject);
    child.on('close', () => resolve(text));
    // A request, so that with TLS 1.3 the server's verdict on the client's certificate is seen before the end.
    child.stdin.on('error', () => undefined);
    child.stdin.write('GET / HTTP/1.1\r\nhost: web\r\nconnection: close\r\n\r\n');
  });
}

function firstCertificate(text: string): string {
  return /-----BEGIN CERTIFICATE-----[^]*?-----END CERTIFICATE-----/.exec(text)?.[0] ?? '';
}

function sanOf(pem: string): string {
  return execFileSync('openssl', ['x509', '-noout', '-ext', 'subjectAltName'], { input: pem, encoding: 'utf8' });
}
