// Everything the agent needs to know, decided once at start.
// In: environment, flags and the files that AgentInputs holds; out: an AgentConfig and remarks on what was not understood.
// Pure: reading is in inputs.ts. Called by run.ts and by `meltemi bootstrap`.

import { join } from 'node:path';
import type { KeyChoice } from '../ca/keys.ts';
import { type HttpProxy, proxyFor } from '../grpc/proxy.ts';
import { durationMillis, parseDuration } from '../lib/duration.ts';
import { type AgentFeatures, featuresOf } from './features.ts';
import {
  type AgentFlags,
  type AgentInputs,
  CREDENTIAL_SOCKET,
  MOUNTED_ROOT,
  type ProxyConfig,
  WORKLOAD_SOCKET,
} from './inputs.ts';
import { metadataFrom } from './metadata.ts';

/** Where trust in a server comes from: a bundle in a file, or the operating system's. */
export type RootSource = { readonly kind: 'file'; readonly path: string } | { readonly kind: 'system' };

export interface ServerTarget {
  /** host:port */
  readonly address: string;
  readonly security: 'tls' | 'plaintext';
  readonly roots: RootSource;
  /** Name that the server's certificate must carry. */
  readonly serverName: string;
  /** On the way to it. */
  readonly proxy?: HttpProxy | undefined;
}

export interface ProxyPorts {
  readonly admin: number;
  readonly status: number;
  /** Envoy's static listener for kubelet's probes. */
  readonly health: number;
  readonly prometheus: number;
}

export interface EnvoyOptions {
  readonly path: string | undefined;
  readonly concurrency: number | undefined;
  readonly logLevel: string;
  readonly componentLogLevel: string;
  readonly bootstrapOverride: string | undefined;
  /** A whole bootstrap, used as it is. */
  readonly customBootstrap: string | undefined;
  readonly flushIntervalMs: number;
  readonly flushMinSizeKb: number | undefined;
}

export interface DrainOptions {
  readonly drainSeconds: number;
  readonly terminationMs: number;
  /** Wait for the last connection instead of a fixed time. */
  readonly untilIdle: boolean;
  readonly minimumMs: number;
  /** Listeners for what the application itself calls go on. */
  readonly inboundOnly: boolean;
  /** Connections of kubelet and Prometheus to these do not count. */
  readonly ownPorts: readonly number[];
}

export interface CertificatePolicy {
  readonly identity: string;
  readonly key: KeyChoice;
  readonly lifetimeSeconds: number;
  readonly graceRatio: number;
  readonly graceJitter: number;
  readonly outputDirectory: string | undefined;
  /** A certificate of a provider, used towards the control plane in place of a token. */
  readonly providedDirectory: string | undefined;
  /** Directories in which ready-made certificates are looked for before the CA is asked. */
  readonly fileDirectories: readonly string[];
}

export interface AgentConfig {
  /** Envoy is to run alone: only the bootstrap is made from this. */
  readonly agentless: boolean;
  readonly role: 'sidecar' | 'router';
  readonly nodeId: string;
  readonly serviceCluster: string;
  readonly clusterId: string;
  readonly metadata: Readonly<Record<string, unknown>>;
  readonly locality: string;
  readonly instanceIps: readonly string[];
  readonly delta: boolean;
  readonly discovery: ServerTarget;
  readonly ca: ServerTarget;
  readonly xdsHeaders: Readonly<Record<string, string>>;
  readonly tokenFile: string;
  readonly certificates: CertificatePolicy;
  readonly ports: ProxyPorts;
  /** Address of the two static listeners. */
  readonly bindAddress: string;
  /** Address of what only this machine may reach: admin and, from Envoy's side, the agent. */
  readonly localAddress: string;
  readonly statusAddress: string;
  readonly runDirectory: string;
  readonly xdsSocket: string;
  readonly sdsSocket: string;
  /** Somebody else, such as SPIRE, serves the workload's secrets on that socket. */
  readonly foreignSds: boolean;
  /** Where somebody serves credentials of gateways. */
  readonly credentialSocket: string | undefined;
  readonly envoy: EnvoyOptions;
  readonly drain: DrainOptions;
  readonly features: AgentFeatures;
  readonly proxyConfig: ProxyConfig;
  readonly statsCompression: boolean;
  readonly appMetrics: string | undefined;
  readonly annotations: Readonly<Record<string, string>>;
}

export interface ResolvedConfig {
  readonly config: AgentConfig;
  readonly remarks: readonly string[];
}

type Env = Readonly<Record<string, string | undefined>>;

/** Decides everything. Throws only when there is no address to name the proxy by. */
export function resolveConfig(inputs: AgentInputs): ResolvedConfig {
  const remarks = [...inputs.remarks];
  const { flags, proxyConfig } = inputs;
  const env: Env = { ...proxyConfig.proxyMetadata, ...inputs.env };
  const identity = identityOf(env, flags, inputs);
  const runDirectory = flags.runDirectory ?? proxyConfig.configPath ?? './etc/istio/proxy';
  const bindAddress = flags.bindAddress ?? (identity.ip.includes(':') ? '::' : '0.0.0.0');
  const hasCredentials = inputs.found?.credentialSds === true;
  const { ip, namespace, domain } = identity;
  const config: AgentConfig = {
    agentless: flags.agentless === true,
    role: identity.role,
    nodeId: `${identity.role}~${identity.ip}~${identity.pod}.${identity.namespace}~${identity.domain}`,
    serviceCluster:
      flags.serviceCluster ?? proxyConfig.serviceCluster ?? serviceClusterOf(inputs.labels, identity, env),
    clusterId: identity.clusterId,
    metadata: {
      ...metadataFrom({ env, inputs, identity, remarks }),
      ...(hasCredentials ? { credential: 'true' } : {}),
    },
    locality: localityOf(inputs.labels),
    instanceIps: identity.ips,
    delta: env['ISTIO_DELTA_XDS'] !== 'false',
    ...serversOf(env, flags, inputs),
    xdsHeaders: headersOf(env),
    tokenFile: flags.tokenFile ?? env['MELTEMI_TOKEN_FILE'] ?? './var/run/secrets/tokens/istio-token',
    certificates: certificatePolicyOf(env, identity, remarks),
    ports: portsOf(env, flags, proxyConfig),
    bindAddress,
    localAddress: flags.localAddress ?? localAddressOf(bindAddress),
    statusAddress: flags.statusAddress ?? bindAddress,
    runDirectory,
    xdsSocket: flags.xdsSocket ?? join(runDirectory, 'XDS'),
    sdsSocket: flags.sdsSocket ?? env['WORKLOAD_IDENTITY_SOCKET_FILE'] ?? WORKLOAD_SOCKET,
    foreignSds: inputs.found?.workloadSds === true,
    credentialSocket: hasCredentials ? CREDENTIAL_SOCKET : undefined,
    envoy: envoyOf(env, flags, proxyConfig),
    drain: drainOf(env, identity.role, inputs, remarks),
    features: featuresOf({ env, flags, proxyConfig, inputs, ip, namespace, domain, remarks }),
    proxyConfig,
    statsCompression: proxyConfig.statsCompression !== false,
    appMetrics: env['ISTIO_PROMETHEUS_ANNOTATIONS'],
    annotations: inputs.annotations,
  };
  return { config, remarks };
}

/** Many proxies can share a machine by a loopback address each; otherwise the usual one. */
function localAddressOf(bindAddress: string): string {
  if (bindAddress === '::' || bindAddress === '::1') return '::1';
  return bindAddress.startsWith('127.') ? bindAddress : '127.0.0.1';
}

export interface ProxyIdentity {
  readonly role: 'sidecar' | 'router';
  readonly ip: string;
  readonly ips: readonly string[];
  readonly pod: string;
  readonly namespace: string;
  readonly domain: string;
  readonly serviceAccount: string;
  readonly trustDomain: string;
  readonly clusterId: string;
}

function identityOf(env: Env, flags: AgentFlags, inputs: AgentInputs): ProxyIdentity {
  const namespace = env['POD_NAMESPACE'] || 'default';
  const given = [env['INSTANCE_IP'], ...(env['INSTANCE_IPS']?.split(',') ?? [])].filter(
    (ip) => ip !== undefined && ip !== '',
  );
  const ips = [...new Set([...(given as string[]), ...(given.length === 0 ? inputs.addresses : [])])];
  const [ip] = ips;
  if (ip === undefined) throw new Error('no address to name this proxy by: set INSTANCE_IP');
  return {
    role: flags.role ?? 'sidecar',
    ip,
    ips,
    pod: env['POD_NAME'] || inputs.hostname,
    namespace,
    domain: flags.domain ?? `${namespace}.svc.cluster.local`,
    serviceAccount: env['SERVICE_ACCOUNT'] || 'default',
    trustDomain: env['TRUST_DOMAIN'] || inputs.trustDomain || 'cluster.local',
    clusterId: env['ISTIO_META_CLUSTER_ID'] || 'Kubernetes',
  };
}

/** Name of the service for traces: `<app>.<ns>`, from the app label, else the workload. */
function serviceClusterOf(labels: Readonly<Record<string, string>>, identity: ProxyIdentity, env: Env): string {
  const app = labels['app'] || env['ISTIO_META_WORKLOAD_NAME'];
  return app === undefined || app === '' ? 'istio-proxy' : `${app}.${identity.namespace}`;
}

/** `region.zone.subzone` in a label's value, since labels cannot hold slashes. */
function localityOf(labels: Readonly<Record<string, string>>): string {
  const label = labels['topology.istio.io/locality'] ?? labels['istio-locality'];
  if (label !== undefined && label !== '') return label.includes('/') ? label : label.replaceAll('.', '/');
  const names = ['topology.kubernetes.io/region', 'topology.kubernetes.io/zone', 'topology.istio.io/subzone'];
  return names
    .map((name) => labels[name] ?? '')
    .join('/')
    .replace(/\/+$/, '');
}

const DEFAULT_DISCOVERY = 'istiod.istio-system.svc:15012';

function serversOf(env: Env, flags: AgentFlags, inputs: AgentInputs): Pick<AgentConfig, 'discovery' | 'ca'> {
  const { proxyConfig } = inputs;
  const address = flags.discoveryAddress ?? proxyConfig.discoveryAddress ?? DEFAULT_DISCOVERY;
  const caAddress = flags.caAddress ?? (env['CA_ADDR'] || address);
  const security = proxyConfig.controlPlaneAuthPolicy === 'NONE' ? 'plaintext' : 'tls';
  const serverName = (of: string) => env['ISTIOD_SAN'] || serverNameOf(of);
  const isOwnAuthority = (env['CA_PROVIDER'] || 'Citadel') === 'Citadel';
  const isMounted = inputs.found?.mountedRoot === true;
  const xdsRoots = rootsOf(env['XDS_ROOT_CA'], isMounted, env, flags.rootFile);
  const caRoots = rootsOf(env['CA_ROOT_CA'], isMounted && !isOwnAuthority, env, flags.rootFile);
  const server = (of: string, roots: RootSource): ServerTarget => {
    return { address: of, security, roots, serverName: serverName(of), proxy: proxyFor(of, env) };
  };
  return { discovery: server(address, xdsRoots), ca: server(caAddress, caRoots) };
}

/** TLS has no server name for addresses (RFC 6066): the control plane's usual name stands for them. */
function serverNameOf(address: string): string {
  const host = address.replace(/:\d+$/, '').replaceAll(/[[\]]/g, '');
  return /^[\d.]+$|:/.test(host) ? 'istiod.istio-system.svc' : host;
}

/** The first that is there: said for this server, mounted, a provider's, the workload's own, the mesh's. */
function rootsOf(own: string | undefined, isMounted: boolean, env: Env, flag: string | undefined): RootSource {
  if (own === 'SYSTEM') return { kind: 'system' };
  if (own !== undefined && own !== '') return { kind: 'file', path: own };
  if (flag !== undefined) return { kind: 'file', path: flag };
  if (isMounted) return { kind: 'file', path: MOUNTED_ROOT };
  const provided = env['PROV_CERT'] ?? '';
  if (provided !== '') return { kind: 'file', path: join(provided, 'root-cert.pem') };
  const workload = env['FILE_MOUNTED_CERTS'] === 'true' ? (env['ISTIO_META_TLS_CLIENT_ROOT_CERT'] ?? '') : '';
  if (workload !== '') return { kind: 'file', path: workload };
  return { kind: 'file', path: PROVIDER_ROOTS[env['PILOT_CERT_PROVIDER'] ?? ''] ?? MESH_ROOT };
}

const MESH_ROOT = './var/run/secrets/istio/root-cert.pem';
const PROVIDER_ROOTS: Readonly<Record<string, string>> = {
  kubernetes: './var/run/secrets/kubernetes.io/serviceaccount/ca.crt',
};

const XDS_HEADER = 'XDS_HEADER_';

function headersOf(env: Env): Record<string, string> {
  const headers: Record<string, string> = {};
  for (const [name, value] of Object.entries(env)) {
    if (name.startsWith(XDS_HEADER) && value !== undefined)
      headers[name.slice(XDS_HEADER.length).toLowerCase()] = value;
  }
  return headers;
}

function certificatePolicyOf(env: Env, identity: ProxyIdentity, remarks: string[]): CertificatePolicy {
  const { trustDomain, namespace, serviceAccount } = identity;
  const rsaBits = Number(env['WORKLOAD_RSA_KEY_SIZE'] || 2048);
  const wantsRsa = env['WORKLOAD_RSA_KEY_SIZE'] !== undefined && env['ECC_SIGNATURE_ALGORITHM'] !== 'ECDSA';
  return {
    identity: `spiffe://${trustDomain.replaceAll('@', '.')}/ns/${namespace}/sa/${serviceAccount}`,
    key: wantsRsa ? { kind: 'rsa', bits: Math.max(2048, rsaBits) } : { kind: 'ecdsa' },
    lifetimeSeconds: millisOf(env['SECRET_TTL'], 24 * 3600_000, 'SECRET_TTL', remarks) / 1000,
    graceRatio: ratioOf(env['SECRET_GRACE_PERIOD_RATIO'], 0.5),
    graceJitter: ratioOf(env['SECRET_GRACE_PERIOD_RATIO_JITTER'], 0.01),
    outputDirectory: env['OUTPUT_CERTS'] || undefined,
    providedDirectory: env['PROV_CERT'] || undefined,
    fileDirectories: ['./var/run/secrets/workload-spiffe-credentials', ...(env['PROV_CERT'] ? [] : ['./etc/certs'])],
  };
}

function ratioOf(text: string | undefined, fallback: number): number {
  const value = text === undefined || text === '' ? fallback : Number(text);
  return Number.isFinite(value) ? Math.min(1, Math.max(0, value)) : fallback;
}

function millisOf(text: string | undefined, fallback: number, name: string, remarks: string[]): number {
  if (text === undefined || text === '') return fallback;
  const parsed = parseDuration(text);
  if (parsed !== undefined) return durationMillis(parsed);
  remarks.push(`${name} "${text}" is no duration; ${fallback} ms is used`);
  return fallback;
}

function portsOf(env: Env, flags: AgentFlags, proxyConfig: ProxyConfig): ProxyPorts {
  return {
    admin: flags.adminPort ?? proxyConfig.proxyAdminPort ?? 15000,
    status: flags.statusPort ?? proxyConfig.statusPort ?? 15020,
    health: flags.healthPort ?? Number(env['ENVOY_STATUS_PORT'] || 15021),
    prometheus: flags.prometheusPort ?? Number(env['ENVOY_PROMETHEUS_PORT'] || 15090),
  };
}

function envoyOf(env: Env, flags: AgentFlags, proxyConfig: ProxyConfig): EnvoyOptions {
  return {
    path: flags.envoyPath ?? (env['ENVOY'] || proxyConfig.binaryPath),
    concurrency: concurrencyOf(env, flags, proxyConfig),
    logLevel: flags.proxyLogLevel ?? 'warning',
    componentLogLevel: flags.proxyComponentLogLevel ?? 'misc:error',
    bootstrapOverride: env['ISTIO_BOOTSTRAP_OVERRIDE'] || undefined,
    customBootstrap: proxyConfig.customConfigFile || undefined,
    flushIntervalMs: flushInterval(proxyConfig.fileFlushInterval),
    flushMinSizeKb: proxyConfig.fileFlushMinSizeKb,
  };
}

/** A thread for each CPU that the container may use; all of the machine's where nothing limits it. */
function concurrencyOf(env: Env, flags: AgentFlags, proxyConfig: ProxyConfig): number | undefined {
  const wanted = flags.concurrency ?? proxyConfig.concurrency;
  const threads = wanted ?? Math.ceil(Number(env['ISTIO_CPU_LIMIT'] || 0));
  return Number.isFinite(threads) && threads > 0 ? threads : undefined;
}

function flushInterval(text: string | undefined): number {
  const parsed = text === undefined ? undefined : parseDuration(text);
  return parsed === undefined ? 1000 : Math.max(1, Math.round(durationMillis(parsed)));
}

function drainOf(
  env: Env,
  role: AgentConfig['role'],
  { flags, proxyConfig }: AgentInputs,
  remarks: string[],
): DrainOptions {
  const { health, prometheus } = portsOf(env, flags, proxyConfig);
  const ms = (text: string | undefined, fallback: number, name: string) => millisOf(text, fallback, name, remarks);
  return {
    drainSeconds: Math.max(1, Math.round(ms(proxyConfig.drainDuration, 45_000, 'drainDuration') / 1000)),
    terminationMs: ms(
      env['TERMINATION_DRAIN_DURATION_SECONDS']
        ? `${env['TERMINATION_DRAIN_DURATION_SECONDS']}s`
        : proxyConfig.terminationDrainDuration,
      5000,
      'terminationDrainDuration',
    ),
    untilIdle: env['EXIT_ON_ZERO_ACTIVE_CONNECTIONS'] === 'true',
    minimumMs: ms(env['MINIMUM_DRAIN_DURATION'], 5000, 'MINIMUM_DRAIN_DURATION'),
    // The application behind a sidecar may still have calls to make.
    inboundOnly: role === 'sidecar',
    ownPorts: [health, prometheus],
  };
}
