import { connect, type TLSSocket } from 'node:tls';
import { afterAll, afterEach, describe, expect, it } from 'vitest';
import { type Agent, startAgent } from '../../src/agent/agent.ts';
import { ask } from '../../src/agent/admin.ts';
import { anyOf, decode, encode } from '../../src/codec/index.ts';
import { recordingLog, recordingMeter, realTimers, removeFolders } from '../ca/support.ts';
import {
  type ControlPlane,
  envoyForTests,
  eventually,
  freePorts,
  ID,
  ownConfig,
  type RawStream,
  startControlPlane,
  systemClock,
} from './support.ts';

const ENVOY = envoyForTests();

const TLS = 'envoy.extensions.transport_sockets.tls.v3.DownstreamTlsContext';

const bySds = (name: string) => ({
  name,
  sdsConfig: {
    resourceApiVersion: 'V3' as const,
    apiConfigSource: {
      apiType: 'GRPC' as const,
      transportApiVersion: 'V3' as const,
      setNodeOnFirstMessageOnly: true,
      grpcServices: [{ envoyGrpc: { clusterName: 'sds-grpc' } }],
    },
  },
});

/** Answers a delta ADS stream with one listener that echoes over mutual TLS. */
function serveEcho(port: number) {
  const listener = anyOf('envoy.config.listener.v3.Listener', {
    name: 'echo',
    address: { socketAddress: { address: '127.0.0.1', portValue: port } },
    filterChains: [
      {
        filters: [
          {
            name: 'envoy.filters.network.echo',
            typedConfig: { '@type': 'type.googleapis.com/envoy.extensions.filters.network.echo.v3.Echo' },
          },
        ],
        transportSocket: {
          name: 'tls',
          typedConfig: anyOf(TLS, {
            requireClientCertificate: false,
            commonTlsContext: {
              tlsCertificateSdsSecretConfigs: [bySds('default')],
              validationContextSdsSecretConfig: bySds('ROOTCA'),
            },
          }),
        },
      },
    ],
  });
  const resources: Readonly<Record<string, readonly { name: string; version: string; resource: typeof listener }[]>> = {
    'type.googleapis.com/envoy.config.cluster.v3.Cluster': [],
    'type.googleapis.com/envoy.config.listener.v3.Listener': [{ name: 'echo', version: '1', resource: listener }],
  };
  return (call: RawStream) => {
    const answered = new Set<string>();
    call.on('data', (bytes: Buffer) => {
      const { typeUrl = '' } = decode('envoy.service.discovery.v3.DeltaDiscoveryRequest', bytes);
      const found = resources[typeUrl];
      if (found === undefined || answered.has(typeUrl)) return;
      answered.add(typeUrl);
      call.write(
        Buffer.from(
          encode('envoy.service.discovery.v3.DeltaDiscoveryResponse', { typeUrl, nonce: '1', resources: found }),
        ),
      );
    });
    call.on('end', () => call.end());
  };
}

function tlsTo(port: number, roots: string): Promise<TLSSocket> {
  return new Promise((resolve, reject) => {
    const socket = connect({ host: '127.0.0.1', port, ca: roots, checkServerIdentity: () => undefined }, () =>
      resolve(socket),
    );
    socket.on('error', reject);
  });
}

function echo(socket: TLSSocket, text: string): Promise<string> {
  return new Promise((resolve, reject) => {
    socket.once('data', (bytes) => resolve(bytes.toString()));
    socket.once('close', () => reject(new Error('connection closed')));
    socket.write(text);
  });
}

afterAll(removeFolders);

describe.skipIf(ENVOY === undefined)('the agent with a real Envoy', () => {
  let plane: ControlPlane | undefined;
  let agent: Agent | undefined;
  afterEach(async () => {
    await agent?.stop();
    plane?.stop();
    agent = undefined;
  });

  async function start(port: number, env: Readonly<Record<string, string>> = {}) {
    plane = await startControlPlane(serveEcho(port));
    const config = await ownConfig(plane, { env, flags: { envoyPath: ENVOY ?? '' } });
    const log = recordingLog();
    const envoyLog: string[] = [];
    agent = await startAgent(config, {
      clock: systemClock,
      timers: realTimers,
      random: Math.random,
      log: log.log,
      meter: recordingMeter().meter,
      renderMetrics: async () => 'istio_agent_scrapes_total 1\n',
      onEnvoyLine: (line) => envoyLog.push(line),
      path: '',
    });
    const admin = { host: '127.0.0.1', port: config.ports.admin };
    const status = { host: '127.0.0.1', port: config.ports.status };
    const ready = async () => ((await ask(status, 'GET', '/healthz/ready')).status === 200 ? true : undefined);
    try {
      await eventually(ready, 'ready');
    } catch (error) {
      throw new Error(`${String(error)}\n${envoyLog.join('\n')}\n${log.text()}`);
    }
    return { config, admin, status, envoyLog, log, plane, agent };
  }

  it('gets certificate and roots by SDS, rotates without dropping connections, and says so', async () => {
    const [port = 0] = await freePorts(1);
    const { admin, status, config, envoyLog, plane, agent } = await start(port);

    const first = await tlsTo(port, plane.authority.rootBundle);
    expect(first.getPeerCertificate().subjectaltname).toBe(`URI:${ID}`);
    expect(await echo(first, 'one')).toBe('one');
    const shown = JSON.parse((await ask(admin, 'GET', '/certs')).body);
    expect(JSON.stringify(shown.certificates[0].cert_chain)).toContain(ID);

    const before = first.getPeerCertificate().serialNumber;
    await agent.certificates.renew();
    const second = await eventually(async () => {
      const socket = await tlsTo(port, plane.authority.rootBundle);
      if (socket.getPeerCertificate().serialNumber !== before) return socket;
      socket.destroy();
      return undefined;
    }, 'new certificate');
    expect(await echo(first, 'two')).toBe('two');
    expect(await echo(second, 'three')).toBe('three');

    const health = { host: '127.0.0.1', port: config.ports.health };
    expect((await ask(health, 'GET', '/healthz/ready')).status).toBe(200);
    const page = (await ask({ host: '127.0.0.1', port: config.ports.prometheus }, 'GET', '/stats/prometheus')).body;
    expect(page).toContain('envoy_server_live');
    const merged = (await ask(status, 'GET', '/stats/prometheus')).body;
    expect(merged).toContain('envoy_server_live');
    expect(merged).toContain('istio_agent_scrapes_total 1');
    expect(envoyLog.filter((line) => /\[(warning|error|critical)\]/.test(line))).toEqual([]);
    first.destroy();
    second.destroy();
  });

  it('ends with Envoy, whoever ended it', async () => {
    const [port = 0] = await freePorts(1);
    const { agent, status } = await start(port);
    process.kill(agent.envoyPid, 'SIGKILL');
    expect(await agent.ended).toEqual({ code: undefined, signal: 'SIGKILL' });
    await expect(ask(status, 'GET', '/healthz/ready')).rejects.toThrow();
  });

  it('stops without draining when asked to quit', async () => {
    const [port = 0] = await freePorts(1);
    const { agent, status, log } = await start(port);
    expect((await ask(status, 'GET', '/quitquitquit')).status).toBe(405);
    expect((await ask(status, 'POST', '/quitquitquit')).status).toBe(200);
    expect(await agent.ended).toMatchObject({ code: 0 });
    expect(log.text()).not.toContain('draining');
  });
});
