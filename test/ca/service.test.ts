import { X509Certificate } from 'node:crypto';
import { connect } from 'node:tls';
import { fileURLToPath } from 'node:url';
import * as grpc from '@grpc/grpc-js';
import { loadSync } from '@grpc/proto-loader';
import { afterAll, afterEach, beforeEach, describe, expect, it } from 'vitest';
import {
  type Authenticator,
  clientCertAuthenticator,
  jwtAuthenticator,
  kubernetesAuthenticator,
} from '../../src/ca/authenticators.ts';
import { newCsr } from '../../src/ca/csr-request.ts';
import { keysOfTokenKey } from '../../src/ca/jwks.ts';
import { certificateService } from '../../src/ca/service.ts';
import { controlPlaneHosts, openServingCert, type ServingCert } from '../../src/ca/serving-cert.ts';
import { mintToken, openTokenKey, TOKEN_ISSUER, type TokenKey } from '../../src/ca/token.ts';
import { describeCertificate, newAuthority, removeFolders, verifyChain } from './support.ts';

const ID = 'spiffe://cluster.local/ns/shop/sa/web';
const WEB = { namespace: 'shop', serviceAccount: 'web' };

afterAll(removeFolders);

interface Rig {
  readonly port: number;
  readonly ca: Awaited<ReturnType<typeof newAuthority>>;
  readonly key: TokenKey;
  readonly serving: ServingCert;
  stop(): void;
}

async function startRig(
  options: Parameters<typeof newAuthority>[0] = {},
  more: readonly Authenticator[] = [],
): Promise<Rig> {
  const ca = await newAuthority(options);
  const key = await openTokenKey();
  const rule = {
    trustDomain: 'cluster.local',
    audiences: ['istio-ca'],
    issuer: TOKEN_ISSUER,
    keys: keysOfTokenKey(key),
    clock: ca.time.clock,
  };
  const authenticators = [clientCertAuthenticator(['cluster.local']), jwtAuthenticator(rule), ...more];
  const serving = await openServingCert(
    ca.authority,
    { hosts: controlPlaneHosts('istio-system', 'default', []) },
    ca.ports,
  );
  const server = new grpc.Server();
  const { definition, handlers } = certificateService(ca.authority, authenticators, ca.ports.log, ca.meter.meter);
  server.addService(definition, handlers);
  const port = await new Promise<number>((resolve, reject) => {
    server.bindAsync('127.0.0.1:0', serving.credentials(), (error, bound) => (error ? reject(error) : resolve(bound)));
  });
  const stop = () => {
    server.forceShutdown();
    serving.close();
    ca.authority.close();
  };
  return { port, ca, key, serving, stop };
}

interface Call {
  readonly token?: string;
  readonly csr: string;
  readonly seconds?: number;
  readonly metadata?: object;
  readonly client?: { readonly certificate: string; readonly key: string };
}

interface Client extends grpc.Client {
  CreateCertificate(
    request: object,
    metadata: grpc.Metadata,
    done: (error: grpc.ServiceError | null, value?: { readonly cert_chain: readonly string[] }) => void,
  ): void;
}

/** Clients of others know the service by its .proto. */
const PROTO = fileURLToPath(new URL('../../proto', import.meta.url));
const LOADED = loadSync('istio/v1/auth/ca.proto', {
  includeDirs: [PROTO],
  keepCase: true,
  longs: String,
  defaults: true,
});
const DEFINITION = LOADED['istio.v1.auth.IstioCertificateService'] as grpc.ServiceDefinition;

async function ask(rig: Rig, call: Call): Promise<{ code: number; details: string; chain: readonly string[] }> {
  const roots = Buffer.from(rig.ca.authority.rootBundle);
  const own = call.client;
  const credentials = grpc.credentials.createSsl(
    roots,
    own && Buffer.from(own.key),
    own && Buffer.from(own.certificate),
  );
  const Constructor = grpc.makeGenericClientConstructor(DEFINITION, 'ca');
  const client = new Constructor(`127.0.0.1:${rig.port}`, credentials, {
    'grpc.use_local_subchannel_pool': 1,
    'grpc.ssl_target_name_override': 'istiod.istio-system.svc',
  }) as unknown as Client;
  const metadata = new grpc.Metadata();
  if (call.token !== undefined) metadata.set('authorization', `Bearer ${call.token}`);
  try {
    return await new Promise((resolve) => {
      const request = { csr: call.csr, validity_duration: call.seconds ?? 0, metadata: call.metadata };
      client.CreateCertificate(request, metadata, (error, value) =>
        resolve({ code: error?.code ?? 0, details: error?.details ?? '', chain: value?.cert_chain ?? [] }),
      );
    });
  } finally {
    client.close();
  }
}

describe('IstioCertificateService', () => {
  let rig: Rig;
  beforeEach(async () => {
    rig = await startRig();
  });
  afterEach(() => rig.stop());

  const token = (more: { ttlSeconds?: number; audience?: string } = {}) =>
    mintToken({ ...WEB, ...more }, rig.key, rig.ca.time.clock);
  const csr = async (identity = ID) => (await newCsr(identity, { kind: 'ecdsa' })).csrPem;

  it('gives leaf and roots to the bearer of a token', async () => {
    const { chain, code } = await ask(rig, { token: await token(), csr: await csr(), seconds: 3600 });
    expect(code).toBe(grpc.status.OK);
    expect(chain).toHaveLength(2);
    expect(chain[1]).toBe(rig.ca.authority.rootBundle);
    expect(verifyChain(chain)).toContain('OK');
    expect(describeCertificate(chain[0] ?? '')).toContain(`URI:${ID}`);
    expect(rig.ca.meter.value('citadel_server_success_cert_issuance_count')).toBe(1);
  });

  it('serves many at once', async () => {
    const bearer = await token();
    const request = await csr();
    const answers = await Promise.all(Array.from({ length: 50 }, () => ask(rig, { token: bearer, csr: request })));
    expect(answers.map(({ code }) => code)).toEqual(Array.from({ length: 50 }, () => 0));
    expect(new Set(answers.map(({ chain }) => new X509Certificate(chain[0] ?? '').serialNumber)).size).toBe(50);
  });

  it('renews for the holder of a certificate it issued', async () => {
    const first = await newCsr(ID, { kind: 'ecdsa' });
    const { chain } = await ask(rig, { token: await token(), csr: first.csrPem });
    const client = { certificate: chain.slice(0, -1).join(''), key: first.keyPem };
    const { code, chain: renewed } = await ask(rig, { csr: await csr(), client });
    expect(code).toBe(grpc.status.OK);
    expect(describeCertificate(renewed[0] ?? '')).toContain(`URI:${ID}`);
  });

  it('does not believe a certificate of another root, and still takes the token beside it', async () => {
    const stranger = await newAuthority();
    const own = await newCsr(ID, { kind: 'ecdsa' });
    const chain = await stranger.authority.certify(own.csrPem, [ID], 0);
    const client = { certificate: chain[0] ?? '', key: own.keyPem };
    expect((await ask(rig, { csr: await csr(), client })).code).toBe(grpc.status.UNAUTHENTICATED);
    expect((await ask(rig, { csr: await csr(), client, token: await token() })).code).toBe(grpc.status.OK);
  });

  it.each([
    ['no credentials', async () => undefined, 'nothing presented'],
    [
      'a token that ended',
      async () => {
        const ended = await token({ ttlSeconds: 60 });
        rig.ca.time.advance(61_000);
        return ended;
      },
      'ERR_JWT_EXPIRED',
    ],
    ['a token for another audience', () => token({ audience: 'vault' }), 'unexpected \\\\"aud\\\\"'],
    [
      'a token of another key',
      async () => mintToken(WEB, await openTokenKey(), rig.ca.time.clock),
      'ERR_JWKS_NO_MATCHING_KEY',
    ],
    [
      'a token with a changed payload',
      async () => {
        const [head, , signature] = (await token()).split('.');
        const payload = Buffer.from(
          JSON.stringify({ sub: 'system:serviceaccount:shop:admin', aud: ['istio-ca'], exp: 9e9, iss: TOKEN_ISSUER }),
        );
        return `${head}.${payload.toString('base64url')}.${signature}`;
      },
      'ERR_JWS_SIGNATURE_VERIFICATION_FAILED',
    ],
    [
      'an unsigned token',
      async () => {
        const part = (value: object) => Buffer.from(JSON.stringify(value)).toString('base64url');
        return `${part({ alg: 'none' })}.${part({ sub: 'system:serviceaccount:shop:web', aud: 'istio-ca', exp: 9e9 })}.`;
      },
      'ERR_J',
    ],
    ['no token at all in the header', async () => 'garbage', 'ERR_JWS_INVALID'],
  ])('says the same to everybody it does not believe: %s', async (_name, bearer, reason) => {
    const value = await bearer();
    const answer = await ask(rig, { csr: await csr(), ...(value === undefined ? {} : { token: value }) });
    expect(answer).toEqual({
      code: grpc.status.UNAUTHENTICATED,
      details: 'caller could not be authenticated',
      chain: [],
    });
    const logged = JSON.stringify(rig.ca.lines);
    expect(logged).toMatch(new RegExp(reason));
    if (value !== undefined && value !== 'garbage') expect(logged).not.toContain(value);
    expect(rig.ca.meter.value('citadel_server_authentication_failure_count')).toBe(1);
  });

  it('refuses to certify somebody else, garbage and too long lifetimes, each with its reason', async () => {
    const bearer = await token();
    const other = await ask(rig, { token: bearer, csr: await csr('spiffe://cluster.local/ns/shop/sa/admin') });
    expect(other.code).toBe(grpc.status.INVALID_ARGUMENT);
    expect(other.details).toContain('SAN not allowed');
    const garbage = await ask(rig, { token: bearer, csr: 'garbage' });
    expect(garbage.code).toBe(grpc.status.INVALID_ARGUMENT);
    expect(rig.ca.meter.value('citadel_server_csr_sign_err_count', { error: 'CSR_ERROR' })).toBe(2);
    const long = await ask(rig, { token: bearer, csr: await csr(), seconds: 91 * 86400 });
    expect(long.code).toBe(grpc.status.INVALID_ARGUMENT);
    expect(rig.ca.meter.value('citadel_server_csr_sign_err_count', { error: 'TTL_ERROR' })).toBe(1);
  });

  it('refuses impersonation like a bad credential', async () => {
    const metadata = { fields: { ImpersonatedIdentity: { stringValue: ID } } };
    const answer = await ask(rig, { token: await token(), csr: await csr(), metadata });
    expect(answer.code).toBe(grpc.status.UNAUTHENTICATED);
  });

  it('puts off whom nobody could look up, and tells a stranger no more than that', async () => {
    const review = () => Promise.reject(new Error('connection refused to 10.0.0.1'));
    const unsure = await startRig({}, [
      kubernetesAuthenticator({ trustDomain: 'cluster.local', audiences: ['istio-ca'], review }),
    ]);
    const answer = await ask(unsure, { csr: await csr(), token: 'of a cluster that is away' });
    expect(answer).toMatchObject({ code: grpc.status.UNAVAILABLE, chain: [] });
    expect(answer.details).not.toContain('10.0.0.1');
    unsure.stop();
  });

  it('reports an expired signer as internal', async () => {
    const short = await startRig({ rootLifetimeDays: 1, checkIntervalMs: 0 });
    short.ca.time.advance(24 * 3600_000 + 1);
    const bearer = await mintToken(WEB, short.key, short.ca.time.clock);
    const answer = await ask(short, { token: bearer, csr: await csr() });
    short.stop();
    expect(answer).toMatchObject({ code: grpc.status.INTERNAL, details: 'certificate not issued: SIGNER_EXPIRED' });
    expect(short.ca.meter.value('citadel_server_csr_sign_err_count', { error: 'CERT_GEN_ERROR' })).toBe(1);
  });

  // The renewed certificate begins in the future of this machine's clock: only which one is served matters here.
  const servedSerial = () =>
    new Promise<string>((resolve, reject) => {
      const socket = connect(
        {
          host: '127.0.0.1',
          port: rig.port,
          rejectUnauthorized: false,
          servername: 'istiod.istio-system.svc',
          ALPNProtocols: ['h2'],
        },
        () => {
          resolve(socket.getPeerCertificate().serialNumber);
          socket.destroy();
        },
      );
      socket.on('error', reject);
    });

  it('renews its serving certificate at half of its life without a restart', async () => {
    const before = await servedSerial();
    expect(describeCertificate(rig.serving.current.certificatePem)).toContain(
      'DNS:istiod.istio-system.svc, DNS:istiod-remote.istio-system.svc, DNS:istio-pilot.istio-system.svc, DNS:localhost, IP Address:127.0.0.1',
    );
    const renewed = new Promise((resolve) => rig.serving.onChange(resolve));
    rig.ca.time.advance(46 * 24 * 3600_000);
    await renewed;
    expect(await servedSerial()).not.toBe(before);
  });
});
