// `meltemi serve`: flags and environment to server options, then a few lines for whoever started it.

import { existsSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { durationMillis, parseDuration } from '../../lib/duration.ts';
import { collectAll } from '../../server/collect.ts';
import { formatListen, type ListenAddress, parseListen } from '../../lib/listen.ts';
import { tableValues } from '../../lib/table.ts';
import { coresGiven, workersFor } from '../cores.ts';
import { engineFlags, tuneEngine, tuneHeap } from '../engine.ts';
import { type Server, type ServerOptions, startServer } from '../../server.ts';
import { environmentOf } from '../environment.ts';
import { packageVersion } from '../package-version.ts';
import { type CommandContext, UsageError } from '../program.ts';

export interface ServeFlags {
  readonly configDir?: string;
  readonly kubeconfig?: string;
  readonly meshConfig: string;
  readonly networksConfig: string;
  readonly domain: string;
  readonly clusterID: string;
  readonly grpcAddr: string;
  readonly secureGRPCAddr: string;
  readonly httpAddr: string;
  readonly httpsAddr: string;
  readonly monitoringAddr: string;
  readonly stateDir?: string;
  readonly caDir: string;
  readonly jwks?: string;
  readonly tokenIssuer?: string;
  readonly log_output_level: string;
  readonly log_as_json?: boolean;
  readonly debounceAfter: string;
  readonly debounceMax?: string;
  readonly maxRequestsPerSecond: string;
  readonly keepaliveMaxServerConnectionAge: string;
  readonly workers: string;
  readonly shutdownDuration: string;
  readonly injectionDirectory: string;
}

/** Serves until SIGINT or SIGTERM; a second signal ends it at once. */
export async function serve(flags: ServeFlags, context: CommandContext): Promise<number> {
  tuneEngine(process.versions.node);
  const options = serverOptions(flags, context);
  const server = await start(options);
  await server.ready();
  // Whoever reads that it serves may end it at once.
  const ended = signalled();
  announce(server, options, context);
  await ended;
  await server.stop();
  return 0;
}

async function start(options: ServerOptions): Promise<Server> {
  try {
    return await startServer(options);
  } catch (error) {
    throw new UsageError(error instanceof Error ? error.message : String(error));
  }
}

function serverOptions(flags: ServeFlags, { env }: CommandContext): ServerOptions {
  const inCluster = flags.configDir === undefined && flags.kubeconfig === undefined;
  if (inCluster && (env['KUBERNETES_SERVICE_HOST'] ?? '') === '')
    throw new UsageError('nothing to serve: give --configDir or --kubeconfig, or run inside of a cluster', 64);
  const number = (name: string, text: string): number => {
    const value = Number(text);
    if (text.trim() === '' || !Number.isFinite(value) || value < 0)
      throw new UsageError(`--${name} ${text}: expected a number, 0 or more`, 64);
    return value;
  };
  const rate = number('maxRequestsPerSecond', flags.maxRequestsPerSecond);
  const age = span('keepaliveMaxServerConnectionAge', flags.keepaliveMaxServerConnectionAge);
  return {
    version: packageVersion(),
    configDir: flags.configDir,
    kubeconfig: flags.kubeconfig,
    inCluster,
    sharedMeshConfig: env['SHARED_MESH_CONFIG'],
    replica: env['POD_NAME'],
    writeStatus: env['PILOT_ENABLE_STATUS']?.toLowerCase() !== 'false',
    meshConfig: flags.meshConfig,
    networksConfig: flags.networksConfig,
    domain: flags.domain,
    clusterId: flags.clusterID,
    revision: env['REVISION'] ?? '',
    grpc: parseListen('grpcAddr', flags.grpcAddr),
    secureGrpc: parseListen('secureGRPCAddr', flags.secureGRPCAddr),
    http: parseListen('httpAddr', flags.httpAddr),
    https: parseListen('httpsAddr', flags.httpsAddr),
    monitoring: parseListen('monitoringAddr', flags.monitoringAddr),
    stateDir: flags.stateDir,
    caDir: flags.caDir,
    jwks: flags.jwks,
    tokenIssuer: flags.tokenIssuer,
    hosts: (env['ISTIOD_CUSTOM_HOST'] ?? '').split(',').filter((host) => host !== ''),
    logLevels: flags.log_output_level,
    logJson: flags.log_as_json === true,
    debounceQuiet: number('debounceAfter', flags.debounceAfter),
    debounceMax: flags.debounceMax === undefined ? undefined : number('debounceMax', flags.debounceMax),
    ...environmentOf(env),
    jwksRefresh: refreshInterval(env['PILOT_JWT_PUB_KEY_REFRESH_INTERVAL']),
    // Reading the whole configuration leaves as much garbage as objects, and a heap that is allowed to grow from there.
    onLoaded: () => {
      tuneHeap(process.versions.node);
      collectAll();
    },
    // Enough for a rolling restart, and not more than this machine can translate for.
    workloadCertSeconds: seconds(env, 'DEFAULT_WORKLOAD_CERT_TTL'),
    entryGraceMs: milliseconds(env, 'PILOT_WORKLOAD_ENTRY_GRACE_PERIOD'),
    validateEntryIdentity: env['ISTIO_WORKLOAD_ENTRY_VALIDATE_IDENTITY'] !== 'false',
    maxStreamRate: rate > 0 ? rate : 250 * availableParallelism(),
    maxConnectionAge: age === undefined || age === 0 ? undefined : age,
    workers: { count: workerCount(flags.workers), execArgv: engineFlags(process.versions.node) },
    shutdownDuration: span('shutdownDuration', flags.shutdownDuration),
    injectionDirectory: flags.injectionDirectory,
    nativeSidecars: nativeSidecarsOf(env['ENABLE_NATIVE_SIDECARS']),
    environment: env,
  };
}

/** Milliseconds of a duration as Go writes it; undefined for `infinite`. */
function span(name: string, text: string): number | undefined {
  if (text === '' || text === 'infinite') return undefined;
  const duration = parseDuration(text);
  if (duration === undefined || duration.seconds < 0)
    throw new UsageError(`--${name} ${text}: expected a duration such as 30m or 10s`, 64);
  return duration.seconds * 1000 + duration.nanos / 1e6;
}

/** More are a slip of the hand. */
const MAX_WORKERS = 64;

function workerCount(text: string): number {
  if (text === 'auto') return workersFor(coresGiven());
  const count = Number(text);
  if (/^\d+$/.test(text) && count >= 1 && count <= MAX_WORKERS) return count;
  throw new UsageError(`--workers ${text}: expected auto, or a number from 1 to ${MAX_WORKERS}`, 64);
}

function nativeSidecarsOf(text: string | undefined): 'auto' | 'true' | 'false' {
  if (text === undefined || text === '') return 'auto';
  if (text === 'auto' || text === 'true' || text === 'false') return text;
  throw new UsageError(`ENABLE_NATIVE_SIDECARS ${text}: expected auto, true or false`, 64);
}

/** A duration in the environment; undefined where there is none. */
function milliseconds(env: CommandContext['env'], name: string): number | undefined {
  const text = env[name] ?? '';
  if (text === '') return undefined;
  const parsed = parseDuration(text);
  if (parsed === undefined) throw new UsageError(`${name} "${text}": expected a duration such as 10s`, 64);
  return durationMillis(parsed);
}

function seconds(env: CommandContext['env'], name: string): number | undefined {
  const ms = milliseconds(env, name);
  return ms === undefined ? undefined : ms / 1000;
}

/** Milliseconds; undefined where nothing is said. */
function refreshInterval(text: string | undefined): number | undefined {
  if (text === undefined || text === '') return undefined;
  const duration = parseDuration(text);
  if (duration === undefined || duration.seconds < 1)
    throw new UsageError(`PILOT_JWT_PUB_KEY_REFRESH_INTERVAL=${text}: expected a duration of 1s or more`, 64);
  return duration.seconds * 1000;
}

/** What is served, where, and what to try next. */
function announce(server: Server, options: ServerOptions, { out }: CommandContext): void {
  const { plane, store } = server.config;
  const state = store.state();
  const objects = Object.values(state.byKind).reduce((sum, table) => sum + table.size, 0);
  const findings = server.config.findings();
  const lines = [
    `Meltemi ${options.version} serves ${options.configDir ?? options.kubeconfig ?? 'this cluster'}: ${objects} objects, ${plane.snapshot?.services.size ?? 0} services.`,
    ...serviceLines(server),
    '',
    ...addressLines(server.addresses),
  ];
  if (findings.length > 0)
    lines.push(
      '',
      `${findings.length} findings:`,
      ...findings
        .slice(0, 10)
        .map(
          (finding) =>
            `  ${finding.severity} ${finding.code} ${finding.origin ?? ''} ${finding.path ?? ''} ${finding.message}`,
        ),
    );
  lines.push('', ...hints(server.addresses, options));
  out(lines.join('\n'));
}

const SHOWN_SERVICES = 12;

function serviceLines(server: Server): readonly string[] {
  const { snapshot } = server.config.plane;
  if (snapshot === undefined) return [];
  const services = [...tableValues(snapshot.services)].flat().sort((a, b) => (a.hostname < b.hostname ? -1 : 1));
  const lines = services.slice(0, SHOWN_SERVICES).map((service) => {
    const ports = service.ports.map((port) => `${port.number}/${port.protocol}`).join(' ');
    return `  ${service.hostname.padEnd(44)} ${ports}`;
  });
  return services.length > SHOWN_SERVICES ? [...lines, `  … and ${services.length - SHOWN_SERVICES} more`] : lines;
}

function addressLines(addresses: Server['addresses']): readonly string[] {
  const rows: readonly (readonly [string, ListenAddress | undefined])[] = [
    ['xDS, plaintext', addresses.grpc],
    ['xDS and certificates, TLS', addresses.secureGrpc],
    ['readiness and debug pages', addresses.http],
    ['webhooks, TLS', addresses.https],
    ['metrics', addresses.monitoring],
  ];
  return rows.flatMap(([what, address]) =>
    address === undefined ? [] : [`  ${formatListen(address).padEnd(22)} ${what}`],
  );
}

function hints({ http, grpc }: Server['addresses'], options: ServerOptions): readonly string[] {
  const lines: string[] = [];
  if (http !== undefined) lines.push(`  curl http://localhost:${http.port}/debug/list`);
  if (grpc !== undefined) lines.push(`  npx meltemi proxy-status --xds-address localhost:${grpc.port}`);
  if (options.configDir?.includes('bookinfo') === true && existsSync('samples/demo')) {
    lines.push('  npm run demo          the same mesh with real Envoys and traffic');
    lines.push(`  edit ${options.configDir}/traffic.yaml and see it served at once`);
  }
  return lines.length === 0 ? [] : ['Try next:', ...lines];
}

function signalled(): Promise<void> {
  return new Promise((resolve) => {
    for (const signal of ['SIGINT', 'SIGTERM'] as const) {
      process.once(signal, () => {
        process.once(signal, () => process.exit(1));
        resolve();
      });
    }
  });
}
