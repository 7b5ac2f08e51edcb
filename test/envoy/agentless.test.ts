import { createServer } from 'node:http';
import { createServer as createTcp, type Server as TcpServer } from 'node:net';
import { connect } from 'node:tls';
import {
  Client,
  credentials,
  Server,
  ServerCredentials,
  type ServerUnaryCall,
  type sendUnaryData,
} from '@grpc/grpc-js';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { rawMethod } from '../support/raw-grpc.ts';
import { decode, encode } from '../../src/codec/index.ts';
import { call } from '../support/apps.ts';
import { newestEnvoy } from '../support/envoy.ts';
import { type Mesh, startMesh } from '../support/mesh.ts';
import type { LocalControlPlane } from '../support/server.ts';
import { eventually, freePorts } from '../support/wait.ts';
import { istio, NAMESPACE } from './fixtures.ts';

const ENVOY = newestEnvoy();
const ID = (account: string): string => `spiffe://cluster.local/ns/${NAMESPACE}/sa/${account}`;

/** Certificates are renewed at half of their life. */
const LIFETIME_SECONDS = 8;

const SERVING = 1;
const NOT_SERVING = 2;

/** Answers grpc.health.v1 with the state of each service. */
function healthServer(stateOf: (service: string) => number): Server {
  const server = new Server();
  server.addService(
    { Check: rawMethod('/grpc.health.v1.Health/Check', 'unary') },
    {
      Check: (call: ServerUnaryCall<Buffer, Buffer>, done: sendUnaryData<Buffer>) =>
        done(null, Buffer.from([0x08, stateOf(call.request.subarray(2).toString())])),
    },
  );
  return server;
}

function listenHealth(server: Server): Promise<number> {
  return new Promise((resolve, reject) => {
    const done = (error: Error | null, port: number): void => (error === null ? resolve(port) : reject(error));
    server.bindAsync('127.0.0.1:0', ServerCredentials.createInsecure(), done);
  });
}

describe.skipIf(ENVOY === '')('proxies without an agent', () => {
  let mesh: Mesh<LocalControlPlane>;
  const probed: string[] = [];
  const application = createServer((request, response) => {
    probed.push(`${request.headers.host} ${request.url} ${request.socket.remoteAddress}`);
    response.writeHead(request.url === '/ready?deep' ? 204 : 500).end();
  });

  /** A port that nobody listens on at first. */
  let deaf: { readonly server: TcpServer; readonly port: number };
  let serving = true;
  const health = healthServer((service) => (serving && service === 'ready' ? SERVING : NOT_SERVING));

  beforeAll(async () => {
    await new Promise<void>((resolve) => application.listen(0, '127.0.0.1', resolve));
    const { port } = application.address() as { port: number };
    const [deafPort = 0] = await freePorts(1);
    deaf = { server: createTcp((socket) => socket.destroy()), port: deafPort };
    const rpc = await listenHealth(health);
    const httpGet = { path: '/ready?deep', port, httpHeaders: [{ name: 'Host', value: 'own' }] };
    mesh = await startMesh({
      envoy: ENVOY,
      server: { workloadCertSeconds: LIFETIME_SECONDS },
      workloads: [
        { name: 'client', agentless: true },
        {
          name: 'web',
          service: 'web',
          agentless: true,
          ports: [{ name: 'http', number: 8080 }],
          env: {
            ISTIO_KUBE_APP_PROBERS: JSON.stringify({
              '/app-health/web/readyz': { httpGet },
              '/app-health/web/livez': { tcpSocket: { port } },
              '/app-health/gone/livez': { tcpSocket: { port: deaf.port } },
              '/app-health/rpc/readyz': { grpc: { port: rpc, service: 'ready' } },
              '/app-health/rpc/livez': { grpc: { port: rpc, service: 'not' } },
            }),
            REWRITE_PROBE_LEGACY_LOCALHOST_DESTINATION: 'true',
          },
        },
        { name: 'full', service: 'full', ports: [{ name: 'http', number: 8080 }] },
      ],
      objects: () => [istio('PeerAuthentication', 'default', { mtls: { mode: 'STRICT' } })],
    });
  });
  afterAll(async () => {
    application.close();
    deaf?.server.close();
    health.forceShutdown();
    await mesh?.finish();
  });

  const serial = (): Promise<string> =>
    new Promise((resolve, reject) => {
      const socket = connect({
        host: mesh.at.pod('web'),
        port: 8080,
        rejectUnauthorized: false,
        ALPNProtocols: ['istio'],
      });
      socket.on('error', reject);
      socket.on('secureConnect', () => {
        const { serialNumber } = socket.getPeerCertificate();
        socket.destroy();
        resolve(serialNumber);
      });
    });

  it('speak mutual TLS with each other, and with proxies that have one', async () => {
    for (const host of ['web', 'full']) {
      const answer = await mesh.call('client', { host });
      expect(answer.status).toBe(200);
      const shown = String(answer.echo().headers['x-forwarded-client-cert']);
      expect(shown).toContain(`By=${ID(host)};`);
      expect(shown).toMatch(new RegExp(`URI=${ID('client')}$`));
    }
    await expect(call({ address: mesh.at.pod('web'), port: 8080 })).rejects.toThrow(/ECONNRESET|socket hang up/);
  });

  it('get a new certificate over the stream before the old one ends, and no request is lost by it', async () => {
    const first = await serial();
    let requests = 0;
    const second = await eventually(async () => {
      requests++;
      expect((await mesh.call('client', { host: 'web' })).status).toBe(200);
      const now = await serial();
      return now === first ? undefined : now;
    }, 'a renewed certificate');
    expect(second).not.toBe(first);
    expect(requests).toBeGreaterThan(1);
    expect((await mesh.call('client', { host: 'web' })).status).toBe(200);
  });

  it('say that they are ready by themselves, and pass on the probes of the application', async () => {
    const pod = mesh.at.pod('web');
    expect((await call({ address: pod, port: 15_021, path: '/healthz/ready' })).status).toBe(200);
    expect((await call({ address: pod, port: 15_020, path: '/app-health/web/readyz' })).status).toBe(204);
    expect((await call({ address: pod, port: 15_020, path: '/app-health/web/startupz' })).status).toBe(404);
    expect(probed).toEqual(['own /ready?deep 127.0.0.6']);
  });

  it('check TCP and gRPC ports in the place of kubelets', async () => {
    const ask = async (path: string) =>
      (await call({ address: mesh.at.pod('web'), port: 15_020, path: `/app-health/${path}` })).status;
    const settled = (path: string, status: number) =>
      eventually(async () => ((await ask(path)) === status ? true : undefined), `${path}: ${status}`, 20_000);
    await settled('web/livez', 200);
    await settled('rpc/readyz', 200);
    await settled('rpc/livez', 503);
    await settled('gone/livez', 503);
    serving = false;
    await settled('rpc/readyz', 503);
    await new Promise<void>((resolve) => deaf.server.listen(deaf.port, '127.0.0.1', resolve));
    await settled('gone/livez', 200);
  });

  it('are given no key without a proven identity', async () => {
    const { grpc } = mesh.plane.server.addresses;
    const client = new Client(`${grpc?.host}:${grpc?.port}`, credentials.createInsecure());
    const call = client.makeBidiStreamRequest(
      '/envoy.service.discovery.v3.AggregatedDiscoveryService/DeltaAggregatedResources',
      (bytes: Buffer) => bytes,
      (bytes: Buffer) => bytes,
    );
    call.on('error', () => undefined);
    const answer = new Promise<Buffer>((resolve) => call.once('data', resolve));
    const request = {
      typeUrl: 'type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.Secret',
      resourceNamesSubscribe: ['default', 'ROOTCA'],
      node: {
        id: `sidecar~127.0.0.1~web.${NAMESPACE}~${NAMESPACE}.svc.cluster.local`,
        metadata: { NAMESPACE, SERVICE_ACCOUNT: 'web', MELTEMI_AGENTLESS: 'true' },
      },
    };
    const keys = await mesh.plane.metric('meltemi_workload_keys_issued_total');
    call.write(Buffer.from(encode('envoy.service.discovery.v3.DeltaDiscoveryRequest', request)));
    const { resources = [], removedResources } = decode(
      'envoy.service.discovery.v3.DeltaDiscoveryResponse',
      await answer,
    );
    expect(resources).toEqual([]);
    expect([...(removedResources ?? [])].sort()).toEqual(['ROOTCA', 'default']);
    expect(await mesh.plane.metric('meltemi_workload_keys_issued_total')).toBe(keys);
    client.close();
  });

  it('have keys of their own, which no dump shows', async () => {
    expect(await mesh.plane.metric('meltemi_workload_keys')).toBe(2);
    const dump = JSON.stringify(await mesh.plane.debug(`config_dump?proxyID=web.${NAMESPACE}`));
    expect(dump).toContain('ROOTCA');
    expect(dump).not.toContain('PRIVATE KEY');
  });
});
