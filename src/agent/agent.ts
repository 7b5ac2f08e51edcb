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

export interface AgentPortsOut {
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
export async function startAgent(config: AgentConfig, ports: AgentPortsOut): Promise<Agent> {
  const closers: (() => Promise<void> | void)[] = [];
  const closeAll = async (): Promise<void> => {
    for (const close of closers.splice(0).reverse()) await close();
  };
  try {
    return await startParts(config, ports, closers, closeAll);
  } catch (error) {
    await closeAll();
    throw error;
  }
}

async function startParts(
  config: AgentConfig,
  ports: AgentPortsOut,
  closers: (() => Promise<void> | void)[],
  closeAll: () => Promise<void>,
): Promise<Agent> {
  const { log, meter, timers } = ports;
  const admin: HttpTarget = { host: config.localAddress, port: config.ports.admin };
  const certificates = await startCertificates(config, ports);
  closers.push(() => certificates.close());

  const sds = await serveSecrets(config.sdsSocket, secretTable(certificates, timers), log, meter);
  closers.push(() => sds.forceShutdown());
  const identity = identityOf(config, ports.clock, certificates);
  const relay = await serveRelay({ socket: config.xdsSocket, target: config.discovery, identity }, log, meter);
  closers.push(() => relay.forceShutdown());

  let envoy: EnvoyProcess | undefined;
  let requestStop: () => void = () => undefined;
  const drain = (): Promise<void> => drainEnvoy(admin, config.drain, timers, log);
  const status = await serveStatus(
    config.statusAddress,
    config.ports.status,
    {
      ready: () => readinessOf(admin),
      drain,
      quit: () => requestStop(),
      metrics: {
        envoy: admin,
        application: applicationTarget(config.appMetrics, config.localAddress),
        own: () => {
          certificates.refreshMetrics();
          return ports.renderMetrics();
        },
        failed: (source, reason) => log.warn({ source, reason }, 'metrics page not fetched'),
      },
    },
    log,
  );
  closers.push(() => status.close());

  envoy = await launch(config, ports);
  const ended = envoy.ended.then(async (end) => {
    log.info({ ...end }, 'Envoy ended');
    await closeAll();
    return end;
  });
  let stopping = false;
  const running = envoy;
  const stop = async (): Promise<EnvoyEnd> => {
    if (!stopping) {
      stopping = true;
      log.info({ terminationMs: config.drain.terminationMs }, 'draining');
      await Promise.race([drain(), ended]);
    }
    await running.stop();
    return ended;
  };
  requestStop = () => void stop();
  return { certificates, statusPort: status.port, envoyPid: envoy.pid, ended, stop };
}

async function startCertificates(config: AgentConfig, ports: AgentPortsOut): Promise<WorkloadCertificates> {
  let made: WorkloadCertificates | undefined;
  const identity = identityOf(config, ports.clock, {
    get current() {
      return made?.current;
    },
  });
  const client = caClient(config.ca, identity, ports);
  made = new WorkloadCertificates(
    await chooseSource(config.certificates, client, ports.timers),
    config.certificates,
    ports,
  );
  // Not awaited: Envoy starts meanwhile and waits at SDS, and an authority that is away must not stop it from starting.
  void made.start();
  return made;
}

function identityOf(
  config: AgentConfig,
  clock: Clock,
  certificates: Pick<WorkloadCertificates, 'current'>,
): UpstreamIdentity {
  return {
    tokenFile: config.tokenFile,
    clusterId: config.clusterId,
    headers: config.xdsHeaders,
    providedDirectory: config.certificates.providedDirectory,
    current: () => certificates.current,
    clock,
  };
}

const BOOTSTRAP_FILE = 'envoy-bootstrap.json';

async function launch(config: AgentConfig, ports: AgentPortsOut): Promise<EnvoyProcess> {
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
