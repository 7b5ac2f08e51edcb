// The agent as a whole: certificates, SDS, ADS relay, status port, Envoy; started in that order and stopped in reverse.
// In: AgentConfig and ports; out: an Agent whose `ended` resolves when Envoy has. Called by run.ts and by the demo.

import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { Clock, Log, Meter, Timers } from '../lib/ports.ts';
import type { HttpTarget } from './admin.ts';
import { bootstrapOf } from './bootstrap.ts';
import { caClient } from './ca-client.ts';
import { chooseSource } from './certificate-sources.ts';
import { WorkloadCertificates } from './certificates.ts';
import type { AgentConfig } from './config.ts';
import { drainEnvoy, envoyBinary, type EnvoyEnd, type EnvoyProcess, startEnvoy } from './envoy.ts';
import { applicationTarget } from './merged-metrics.ts';
import { readinessOf } from './readiness.ts';
import { serveRelay } from './relay.ts';
import { serveSecrets } from './sds.ts';
import { secretTable } from './secrets.ts';
import { serveStatus } from './status.ts';
import type { UpstreamIdentity } from './upstream.ts';

export interface AgentPorts {
  readonly clock: Clock;
  readonly timers: Timers;
  readonly random: () => number;
  readonly log: Log;
  readonly meter: Meter;
  /** The agent's own metrics as Prometheus text. */
  renderMetrics(): Promise<string>;
  /** Gets Envoy's log lines; without it they go to stderr. */
  readonly onEnvoyLine?: ((line: string) => void) | undefined;
  /** PATH, for finding Envoy. */
  readonly path: string;
}

export interface Agent {
  readonly certificates: WorkloadCertificates;
  readonly statusPort: number;
  readonly envoyPid: number;
  /** Resolves once Envoy and everything beside it have ended. */
  readonly ended: Promise<EnvoyEnd>;
  /** Drains, then stops. Asked again, it stops at once. */
  stop(): Promise<EnvoyEnd>;
}

/** Starts everything; what was started is stopped again if a later part fails. */
export async function startAgent(config: AgentConfig, ports: AgentPorts): Promise<Agent> {
  const started = new Started();
  try {
    const certificates = await startCertificates(config, ports);
    started.add(() => certificates.close());
    await startSockets(config, ports, certificates, started);
    const control = new EnvoyControl(config, ports);
    const statusPort = await startStatus(config, ports, certificates, control, started);
    const envoy = await launch(config, ports);
    const ended = control.attach(envoy, () => started.close());
    return { certificates, statusPort, envoyPid: envoy.pid, ended, stop: () => control.stop() };
  } catch (error) {
    await started.close();
    throw error;
  }
}

/** What has been started, to be stopped in reverse. */
class Started {
  readonly #closers: (() => Promise<void> | void)[] = [];

  add(close: () => Promise<void> | void): void {
    this.#closers.push(close);
  }

  async close(): Promise<void> {
    for (const close of this.#closers.splice(0).reverse()) await close();
  }
}

/** Draining and stopping, also for those who ask before Envoy has started. */
class EnvoyControl {
  readonly #config: AgentConfig;
  readonly #ports: AgentPorts;
  #envoy: EnvoyProcess | undefined;
  #ended: Promise<EnvoyEnd> | undefined;
  #isStopping = false;

  constructor(config: AgentConfig, ports: AgentPorts) {
    this.#config = config;
    this.#ports = ports;
  }

  get admin(): HttpTarget {
    return { host: this.#config.localAddress, port: this.#config.ports.admin };
  }

  attach(envoy: EnvoyProcess, cleanUp: () => Promise<void>): Promise<EnvoyEnd> {
    this.#envoy = envoy;
    this.#ended = envoy.ended.then(async (end) => {
      this.#ports.log.info({ ...end }, 'Envoy ended');
      await cleanUp();
      return end;
    });
    return this.#ended;
  }

  drain(): Promise<void> {
    return drainEnvoy(this.admin, this.#config.drain, this.#ports.timers, this.#ports.log);
  }

  async stop(): Promise<EnvoyEnd> {
    const envoy = this.#envoy;
    const ended = this.#ended;
    if (envoy === undefined || ended === undefined) return { code: undefined, signal: undefined };
    if (!this.#isStopping) {
      this.#isStopping = true;
      this.#ports.log.info({ terminationMs: this.#config.drain.terminationMs }, 'draining');
      await Promise.race([this.drain(), ended]);
    }
    await envoy.stop();
    return ended;
  }
}

async function startSockets(
  config: AgentConfig,
  ports: AgentPorts,
  certificates: WorkloadCertificates,
  started: Started,
): Promise<void> {
  const { log, meter, timers } = ports;
  const sds = await serveSecrets(config.sdsSocket, secretTable(certificates, timers), log, meter);
  started.add(() => sds.forceShutdown());
  const identity = identityOf(config, ports.clock, () => certificates.current);
  const relay = await serveRelay({ socket: config.xdsSocket, target: config.discovery, identity }, log, meter);
  started.add(() => relay.forceShutdown());
}

async function startStatus(
  config: AgentConfig,
  ports: AgentPorts,
  certificates: WorkloadCertificates,
  control: EnvoyControl,
  started: Started,
): Promise<number> {
  const { log } = ports;
  const scrapes = ports.meter.counter('istio_agent_scrapes_total', 'Scrapes of the merged metrics page.');
  const own = (): Promise<string> => {
    scrapes.inc();
    certificates.refreshMetrics();
    return ports.renderMetrics();
  };
  const metrics = {
    envoy: control.admin,
    application: applicationTarget(config.appMetrics, config.localAddress),
    own,
    failed: (source: string, reason: string) => log.warn({ source, reason }, 'metrics page not fetched'),
  };
  const handlers = {
    ready: () => readinessOf(control.admin),
    drain: () => control.drain(),
    quit: () => void control.stop(),
    metrics,
  };
  const status = await serveStatus(config.statusAddress, config.ports.status, handlers, log);
  started.add(() => status.close());
  return status.port;
}

async function startCertificates(config: AgentConfig, ports: AgentPorts): Promise<WorkloadCertificates> {
  // The certificate in use authenticates the request for the next one when there is no token.
  const current: { of?: WorkloadCertificates } = {};
  const client = caClient(
    config.ca,
    identityOf(config, ports.clock, () => current.of?.current),
    ports,
  );
  const { roots } = config.ca;
  const rootFile = roots.kind === 'file' ? roots.path : undefined;
  const source = await chooseSource(config.certificates, client, ports.timers, rootFile);
  const certificates = new WorkloadCertificates(source, config.certificates, ports);
  current.of = certificates;
  // Not awaited: Envoy starts meanwhile and waits at SDS, and an authority that is away must not stop it from starting.
  void certificates.start();
  return certificates;
}

function identityOf(config: AgentConfig, clock: Clock, current: UpstreamIdentity['current']): UpstreamIdentity {
  return {
    tokenFile: config.tokenFile,
    clusterId: config.clusterId,
    headers: config.xdsHeaders,
    providedDirectory: config.certificates.providedDirectory,
    current,
    clock,
  };
}

const BOOTSTRAP_FILE = 'envoy-bootstrap.json';

async function launch(config: AgentConfig, ports: AgentPorts): Promise<EnvoyProcess> {
  const binary = envoyBinary(config.envoy, ports.path);
  await mkdir(config.runDirectory, { recursive: true });
  const bootstrapFile = join(config.runDirectory, BOOTSTRAP_FILE);
  await writeFile(bootstrapFile, JSON.stringify(bootstrapOf(config), undefined, 2), { mode: 0o600 });
  const override = config.envoy.bootstrapOverride;
  const overrideYaml = override === undefined ? undefined : await readFile(override, 'utf8');
  const ipVersion = config.localAddress.includes(':') ? 'v6' : 'v4';
  const start = {
    options: config.envoy,
    bootstrapFile,
    overrideYaml,
    drainSeconds: config.drain.drainSeconds,
    ipVersion,
    onLine: ports.onEnvoyLine,
  } as const;
  return startEnvoy(binary, start, ports.log.child('envoy'), ports.timers);
}
