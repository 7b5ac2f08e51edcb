import { createServer } from 'node:net';
import { existsSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import * as grpc from '@grpc/grpc-js';
import { resolveConfig, type AgentConfig } from '../../src/agent/config.ts';
import type { AgentFlags, AgentInputs, ProxyConfig } from '../../src/agent/inputs.ts';
import { rawMethod } from '../support/raw-grpc.ts';
import { clientCertAuthenticator, jwtAuthenticator } from '../../src/ca/authenticators.ts';
import { keysOfTokenKey } from '../../src/ca/jwks.ts';
import { type Authority, openAuthority } from '../../src/ca/authority.ts';
import type { LifetimePolicy } from '../../src/ca/sign.ts';
import { certificateService } from '../../src/ca/service.ts';
import { controlPlaneHosts, openServingCert } from '../../src/ca/serving-cert.ts';
import { mintToken, openTokenKey, TOKEN_ISSUER } from '../../src/ca/token.ts';
import { findEnvoy } from '../../src/cli/envoy-binary.ts';
import { newFolder, realTimers, recordingLog, recordingMeter } from '../ca/support.ts';

export const ID = 'spiffe://cluster.local/ns/shop/sa/web';

export const systemClock = { now: () => Date.now() };

/** The real Envoy to test with, or undefined. Absence is an error where CI must not skip. */
export function envoyForTests(): string | undefined {
  const path = findEnvoy({ env: process.env });
  if (path !== undefined && existsSync(path)) return path;
  if (process.env['CI'] === 'true') throw new Error('no Envoy: run `npx meltemi envoy install`, or set ENVOY');
  console.warn('tests with a real Envoy are skipped: run `npx meltemi envoy install`, or set ENVOY');
  return undefined;
}

export async function freePorts(count: number): Promise<number[]> {
  const servers = await Promise.all(
    Array.from(
      { length: count },
      () =>
        new Promise<ReturnType<typeof createServer>>((resolve) => {
          const server = createServer().listen(0, '127.0.0.1', () => resolve(server));
        }),
    ),
  );
  const ports = servers.map((server) => (server.address() as { port: number }).port);
  await Promise.all(servers.map((server) => new Promise((resolve) => server.close(resolve))));
  return ports;
}

export type RawStream = grpc.ServerDuplexStream<Buffer, Buffer>;

const ADS = '/envoy.service.discovery.v3.AggregatedDiscoveryService';

export interface ControlPlane {
  readonly authority: Authority;
  readonly port: number;
  readonly rootFile: string;
  readonly tokenFile: string;
  /** Metadata of each ADS stream, in order of arrival. */
  readonly streams: grpc.Metadata[];
  writeToken(ttlSeconds: number): Promise<string>;
  stop(): void;
}

/** A control plane of real parts: authority, certificate service, TLS; ADS is answered by the test. */
export async function startControlPlane(
  ads: (call: RawStream, form: 'sotw' | 'delta') => void = () => undefined,
  lifetime: Partial<LifetimePolicy> = {},
): Promise<ControlPlane> {
  const folder = newFolder();
  const { log } = recordingLog();
  const { meter } = recordingMeter();
  const ports = { clock: systemClock, timers: realTimers, log, meter };
  const authority = await openAuthority({ trustDomain: 'cluster.local', lifetime }, ports);
  const key = await openTokenKey();
  const keys = keysOfTokenKey(key);
  const rule = {
    trustDomain: 'cluster.local',
    audiences: ['istio-ca'],
    issuer: TOKEN_ISSUER,
    keys,
    clock: systemClock,
  };
  const authenticators = [clientCertAuthenticator(['cluster.local']), jwtAuthenticator(rule)];
  const serving = await openServingCert(authority, { hosts: controlPlaneHosts('istio-system', '', []) }, ports);
  const server = new grpc.Server({ 'grpc.max_receive_message_length': -1 });
  const service = certificateService(authority, authenticators, log, meter);
  server.addService(service.definition, service.handlers);
  const streams: grpc.Metadata[] = [];
  const handle = (form: 'sotw' | 'delta') => (call: RawStream) => {
    call.on('error', () => undefined);
    streams.push(call.metadata);
    ads(call, form);
  };
  server.addService(
    {
      StreamAggregatedResources: rawMethod(`${ADS}/StreamAggregatedResources`, 'bidi'),
      DeltaAggregatedResources: rawMethod(`${ADS}/DeltaAggregatedResources`, 'bidi'),
    },
    { StreamAggregatedResources: handle('sotw'), DeltaAggregatedResources: handle('delta') },
  );
  const port = await new Promise<number>((resolve, reject) => {
    server.bindAsync('127.0.0.1:0', serving.credentials(), (error, bound) => (error ? reject(error) : resolve(bound)));
  });
  const rootFile = join(folder, 'root-cert.pem');
  writeFileSync(rootFile, authority.rootBundle);
  const tokenFile = join(folder, 'token');
  const writeToken = async (ttlSeconds: number) => {
    const token = await mintToken({ namespace: 'shop', serviceAccount: 'web', ttlSeconds }, key, systemClock);
    writeFileSync(tokenFile, token);
    return token;
  };
  await writeToken(3600);
  const stop = () => {
    server.forceShutdown();
    serving.close();
    authority.close();
  };
  return { authority, port, rootFile, tokenFile, streams, writeToken, stop };
}

export interface ConfigRequest {
  readonly env?: Readonly<Record<string, string>>;
  readonly flags?: AgentFlags;
  readonly proxyConfig?: ProxyConfig;
  readonly labels?: Readonly<Record<string, string>>;
  readonly annotations?: Readonly<Record<string, string>>;
  readonly addresses?: readonly string[];
}

export function inputsOf(request: ConfigRequest = {}): AgentInputs {
  return {
    env: { POD_NAME: 'web-0', POD_NAMESPACE: 'shop', SERVICE_ACCOUNT: 'web', INSTANCE_IP: '127.0.0.1', ...request.env },
    flags: request.flags ?? {},
    hostname: 'machine',
    addresses: request.addresses ?? [],
    labels: request.labels ?? {},
    annotations: request.annotations ?? {},
    trustDomain: undefined,
    proxyConfig: request.proxyConfig ?? {},
    remarks: [],
  };
}

export const configOf = (request: ConfigRequest = {}): AgentConfig => resolveConfig(inputsOf(request)).config;

/** A configuration whose every file and port is the test's own. */
export async function ownConfig(plane: ControlPlane, request: ConfigRequest = {}): Promise<AgentConfig> {
  const [adminPort = 0, statusPort = 0, healthPort = 0, prometheusPort = 0] = await freePorts(4);
  const folder = newFolder();
  const flags: AgentFlags = {
    discoveryAddress: `127.0.0.1:${plane.port}`,
    rootFile: plane.rootFile,
    tokenFile: plane.tokenFile,
    runDirectory: folder,
    sdsSocket: join(folder, 'SDS'),
    bindAddress: '127.0.0.1',
    adminPort,
    statusPort,
    healthPort,
    prometheusPort,
    concurrency: 1,
    ...request.flags,
  };
  return configOf({ ...request, flags, proxyConfig: { terminationDrainDuration: '0s', ...request.proxyConfig } });
}

/** Waits for a condition that the outside world brings about, such as a process getting ready. */
export async function eventually<T>(read: () => Promise<T | undefined>, what: string, timeoutMs = 15_000): Promise<T> {
  const end = Date.now() + timeoutMs;
  for (;;) {
    const value = await read().catch(() => undefined);
    if (value !== undefined) return value;
    if (Date.now() > end) throw new Error(`${what}: not within ${timeoutMs} ms`);
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}
