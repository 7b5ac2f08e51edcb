// What a proxy says of itself: its node id and metadata, read once when it connects.

import { type MeshConfig, parseProxyConfig } from '../config/mesh.ts';
import type { Dialect, InterceptionMode, IpFamily, Proxy, ProxySettings, ProxyType } from '../ir/proxy.ts';
import { protoDuration } from '../lib/duration.ts';
import { parseIp } from '../lib/ip.ts';
import { compareStrings, sortedEntries } from '../lib/order.ts';

/** `core.v3.Node`, as far as it is read. */
export interface NodeInfo {
  readonly id: string;
  readonly cluster?: string | undefined;
  readonly locality?:
    | {
        readonly region?: string | undefined;
        readonly zone?: string | undefined;
        readonly subZone?: string | undefined;
      }
    | undefined;
  readonly metadata?: Readonly<Record<string, unknown>> | undefined;
  readonly userAgentVersion?: string | undefined;
}

export interface ProxyError {
  readonly error: string;
}

type Metadata = Readonly<Record<string, unknown>>;

/** Reads `TYPE~IP~POD.NAMESPACE~DNSDOMAIN` and the metadata; says why where it can't be done. */
export function parseProxy(node: NodeInfo): Proxy | ProxyError {
  const [kind = '', address = '', instance = '', dnsDomain, more] = node.id.split('~');
  if (dnsDomain === undefined || more !== undefined) return { error: `node id ${node.id} has not four parts` };
  const type = typeOf(kind);
  if (type === undefined) return { error: `node id ${node.id} is of unknown type ${kind}` };
  const metadata = node.metadata ?? {};
  const addresses = addressesOf(metadata, address);
  if (addresses.length === 0) return { error: `node ${node.id} has no valid address` };
  return {
    id: node.id,
    type,
    addresses,
    instance,
    namespace: text(metadata, 'NAMESPACE') || (dnsDomain.split('.')[0] ?? ''),
    dnsDomain,
    clusterId: text(metadata, 'CLUSTER_ID'),
    network: text(metadata, 'NETWORK'),
    metadata,
    labels: { ...textMap(metadata['LABELS']), ...textMap(metadata['STATIC_LABELS']) },
    nodeLocality: localityText(node.locality),
    nodeCluster: node.cluster ?? '',
    dialect: dialectOf(node.userAgentVersion ?? ''),
    statsLogger: releaseOf(node.userAgentVersion ?? '') >= STATS_LOGGER,
    release: releaseOf(node.userAgentVersion ?? ''),
  };
}

/** From 1.33 on, and again from 1.37 on, the newer spelling of some fields is the only one without a warning. */
function dialectOf(version: string): Dialect {
  const release = releaseOf(version);
  return release >= 37 ? 'latest' : release >= 33 ? 'current' : 'classic';
}

/** Envoy 1.N as N; 0 where nothing is said. */
function releaseOf(version: string): number {
  const [, major, minor] = /^v?(\d+)\.(\d+)/.exec(version) ?? [];
  if (major === undefined || minor === undefined) return 0;
  return Number(major) > 1 ? Number.POSITIVE_INFINITY : Number(minor);
}

/** The first release whose `stats` access logger counts as its configuration says. */
const STATS_LOGGER = 38;

function typeOf(text: string): ProxyType | undefined {
  return text === 'sidecar' || text === 'router' ? text : undefined;
}

function addressesOf(metadata: Metadata, fallback: string): readonly string[] {
  const declared = text(metadata, 'INSTANCE_IPS').split(',');
  const valid = declared.map((each) => each.trim()).filter((each) => parseIp(each) !== undefined);
  if (valid.length > 0) return valid;
  return parseIp(fallback) === undefined ? [] : [fallback];
}

/** `region/zone/subzone` without empty parts at the end. */
function localityText(locality: NodeInfo['locality']): string {
  if (locality === undefined) return '';
  return [locality.region ?? '', locality.zone ?? '', locality.subZone ?? ''].join('/').replace(/\/+$/, '');
}

export function text(metadata: Metadata, key: string): string {
  const value = metadata[key];
  return typeof value === 'string' ? value : typeof value === 'number' ? String(value) : '';
}

/** Booleans come as the words of Go's strconv. */
function flag(metadata: Metadata, key: string): boolean {
  const value = metadata[key];
  return value === true || (typeof value === 'string' && /^(1|t|true)$/i.test(value));
}

function number(metadata: Metadata, key: string): number {
  const value = Number(text(metadata, key));
  return Number.isInteger(value) && value > 0 ? value : 0;
}

function optional(metadata: Metadata, key: string): string | undefined {
  return text(metadata, key) || undefined;
}

export function textMap(value: unknown): Readonly<Record<string, string>> {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return {};
  const entries = Object.entries(value).filter((entry): entry is [string, string] => typeof entry[1] === 'string');
  return Object.fromEntries(entries);
}

export function interceptionOf(proxy: Proxy): InterceptionMode {
  const mode = text(proxy.metadata, 'INTERCEPTION_MODE');
  return mode === 'TPROXY' || mode === 'NONE' ? mode : 'REDIRECT';
}

export function familyOf(addresses: readonly string[]): IpFamily {
  const v6 = addresses.filter((address) => address.includes(':')).length;
  if (v6 === 0) return 'v4';
  return v6 === addresses.length ? 'v6' : 'dual';
}

export function networkViewOf(proxy: Proxy): readonly string[] {
  const names = text(proxy.metadata, 'REQUESTED_NETWORK_VIEW').split(',');
  return [...new Set(names.map((name) => name.trim()).filter((name) => name !== ''))].sort(compareStrings);
}

/** Switches of the proxy, and its PROXY_CONFIG, else the mesh's default. Names are left out: they would tell workloads apart. */
export function settingsOf(proxy: Proxy, mesh: MeshConfig): ProxySettings {
  const { metadata } = proxy;
  return {
    dnsCapture: flag(metadata, 'DNS_CAPTURE'),
    ...(flag(metadata, 'DNS_CAPTURE') ? { dnsProxy: dnsProxyOf(text(metadata, 'DNS_PROXY_ADDR')) } : {}),
    httpProxyPort: number(metadata, 'HTTP_PROXY_PORT'),
    http10: text(metadata, 'HTTP10') === '1',
    idleTimeout: protoDuration(optional(metadata, 'IDLE_TIMEOUT')),
    unprivileged: flag(metadata, 'UNPRIVILEGED_POD'),
    inboundExactBalance: flag(metadata, 'INBOUND_LISTENER_EXACT_BALANCE'),
    outboundExactBalance: flag(metadata, 'OUTBOUND_LISTENER_EXACT_BALANCE'),
    tlsServerCertChain: optional(metadata, 'TLS_SERVER_CERT_CHAIN'),
    tlsServerKey: optional(metadata, 'TLS_SERVER_KEY'),
    tlsServerRootCert: optional(metadata, 'TLS_SERVER_ROOT_CERT'),
    tlsClientCertChain: optional(metadata, 'TLS_CLIENT_CERT_CHAIN'),
    tlsClientKey: optional(metadata, 'TLS_CLIENT_KEY'),
    tlsClientRootCert: optional(metadata, 'TLS_CLIENT_ROOT_CERT'),
    statusPort: number(metadata, 'ENVOY_STATUS_PORT'),
    prometheusPort: number(metadata, 'ENVOY_PROMETHEUS_PORT'),
    generator: text(metadata, 'GENERATOR'),
    externalSds: metadata['credential'] !== undefined,
    ...(flag(metadata, 'MELTEMI_AGENTLESS') ? { agentless: true as const } : {}),
    ...(flag(metadata, 'ENABLE_SELF_DISCOVERY') ? { selfDiscovery: text(metadata, 'WORKLOAD_NAME') } : {}),
    statsLogger: proxy.statsLogger,
    proxyConfig: proxyConfigOf(metadata['PROXY_CONFIG'], mesh),
    meshId: text(metadata, 'MESH_ID'),
    ...NO_NAMES,
  };
}

/** The agent's resolver; its usual place where the proxy does not say. */
function dnsProxyOf(written: string): string {
  const [, host = '', port = ''] = /^\[?(.+?)\]?:(\d{1,5})$/.exec(written) ?? [];
  if (host === '') return '127.0.0.1:15053';
  return `${host === 'localhost' ? '127.0.0.1' : host}:${port}`;
}

/** Fields that only the agent reads, when it starts its Envoy: they shape nothing that is sent. */
const BOOTSTRAP_ONLY: ReadonlySet<string> = new Set([
  'availabilityZone',
  'binaryPath',
  'concurrency',
  'configPath',
  'controlPlaneAuthPolicy',
  'customConfigFile',
  'discoveryAddress',
  'drainDuration',
  'environmentVariables',
  'holdApplicationUntilProxyStarts',
  'image',
  'proxyBootstrapTemplatePath',
  'proxyMetadata',
  'readinessProbe',
  'runtimeValues',
  'serviceCluster',
  'terminationDrainDuration',
]);

/** An agent reports the whole of it, with the mesh's part as it was when the agent started. */
function proxyConfigOf(written: unknown, mesh: MeshConfig): Readonly<Record<string, unknown>> {
  const value = parsedJson(written);
  const reported = typeof value === 'object' && value !== null;
  const config = reported ? parseProxyConfig(value).config : mesh.defaultConfig;
  const effective = sortedEntries<unknown>({ ...config });
  return Object.fromEntries(effective.filter(([key, field]) => field !== undefined && !BOOTSTRAP_ONLY.has(key)));
}

/** Text as the JSON that it holds, undefined if it holds none; anything else as it is. */
export function parsedJson(written: unknown): unknown {
  if (typeof written !== 'string') return written;
  try {
    return JSON.parse(written);
  } catch {
    return undefined;
  }
}

/** How telemetry names a workload. */
export type Names = Pick<ProxySettings, 'canonicalService' | 'canonicalRevision' | 'nodeCluster'>;

export const NO_NAMES: Names = { canonicalService: '', canonicalRevision: '' };

/** From the labels that the injector sets; empty without them. */
export function namesOf(proxy: Proxy, labels: Readonly<Record<string, string>>): Names {
  return {
    canonicalService: labels['service.istio.io/canonical-name'] ?? '',
    canonicalRevision: labels['service.istio.io/canonical-revision'] ?? '',
    ...(proxy.nodeCluster ? { nodeCluster: proxy.nodeCluster } : {}),
  };
}
