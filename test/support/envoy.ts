// Real Envoys for tests: which ones are here, one agent and Envoy as a pair, and what an Envoy says of itself.

import { chmodSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { ask, type HttpTarget, readStats } from '../../src/agent/admin.ts';
import { type Agent, startAgent } from '../../src/agent/agent.ts';
import { bootstrapOf } from '../../src/agent/bootstrap.ts';
import { type AgentConfig, resolveConfig } from '../../src/agent/config.ts';
import { startEnvoy } from '../../src/agent/envoy.ts';
import type { AgentFlags } from '../../src/agent/inputs.ts';
import { findEnvoy } from '../../src/cli/envoy-binary.ts';
import type { Log } from '../../src/lib/ports.ts';
import { createMetrics } from '../../src/telemetry/metrics.ts';
import type { ControlPlane } from './server.ts';
import { until } from './wait.ts';

export const NEWEST = '1.40.0';
export const OLDER = '1.36.4';

/**
 * The Envoys to test with: version and path, which is empty where there is none (`describe.skipIf`). A missing one is an
 * error where CI must not skip, else a line.
 */
export function envoysForTests(
  versions: readonly string[] = [NEWEST, OLDER],
): readonly { readonly version: string; readonly envoy: string }[] {
  return versions.map((version) => {
    const envoy = findEnvoy({ env: process.env, version, exact: version !== NEWEST }) ?? '';
    const install = `meltemi envoy install --version ${version}`;
    if (envoy === '' && process.env['CI'] === 'true') throw new Error(`Envoy ${version} is missing: ${install}`);
    if (envoy === '') console.warn(`tests with Envoy ${version} are skipped: \`${install}\` gets it`);
    return { version, envoy };
  });
}

/** As `envoysForTests`, the newest alone: its path, or nothing. */
export function newestEnvoy(): string {
  return envoysForTests([NEWEST])[0]?.envoy ?? '';
}

/**
 * A script that runs Envoy as the agent starts it, but with warnings about deprecated fields, and so that it does not
 * outlive the tests. With a prefix the whole runs by another command, such as `ip netns exec`.
 */
export function strictEnvoy(binary: string, folder: string, prefix: readonly string[] = []): string {
  const path = join(folder, 'strict-envoy');
  const strip = 'for a; do shift; [ "$a" = --skip-deprecated-logs ] || set -- "$@" "$a"; done';
  const tied = 'command -v setpriv >/dev/null && set -- setpriv --pdeathsig KILL "$@"';
  writeFileSync(path, `#!/bin/sh\n${strip}\nset -- ${[...prefix, binary].join(' ')} "$@"\n${tied}\nexec "$@"\n`);
  chmodSync(path, 0o755);
  return path;
}

export interface ProxyOptions {
  readonly name: string;
  readonly namespace: string;
  readonly account: string;
  readonly labels: Readonly<Record<string, string>>;
  readonly role: 'sidecar' | 'router';
  /** Its address, as the control plane knows it. */
  readonly ip: string;
  /** Where admin, status and the static listeners are; the same address unless said otherwise. */
  readonly bind?: string | undefined;
  readonly envoy: string;
  /** Further environment of the agent. */
  readonly env?: Readonly<Record<string, string>> | undefined;
  readonly proxyConfig?: Readonly<Record<string, unknown>> | undefined;
  readonly flags?: AgentFlags | undefined;
  /** Ready means to have configuration; without, it only starts. */
  readonly wait?: boolean | undefined;
}

/** An Envoy beside its agent. */
export interface TestProxy {
  readonly name: string;
  readonly ip: string;
  readonly admin: HttpTarget;
  readonly agent: Agent;
  /** Folder with `cert-chain.pem`, `key.pem`, `root-cert.pem`: the workload's own. */
  readonly certificates: string;
  /** Envoy's log so far. */
  readonly log: readonly string[];
  /** Lines of warning and worse, each once and without its time. */
  complaints(): readonly string[];
  /** Statistics whose name fits the expression. */
  stats(regex: string): Promise<ReadonlyMap<string, number>>;
  /** How often Envoy refused an update, or found in one what it doesn't know or want any more. */
  rejections(): Promise<ReadonlyMap<string, number>>;
  /** Part of the configuration dump, such as `dynamic_route_configs`, as text. */
  dump(resource: string): Promise<string>;
  stop(): Promise<void>;
}

/** Counters that stay at zero if all that was sent was taken as it was meant. */
const REFUSALS =
  '(update_rejected|listener_create_failure|key_rotation_failed|dynamic_unknown_fields|static_unknown_fields|deprecated_feature_use)$';

/** Time and thread at the start of a line. */
const WHEN = /^\[[^\]]*\]\[\d+\]/;

const COMPLAINT = /\]\[(warning|error|critical)\]/;

/** Starts an agent in this process, and its Envoy. Statistics of all kinds are on. */
export async function startProxy(plane: ControlPlane, options: ProxyOptions): Promise<TestProxy> {
  const { config, certificates } = await proxyConfigOf(plane, options);
  const log: string[] = [];
  const agentLog: string[] = [];
  const metrics = createMetrics();
  const agent = await startAgent(config, {
    clock: { now: Date.now },
    timers: {
      setTimeout: (fn, ms) => {
        const timer = setTimeout(fn, ms);
        return () => clearTimeout(timer);
      },
    },
    random: Math.random,
    log: collectingLog(agentLog),
    meter: metrics.meter,
    renderMetrics: () => metrics.render(),
    onEnvoyLine: (line) => log.push(line),
    path: '',
  });
  const proxy = proxyOf(options, { host: config.localAddress, port: config.ports.admin }, agent, certificates, log);
  if (options.wait === false) return proxy;
  return whenReady(proxy, { host: config.localAddress, port: agent.statusPort }, agentLog);
}

/** Starts an Envoy alone, with the bootstrap that an init container would have written. It has no `agent`. */
export async function startAgentless(plane: ControlPlane, options: ProxyOptions): Promise<TestProxy> {
  const { config } = await proxyConfigOf(plane, { ...options, flags: { ...options.flags, agentless: true } });
  const bootstrapFile = join(config.runDirectory, 'bootstrap.json');
  writeFileSync(bootstrapFile, JSON.stringify(bootstrapOf(config)));
  const log: string[] = [];
  const start = {
    options: config.envoy,
    bootstrapFile,
    drainSeconds: 1,
    ipVersion: 'v4',
    onLine: (line: string) => void log.push(line),
  } as const;
  const timers = { setTimeout: () => () => undefined };
  const envoy = await startEnvoy(config.envoy.path ?? '', start, collectingLog([]), timers);
  const admin = { host: config.localAddress, port: config.ports.admin };
  const proxy: TestProxy = {
    ...proxyOf(options, admin, undefined, '', log),
    stop: async () => {
      await envoy.stop();
    },
  };
  return whenReady(proxy, { host: config.bindAddress, port: config.ports.health }, []);
}

async function whenReady(proxy: TestProxy, status: HttpTarget, agentLog: readonly string[]): Promise<TestProxy> {
  const ready = async (): Promise<boolean> => (await ask(status, 'GET', '/healthz/ready')).status === 200;
  try {
    await until(ready, `${proxy.name} ready`, 30_000);
  } catch (error) {
    await proxy.stop();
    throw new Error([String(error), ...proxy.log, ...agentLog].join('\n'), { cause: error });
  }
  return proxy;
}

async function proxyConfigOf(
  plane: ControlPlane,
  options: ProxyOptions,
): Promise<{ readonly config: AgentConfig; readonly certificates: string }> {
  const { folder } = plane;
  const run = folder.sub(`proxy-${options.name}.${options.namespace}`);
  const certificates = folder.sub(`certs-${options.name}.${options.namespace}`);
  const tokenFile = join(run, 'token');
  await folder.token(options.namespace, options.account, tokenFile);
  const { config } = resolveConfig({
    env: {
      POD_NAME: options.name,
      POD_NAMESPACE: options.namespace,
      SERVICE_ACCOUNT: options.account,
      INSTANCE_IP: options.ip,
      ISTIO_META_WORKLOAD_NAME: options.name,
      OUTPUT_CERTS: certificates,
      ...options.env,
    },
    flags: {
      role: options.role,
      discoveryAddress: plane.discoveryAddress,
      rootFile: folder.rootFile,
      tokenFile,
      runDirectory: run,
      sdsSocket: join(run, 'SDS'),
      bindAddress: options.bind ?? options.ip,
      envoyPath: strictEnvoy(options.envoy, run),
      concurrency: 1,
      proxyComponentLogLevel: 'misc:warning',
      ...options.flags,
    },
    hostname: options.name,
    addresses: [],
    labels: options.labels,
    annotations: { 'sidecar.istio.io/statsInclusionRegexps': '.*' },
    trustDomain: undefined,
    proxyConfig: { terminationDrainDuration: '0s', ...options.proxyConfig },
    remarks: [],
  });
  return { config, certificates };
}

function proxyOf(
  { name, ip }: ProxyOptions,
  admin: HttpTarget,
  agent: Agent | undefined,
  certificates: string,
  log: readonly string[],
): TestProxy {
  const stats = async (regex: string): Promise<ReadonlyMap<string, number>> =>
    readStats((await ask(admin, 'GET', `/stats?filter=${encodeURIComponent(regex)}`)).body);
  return {
    name,
    ip,
    admin,
    agent: agent as Agent,
    certificates,
    log,
    complaints: () => [...new Set(log.filter((line) => COMPLAINT.test(line)).map((line) => line.replace(WHEN, '')))],
    stats,
    rejections: async () => {
      const counters = await stats(REFUSALS);
      return new Map([...counters].filter(([, value]) => value > 0));
    },
    dump: async (resource) => (await ask(admin, 'GET', `/config_dump?resource=${resource}`)).body,
    stop: async () => {
      await agent?.stop();
    },
  };
}

function collectingLog(lines: string[]): Log {
  const write =
    (level: string) =>
    (fields: object, message: string): void => {
      if (level !== 'debug') lines.push(`agent ${level}: ${message} ${JSON.stringify(fields)}`);
    };
  const log: Log = {
    debug: write('debug'),
    info: write('info'),
    warn: write('warn'),
    error: write('error'),
    child: () => log,
  };
  return log;
}
