import { EventEmitter } from 'node:events';
import { chmodSync, existsSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import { join } from 'node:path';
import { afterAll, afterEach, beforeEach, describe, expect, it } from 'vitest';
import { parse } from 'yaml';
import { ask } from '../../src/agent/admin.ts';
import { startAgent } from '../../src/agent/agent.ts';
import { drainEnvoy, envoyArguments, envoyBinary } from '../../src/agent/envoy.ts';
import { type AgentPorts, renderBootstrap, runAgent } from '../../src/agent/run.ts';
import { manualTime, newFolder, realTimers, recordingLog, recordingMeter, removeFolders } from '../ca/support.ts';
import {
  type ControlPlane,
  configOf,
  eventually,
  freePorts,
  ownConfig,
  startControlPlane,
  systemClock,
} from './support.ts';

afterAll(removeFolders);

const parseYaml = async (text: string): Promise<unknown> => parse(text);

/** Stands in for Envoy where only the process matters: it lives until told to end. */
function fakeEnvoy(body: string): string {
  const path = join(newFolder(), 'envoy');
  writeFileSync(path, `#!/bin/sh\n${body}\n`);
  chmodSync(path, 0o755);
  return path;
}

const SLEEPER = 'trap "exit 0" TERM; echo started >&2; while :; do sleep 0.05; done';

describe('the agent as a process', () => {
  let plane: ControlPlane;
  beforeEach(async () => {
    plane = await startControlPlane();
  });
  afterEach(() => plane.stop());

  const portsOf = (log = recordingLog()): AgentPorts => ({
    clock: systemClock,
    timers: realTimers,
    random: Math.random,
    log: log.log,
    meter: recordingMeter().meter,
    renderMetrics: async () => '',
    onEnvoyLine: () => undefined,
    path: '',
  });

  async function requestOf(envoyPath: string) {
    const [statusPort = 0, adminPort = 0] = await freePorts(2);
    const folder = newFolder();
    const flags = {
      discoveryAddress: `127.0.0.1:${plane.port}`,
      rootFile: plane.rootFile,
      tokenFile: plane.tokenFile,
      runDirectory: folder,
      sdsSocket: join(folder, 'SDS'),
      bindAddress: '127.0.0.1',
      statusPort,
      adminPort,
      envoyPath,
    };
    const env = {
      INSTANCE_IP: '127.0.0.1',
      POD_NAMESPACE: 'shop',
      SERVICE_ACCOUNT: 'web',
      PROXY_CONFIG: 'terminationDrainDuration: 0s',
    };
    return { request: { flags, env, parseYaml }, folder, status: { host: '127.0.0.1', port: statusPort } };
  }

  it.each(['SIGTERM', 'SIGINT'] as const)('stops Envoy and ends with 0 on %s', async (signal) => {
    const { request, status } = await requestOf(fakeEnvoy(SLEEPER));
    const signals = new EventEmitter();
    const code = runAgent(request, portsOf(), signals);
    await eventually(
      async () => ((await ask(status, 'GET', '/healthz/ready')).status === 503 ? true : undefined),
      'status port',
    );
    signals.emit(signal);
    expect(await code).toBe(0);
    expect(signals.eventNames()).toEqual([]);
    await expect(ask(status, 'GET', '/healthz/ready')).rejects.toThrow();
  });

  it('stops right after starting if the signal came first', async () => {
    const { request } = await requestOf(fakeEnvoy(SLEEPER));
    const signals = new EventEmitter();
    const code = runAgent(request, portsOf(), signals);
    await eventually(async () => (signals.listenerCount('SIGTERM') > 0 ? true : undefined), 'listener');
    signals.emit('SIGTERM');
    expect(await code).toBe(0);
  });

  it("ends with Envoy's exit code", async () => {
    const { request } = await requestOf(fakeEnvoy('exit 7'));
    expect(await runAgent(request, portsOf(), new EventEmitter())).toBe(7);
  });

  it('leaves nothing behind when a part cannot start', async () => {
    const config = await ownConfig(plane, { flags: { envoyPath: '/nowhere/envoy' } });
    await expect(startAgent(config, portsOf())).rejects.toThrow(/ENOENT/);
    await expect(ask({ host: '127.0.0.1', port: config.ports.status }, 'GET', '/healthz/ready')).rejects.toThrow();
    expect(existsSync(config.sdsSocket)).toBe(false);
    expect(existsSync(config.xdsSocket)).toBe(false);
  });

  it('starts Envoy although the control plane is away, and says why there is no certificate', async () => {
    plane.stop();
    const log = recordingLog();
    const { request, status } = await requestOf(fakeEnvoy(SLEEPER));
    const signals = new EventEmitter();
    const code = runAgent(request, portsOf(log), signals);
    await eventually(
      async () => ((await ask(status, 'GET', '/healthz/ready')).status === 503 ? true : undefined),
      'status port',
    );
    await eventually(async () => (log.text().includes('no new workload certificate') ? true : undefined), 'report');
    signals.emit('SIGTERM');
    expect(await code).toBe(0);
  });

  it('kills an Envoy that does not listen', async () => {
    const config = await ownConfig(plane, {
      flags: { envoyPath: fakeEnvoy('trap "" TERM; while :; do sleep 0.05; done') },
    });
    const time = manualTime();
    const agent = await startAgent(config, {
      ...portsOf(),
      timers: { setTimeout: (fn, ms) => (ms === 5000 ? time.timers : realTimers).setTimeout(fn, ms) },
    });
    const end = agent.stop();
    await eventually(async () => (time.pending() > 0 ? true : undefined), 'patience');
    time.advance(5000);
    expect(await end).toEqual({ code: undefined, signal: 'SIGKILL' });
  });

  it('prints the bootstrap that it would run', async () => {
    const { request } = await requestOf('');
    expect(await renderBootstrap(request, () => undefined)).toMatchObject({ node: { cluster: 'istio-proxy' } });
  });
});

describe('envoyArguments', () => {
  it('gives the flags that a sidecar runs with', () => {
    const { envoy, drain } = configOf({ flags: { concurrency: 2 }, proxyConfig: { drainDuration: '30s' } });
    const start = {
      options: envoy,
      bootstrapFile: 'b.json',
      drainSeconds: drain.drainSeconds,
      ipVersion: 'v4',
      overrideYaml: 'a: b',
    } as const;
    expect(envoyArguments(start).join(' ')).toBe(
      '-c b.json --config-yaml a: b --drain-time-s 30 --drain-strategy immediate --local-address-ip-version v4 ' +
        '--file-flush-interval-msec 1000 --disable-hot-restart --allow-unknown-static-fields -l warning ' +
        '--component-log-level misc:error --skip-deprecated-logs --concurrency 2',
    );
  });
});

describe('envoyBinary', () => {
  const { envoy } = configOf();

  it('is the configured one, else the first on PATH, else an error that helps', () => {
    const path = fakeEnvoy('');
    expect(envoyBinary({ ...envoy, path: '/x/envoy' }, '')).toBe('/x/envoy');
    expect(envoyBinary(envoy, `/nowhere:${join(path, '..')}`)).toBe(path);
    expect(() => envoyBinary(envoy, '/nowhere')).toThrow(/set ENVOY/);
  });
});

describe('drainEnvoy', () => {
  it('waits for the last connection when asked to', async () => {
    const seen: string[] = [];
    let active = 2;
    const server = createServer((request, response) => {
      seen.push(`${request.method} ${request.url?.split('?')[0]}`);
      const own = 'listener.admin.downstream_cx_active: 1\nlistener.0.0.0.0_80.worker_0.downstream_cx_active: 9\n';
      response.end(request.method === 'POST' ? 'OK' : `${own}listener.0.0.0.0_80.downstream_cx_active: ${active--}\n`);
    });
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    const waits: number[] = [];
    const timers = {
      setTimeout: (fn: () => void, ms: number) => {
        waits.push(ms);
        fn();
        return () => undefined;
      },
    };
    const { port } = server.address() as { port: number };
    const { drain } = configOf({ env: { EXIT_ON_ZERO_ACTIVE_CONNECTIONS: 'true', MINIMUM_DRAIN_DURATION: '3s' } });
    await drainEnvoy({ host: '127.0.0.1', port }, drain, timers, recordingLog().log);
    expect(waits).toEqual([3000, 1000, 1000]);
    expect(seen).toEqual(['POST /drain_listeners', 'GET /stats', 'GET /stats', 'GET /stats']);
    server.close();
  });
});
