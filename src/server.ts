// The control plane as one process: sources -> store -> plane -> xDS, with the authority and the pages beside it.
// In: options (cli/commands/serve.ts reads flags and environment). Out: a running server that stops in order.
// Wires all; decides nothing about meshes.

import { mkdir, rename, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { authenticate } from './ca/authenticate.ts';
import { type Authenticator, clientCertAuthenticator, jwtAuthenticator, type JwtRule } from './ca/authenticators.ts';
import { keysOfTokenKey, openJwksFile } from './ca/jwks.ts';
import { type Authority, openAuthority } from './ca/authority.ts';
import { fileRootStore } from './ca/root-store.ts';
import { openServingCert, controlPlaneHosts, type ServingCert } from './ca/serving-cert.ts';
import { openTokenKey, TOKEN_ISSUER } from './ca/token.ts';
import {
  WORKLOAD_LIFETIME_SECONDS,
  type WorkloadLease,
  type WorkloadSecrets,
  workloadSecrets,
} from './ca/workload-secrets.ts';
import type { Features } from './config/features.ts';
import type { JwksFetchMode } from './config/jwks-source.ts';
import type { HttpServer } from './console/http.ts';
import { serveHttp } from './console/http.ts';
import { type ConfigSide, startConfig } from './server/config.ts';
import { openKube, type KubeSide } from './server/kube.ts';
import { consolePort, type Phase } from './server/console.ts';
import { startWebhooks } from './server/webhooks.ts';
import type { WebhookPort } from './console/port.ts';
import { type GrpcSide, startGrpc } from './server/grpc.ts';
import { REAL_CLOCK, REAL_TIMERS } from './server/real.ts';
import type { ListenAddress } from './lib/listen.ts';
import type { Clock, Log, Timers } from './lib/ports.ts';
import { createLog, type LogRoot } from './telemetry/log.ts';
import { createMetrics, type MetricsRoot } from './telemetry/metrics.ts';

export interface ServerOptions {
  readonly version: string;
  readonly configDir?: string | undefined;
  readonly kubeconfig?: string | undefined;
  /** Serve the cluster that the process runs in. */
  readonly inCluster?: boolean | undefined;
  /** ConfigMap of the system namespace whose mesh configuration holds where the revision's own says nothing. */
  readonly sharedMeshConfig?: string | undefined;
  /** `status.conditions` of the user's objects are written unless this is false. */
  readonly writeStatus?: boolean | undefined;
  /** Of this replica among those of its revision: the name of its pod. */
  readonly replica?: string | undefined;
  readonly meshConfig: string;
  readonly networksConfig: string;
  readonly domain: string;
  readonly clusterId: string;
  /** Namespace of the control plane and of mesh-wide objects' default. */
  readonly systemNamespace: string;
  readonly revision: string;
  readonly grpc?: ListenAddress | undefined;
  readonly secureGrpc?: ListenAddress | undefined;
  readonly http?: ListenAddress | undefined;
  readonly https?: ListenAddress | undefined;
  readonly monitoring?: ListenAddress | undefined;
  readonly stateDir?: string | undefined;
  readonly caDir: string;
  /** A JWKS file, followed. */
  readonly jwks?: string | undefined;
  readonly tokenIssuer?: string | undefined;
  /** Further names of the control plane's own certificate. */
  readonly hosts: readonly string[];
  readonly logLevels: string;
  readonly logJson: boolean;
  readonly debounceQuiet: number;
  /** Unset: what suits the source. */
  readonly debounceMax?: number | undefined;
  /** Who fetches the key sets that RequestAuthentications name, and how often (ms). */
  readonly jwksFetch?: JwksFetchMode | undefined;
  readonly jwksRefresh?: number | undefined;
  /** What is off unless asked for. */
  readonly features?: Features | undefined;
  /** Called once, when everything that was there at the start is read and the server has said that it is ready. */
  readonly onLoaded?: (() => void) | undefined;
  /** New streams a second. */
  readonly maxStreamRate: number;
  /** Connections of proxies are asked to move after this, ms, give or take a tenth. Undefined: never. */
  readonly maxConnectionAge?: number | undefined;
  /** Processes that hold the connections of proxies, in place of this one; fewer than two: none. */
  readonly workers?: WorkerOptions | undefined;
  /** How long a stop may take to send proxies elsewhere, ms. */
  readonly shutdownDuration?: number | undefined;
  /** Folder with the files `config` and `values` of injection; where it has none, the ConfigMap counts. */
  readonly injectionDirectory?: string | undefined;
  readonly nativeSidecars?: 'auto' | 'true' | 'false' | undefined;
  /** Variables that injection templates may read. */
  readonly environment?: Readonly<Record<string, string | undefined>> | undefined;
  /** Lifetime of the certificates of proxies without an agent. */
  readonly workloadCertSeconds?: number | undefined;
  /** An entry of a workload that registered itself outlives its last stream by this, ms. */
  readonly entryGraceMs?: number | undefined;
  /** False: whoever connects may register as any workload of a group. */
  readonly validateEntryIdentity?: boolean | undefined;
}

export interface WorkerOptions {
  readonly count: number;
  /** Options of Node.js for them, after those of this process. */
  readonly execArgv?: readonly string[] | undefined;
}

export interface Server {
  readonly log: Log;
  /** Where each listener really listens; those that are off are missing. */
  readonly addresses: Readonly<Partial<Record<'grpc' | 'secureGrpc' | 'http' | 'https' | 'monitoring', ListenAddress>>>;
  readonly config: ConfigSide;
  readonly metrics: MetricsRoot;
  /** Resolves when everything that was there at the start is served. */
  ready(): Promise<void>;
  stop(): Promise<void>;
}

/** What every part is given of the world outside. */
export interface World {
  readonly root: LogRoot;
  readonly log: Log;
  readonly metrics: MetricsRoot;
  readonly clock: Clock;
  readonly timers: Timers;
}

/** Starts everything; what was started is stopped again if a later part fails. */
export async function startServer(options: ServerOptions): Promise<Server> {
  const root = createLog({ levels: options.logLevels, json: options.logJson });
  const world: World = { root, log: root.log, metrics: createMetrics(), clock: REAL_CLOCK, timers: REAL_TIMERS };
  const closers: (() => Promise<void> | void)[] = [];
  const stop = async (): Promise<void> => {
    for (const close of closers.splice(0).reverse()) await close();
  };
  try {
    return await startParts(options, world, closers, stop);
  } catch (error) {
    await stop();
    throw error;
  }
}

async function startParts(
  options: ServerOptions,
  world: World,
  closers: (() => Promise<void> | void)[],
  stop: () => Promise<void>,
): Promise<Server> {
  world.metrics.meter
    .gauge('pilot_info', 'Version of this control plane.', ['version'])
    .set(1, { version: options.version });
  // The authority's trust domain is part of the configuration; no proxy is connected before both are there.
  const keys: { of?: WorkloadSecrets } = {};
  const kube = await openKube(options, world);
  const config = await startConfig(options, world, {
    kube,
    workloadKeys: (identity, changed) => leaseOf(keys.of, identity, changed),
  });
  closers.push(() => config.stop());
  const security = await startSecurity(options, config, world, kube);
  keys.of = security.workloadSecrets;
  closers.push(() => security.stop());
  let phase: Phase = 'starting';
  const webhooks = await startWebhooks(options, world, config);
  closers.push(() => webhooks.stop());
  const port = consolePort(options, world, config, { phase: () => phase, injection: webhooks });
  const pages = await startPages(options, security, { console: port, webhooks }, closers);
  // From here on the order of stopping is: unready, no longer leading, streams ended one after the other, pages closed.
  const grpc: GrpcSide = await startGrpc(options, world, { config, security, console: port });
  closers.push(() => grpc.stop());
  if (kube !== undefined) {
    kube.start({ config, authority: security.authority, streams: () => grpc.streams() });
    closers.push(() => kube.stop());
  }
  phase = 'serving';
  closers.push(() => {
    phase = 'leaving';
  });
  return {
    log: world.log,
    addresses: { ...grpc.addresses, ...pages },
    config,
    metrics: world.metrics,
    ready: () => config.ready(),
    stop,
  };
}

function leaseOf(secrets: WorkloadSecrets | undefined, identity: string, changed: () => void): WorkloadLease {
  return secrets?.lease(identity, changed) ?? { current: undefined, release: () => undefined };
}

/** Who signs, and who is believed. */
export interface SecuritySide {
  readonly authority: Authority;
  readonly authenticators: readonly Authenticator[];
  readonly serving: ServingCert;
  readonly workloadSecrets: WorkloadSecrets;
  stop(): void;
}

async function startSecurity(
  options: ServerOptions,
  config: ConfigSide,
  world: World,
  kube: KubeSide | undefined,
): Promise<SecuritySide> {
  const { clock, timers, log } = world;
  const { trustDomain, trustDomainAliases } = config.mesh();
  const ports = { clock, timers, log, meter: world.metrics.meter };
  const { stateDir } = options;
  const rootStore = stateDir === undefined ? kube?.rootStore : fileRootStore(stateDir);
  const authority = await openAuthority(
    {
      trustDomain,
      bundleDirectory: options.caDir,
      ...(rootStore === undefined ? {} : { rootStore }),
      ...(options.workloadCertSeconds === undefined
        ? {}
        : { lifetime: { defaultSeconds: options.workloadCertSeconds } }),
    },
    ports,
  );
  if (stateDir !== undefined) await publishRoot(stateDir, authority, log);
  const tokens = await tokenKeys(options, world);
  const authenticators = [
    clientCertAuthenticator([trustDomain, ...trustDomainAliases]),
    ...(kube === undefined ? [] : [kube.authenticator(trustDomain)]),
    jwtAuthenticator({ trustDomain, audiences: ['istio-ca'], issuer: tokens.issuer, keys: tokens.keys, clock }),
  ];
  const hosts = controlPlaneHosts(options.systemNamespace, options.revision, options.hosts);
  const serving = await openServingCert(authority, { hosts }, ports);
  const lifetimeSeconds = options.workloadCertSeconds ?? WORKLOAD_LIFETIME_SECONDS;
  const secrets = workloadSecrets(authority, { lifetimeSeconds }, { ...ports, random: Math.random });
  return {
    authority,
    authenticators,
    serving,
    workloadSecrets: secrets,
    stop: () => {
      secrets.close();
      tokens.close();
      serving.close();
      authority.close();
    },
  };
}

interface TokenKeys {
  readonly keys: JwtRule['keys'];
  readonly issuer: string | undefined;
  close(): void;
}

/** Keys of workload tokens: somebody else's from a file, or our own, which sign for our own issuer alone. */
async function tokenKeys({ jwks, stateDir, tokenIssuer }: ServerOptions, { timers, log }: World): Promise<TokenKeys> {
  if (jwks === undefined) {
    return {
      keys: keysOfTokenKey(await openTokenKey(stateDir)),
      issuer: tokenIssuer ?? TOKEN_ISSUER,
      close: () => undefined,
    };
  }
  try {
    return { ...(await openJwksFile(jwks, timers, log.child('ca'))), issuer: tokenIssuer };
  } catch (error) {
    throw new Error(`--jwks ${jwks}: ${error instanceof Error ? error.message : String(error)}`, { cause: error });
  }
}

/** The root that workloads must trust, where they can be given it: `STATE/root-cert.pem`, readable by all. */
async function publishRoot(stateDir: string, authority: Authority, log: Log): Promise<void> {
  const write = async (): Promise<void> => {
    const file = join(stateDir, 'root-cert.pem');
    await mkdir(stateDir, { recursive: true });
    await writeFile(`${file}.new`, authority.rootBundle, { mode: 0o644 });
    await rename(`${file}.new`, file);
  };
  await write();
  authority.onChange(() => {
    write().catch((error: unknown) =>
      log.error({ error: String(error) }, 'the root certificate could not be published'),
    );
  });
}

async function startPages(
  options: ServerOptions,
  security: SecuritySide,
  ports: { readonly console: ReturnType<typeof consolePort>; readonly webhooks: WebhookPort },
  closers: (() => Promise<void> | void)[],
): Promise<Server['addresses']> {
  const mayInspect = async (bearer: string | undefined): Promise<boolean> => {
    const decision = await authenticate(security.authenticators, {
      certificate: undefined,
      bearer,
      clusterId: undefined,
      address: '',
    });
    return decision.kind === 'accepted' && decision.caller.namespace === options.systemNamespace;
  };
  const started: Partial<Record<'http' | 'https' | 'monitoring', ListenAddress>> = {};
  const { keyPem, certificatePem } = security.serving.current;
  const pages = [
    ['http', options.http, undefined],
    ['https', options.https, { key: keyPem, cert: certificatePem }],
    ['monitoring', options.monitoring, undefined],
  ] as const;
  for (const [name, address, tls] of pages) {
    if (address === undefined) continue;
    const server: HttpServer = await serveHttp(address, {
      port: ports.console,
      mayInspect,
      metrics: name !== 'https',
      tls,
      // Behind something else that speaks TLS they are asked in plaintext.
      webhooks: name === (options.https === undefined ? 'http' : 'https') ? ports.webhooks : undefined,
    });
    const unfollow = security.serving.onChange((pair) => server.renew({ key: pair.keyPem, cert: pair.certificatePem }));
    closers.push(async () => {
      unfollow();
      await server.close();
    });
    started[name] = server.address;
  }
  return started;
}
