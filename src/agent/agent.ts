// The agent as a whole: DNS proxy, certificates, SDS, ADS relay, status port, Envoy; started in that order and stopped in
// reverse.
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
import type { DnsServer } from './dns/server.ts';
import { drainEnvoy, drainListeners, envoyBinary, type EnvoyEnd, type EnvoyProcess, startEnvoy } from './envoy.ts';
import { applicationTarget } from './merged-metrics.ts';
import { checkHealth } from './probes/health.ts';
import { type Readiness, readinessCheck } from './readiness.ts';
import type { TrafficParts } from './relay-traffic.ts';
import { serveRelay } from './relay.ts';
import { serveSecrets } from './sds.ts';
import { secretTable } from './secrets.ts';
import { serveStatus } from './status.ts';
import { nameTableSubscription, trustBundleSubscription } from './subscriptions.ts';
import type { UpstreamIdentity } from './upstream.ts';
import { lazyRewriter } from './wasm/lazy.ts';

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
  /** Of the DNS proxy, if there is one. */
  readonly dnsPort: number | undefined;
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
    const startedAt = ports.clock.now();
    const dns = await startDns(config, ports, started);
    const certificates = await startCertificates(config, ports);
    started.add(() => certificates.close());
    const control = new EnvoyControl(config, ports);
    const ready = readinessCheck(control.admin, { hasNames: () => dns === undefined || dns.table !== undefined });
    const traffic = startTraffic(config, ports, { certificates, dns, ready }, started);
    await startSockets(config, ports, certificates, traffic, started);
    const statusPort = await startStatus(config, ports, { certificates, control, ready, dns }, started);
    const envoy = await launch(config, ports);
    const ended = control.attach(envoy, () => started.close());
    ports.meter
      .gauge('istio_agent_startup_duration_seconds', 'From the start of the agent to that of Envoy.')
      .set((ports.clock.now() - startedAt) / 1000);
    return { certificates, statusPort, dnsPort: dns?.port, envoyPid: envoy.pid, ended, stop: () => control.stop() };
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
  #hasDrained = false;

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

  /** Drains now; a later stop then has nothing left to wait for. */
  drainEarly(): void {
    if (this.#hasDrained) return;
    this.#hasDrained = true;
    this.#ports.log.info({}, 'draining, as asked for');
    void drainListeners(this.admin, this.#config.drain, { staysUp: true }, this.#ports.log);
  }

  /** Ends at once, whatever is under way. */
  quit(): void {
    this.#hasDrained = true;
    void this.stop();
  }

  async stop(): Promise<EnvoyEnd> {
    const envoy = this.#envoy;
    const ended = this.#ended;
    if (envoy === undefined || ended === undefined) return { code: undefined, signal: undefined };
    if (!this.#isStopping && !this.#hasDrained) {
      this.#isStopping = true;
      const { drain } = this.#config;
      this.#ports.log.info({ terminationMs: drain.terminationMs }, 'draining');
      await Promise.race([drainEnvoy(this.admin, drain, this.#ports.timers, this.#ports.log), ended]);
    }
    await envoy.stop();
    return ended;
  }
}

async function startDns(config: AgentConfig, ports: AgentPorts, started: Started): Promise<DnsServer | undefined> {
  const { dns } = config.features;
  if (dns === undefined) return undefined;
  // A proxy that is not to answer names doesn't carry the code for it.
  const { serveDns } = await import('./dns/server.ts');
  const server = await serveDns(dns, ports);
  started.add(() => server.close());
  return server;
}

interface TrafficNeeds {
  readonly certificates: WorkloadCertificates;
  readonly dns: DnsServer | undefined;
  readonly ready: () => Promise<Readiness>;
}

/** What the agent wants of Envoy's stream for itself. */
function startTraffic(config: AgentConfig, ports: AgentPorts, needs: TrafficNeeds, started: Started): TrafficParts {
  const { features } = config;
  const { certificates, dns } = needs;
  const own = [
    ...(dns === undefined ? [] : [nameTableSubscription(dns)]),
    ...(features.trustBundle ? [trustBundleSubscription(certificates)] : []),
  ];
  const extensions = lazyRewriter(features.wasm, ports);
  started.add(() => extensions.close());
  if (features.health === undefined) return { own, extensions, health: undefined };
  const health = checkHealth({
    probe: features.health,
    target: { ...features.application, host: config.localAddress },
    envoyProblem: async () => {
      const readiness = await needs.ready();
      return readiness.kind === 'ready' ? undefined : readiness.reason;
    },
    timers: ports.timers,
    log: ports.log.child('healthcheck'),
  });
  started.add(() => health.close());
  return { own, extensions, health };
}

async function startSockets(
  config: AgentConfig,
  ports: AgentPorts,
  certificates: WorkloadCertificates,
  traffic: TrafficParts,
  started: Started,
): Promise<void> {
  const { log, timers } = ports;
  if (config.foreignSds) log.info({ socket: config.sdsSocket }, "secrets are another server's, none are served here");
  else {
    const sds = await serveSecrets(config.sdsSocket, secretTable(certificates, timers), ports);
    started.add(() => sds.close());
  }
  const identity = identityOf(config, ports.clock, () => certificates.current);
  const relay = await serveRelay({ socket: config.xdsSocket, target: config.discovery, identity, traffic }, ports);
  started.add(() => relay.close());
}

interface StatusNeeds {
  readonly certificates: WorkloadCertificates;
  readonly control: EnvoyControl;
  readonly ready: () => Promise<Readiness>;
  readonly dns: DnsServer | undefined;
}

async function startStatus(
  config: AgentConfig,
  ports: AgentPorts,
  { certificates, control, ready, dns }: StatusNeeds,
  started: Started,
): Promise<number> {
  const { log } = ports;
  const scrapes = ports.meter.counter('istio_agent_scrapes_total', 'Scrapes of the merged metrics page.');
  const own = (): Promise<string> => {
    scrapes.inc();
    certificates.refreshMetrics();
    return ports.renderMetrics();
  };
  const { admin, status: statusPort, health, prometheus } = config.ports;
  const reserved = [admin, statusPort, health, prometheus, ...CAPTURE_PORTS];
  const metrics = {
    envoy: control.admin,
    application: applicationTarget(config.appMetrics, config.localAddress, reserved),
    own,
    failed: (source: string, reason: string) => log.warn({ source, reason }, 'metrics page not fetched'),
  };
  const handlers = {
    ready,
    drain: () => control.drainEarly(),
    quit: () => control.quit(),
    names: () => dns?.table?.hosts,
    metrics,
    probes: config.features.probes,
    application: config.features.application,
  };
  const status = await serveStatus(config.statusAddress, config.ports.status, handlers, log);
  started.add(() => status.close());
  return status.port;
}

/** Where Envoy takes captured connections. */
const CAPTURE_PORTS = [15_001, 15_006];

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
  if (config.foreignSds) return certificates;
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
  const override = config.envoy.bootstrapOverride;
  const overrideYaml = override === undefined ? undefined : await readFile(override, 'utf8');
  const ipVersion = config.localAddress.includes(':') ? 'v6' : 'v4';
  const start = {
    options: config.envoy,
    bootstrapFile: await bootstrapFile(config),
    overrideYaml,
    drainSeconds: config.drain.drainSeconds,
    ipVersion,
    onLine: ports.onEnvoyLine,
  } as const;
  return startEnvoy(binary, start, ports.log.child('envoy'), ports.timers);
}

/** The user's own whole bootstrap, else one made for this proxy. */
async function bootstrapFile(config: AgentConfig): Promise<string> {
  const { customBootstrap } = config.envoy;
  if (customBootstrap !== undefined) return customBootstrap;
  await mkdir(config.runDirectory, { recursive: true });
  const file = join(config.runDirectory, BOOTSTRAP_FILE);
  await writeFile(file, JSON.stringify(bootstrapOf(config), undefined, 2), { mode: 0o600 });
  return file;
}
