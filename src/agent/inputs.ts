// What the agent is told from outside: environment, flags, downward files, mesh file. All reading happens here.
// In: env and flags; out: AgentInputs, plain values for config.ts. A file that is absent or wrong becomes a remark, never a throw.
// Called by run.ts.

import { readFile } from 'node:fs/promises';
import { connect } from 'node:net';
import { hostname, networkInterfaces } from 'node:os';

/** What the command line can say; it wins over everything else. */
export interface AgentFlags {
  readonly role?: 'sidecar' | 'router';
  readonly domain?: string;
  readonly serviceCluster?: string;
  readonly discoveryAddress?: string;
  readonly caAddress?: string;
  /** Roots for both servers, PEM. */
  readonly rootFile?: string;
  readonly tokenFile?: string;
  readonly runDirectory?: string;
  readonly xdsSocket?: string;
  readonly sdsSocket?: string;
  readonly bindAddress?: string;
  readonly localAddress?: string;
  readonly statusAddress?: string;
  readonly adminPort?: number;
  readonly statusPort?: number;
  readonly healthPort?: number;
  readonly prometheusPort?: number;
  readonly envoyPath?: string;
  readonly concurrency?: number;
  readonly proxyLogLevel?: string;
  readonly proxyComponentLogLevel?: string;
  /** host:port of the DNS proxy. */
  readonly dnsAddress?: string;
  /** Resolvers in place of those in resolv.conf, `HOST[:PORT],…`. */
  readonly dnsResolvers?: string;
  /** The bootstrap is for an Envoy without an agent. */
  readonly agentless?: boolean;
}

/** The fields of the mesh's ProxyConfig that an agent looks at; the rest passes to the control plane untouched. */
export interface ProxyConfig {
  readonly configPath?: string;
  readonly serviceCluster?: string;
  readonly discoveryAddress?: string;
  readonly controlPlaneAuthPolicy?: string;
  readonly drainDuration?: string;
  readonly terminationDrainDuration?: string;
  readonly proxyAdminPort?: number;
  readonly statusPort?: number;
  readonly concurrency?: number;
  readonly statsCompression?: boolean;
  readonly proxyMetadata?: Readonly<Record<string, string>>;
  readonly connectionSettings?: { readonly globalDownstreamConnectionLimit?: number | undefined } | undefined;
  readonly runtimeValues?: Readonly<Record<string, string>>;
  readonly proxyStatsMatcher?: {
    readonly inclusionPrefixes?: readonly string[];
    readonly inclusionSuffixes?: readonly string[];
    readonly inclusionRegexps?: readonly string[];
  };
  readonly binaryPath?: string;
  readonly customConfigFile?: string;
  readonly fileFlushInterval?: string;
  readonly fileFlushMinSizeKb?: number;
  readonly [other: string]: unknown;
}

/** What was found on the file system. */
export interface FoundFiles {
  /** `./etc/certs/root-cert.pem` */
  readonly mountedRoot: boolean;
  /** Somebody else serves secrets on the workload's socket. */
  readonly workloadSds: boolean;
  /** Somebody serves credentials of gateways. */
  readonly credentialSds: boolean;
}

export interface AgentInputs {
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly flags: AgentFlags;
  readonly hostname: string;
  /** Addresses of this machine, loopback left out. */
  readonly addresses: readonly string[];
  readonly labels: Readonly<Record<string, string>>;
  readonly annotations: Readonly<Record<string, string>>;
  /** Of the mesh file, if it has one. */
  readonly trustDomain: string | undefined;
  readonly proxyConfig: ProxyConfig;
  readonly remarks: readonly string[];
  /** Text of resolv.conf. */
  readonly resolvConf?: string | undefined;
  readonly found?: FoundFiles | undefined;
}

const LABELS_FILE = './etc/istio/pod/labels';
const ANNOTATIONS_FILE = './etc/istio/pod/annotations';
const MESH_FILE = './etc/istio/config/mesh';
const CONFIG_ANNOTATION = 'proxy.istio.io/config';
const RESOLV_CONF = '/etc/resolv.conf';
/** Where roots lie on machines outside Kubernetes. */
export const MOUNTED_ROOT = './etc/certs/root-cert.pem';
export const WORKLOAD_SOCKET = './var/run/secrets/workload-spiffe-uds/socket';
export const CREDENTIAL_SOCKET = './var/run/secrets/credential-uds/socket';

/** Loads YAML's parser only when there is YAML: a parser is memory in every sidecar. */
export type ParseYaml = (text: string) => Promise<unknown>;

/** Reads all there is to read. */
export async function readInputs(
  env: AgentInputs['env'],
  flags: AgentFlags,
  parseYaml: ParseYaml,
): Promise<AgentInputs> {
  const remarks: string[] = [];
  const readYaml = (text: string, from: string) => readConfigText(text, from, parseYaml, remarks);
  const annotations = readDownward((await textOf(ANNOTATIONS_FILE)) ?? '');
  const mesh = await readYaml((await textOf(MESH_FILE)) ?? '', MESH_FILE);
  const layers = [
    recordOf(mesh['defaultConfig']),
    await readYaml(env['PROXY_CONFIG'] ?? '', 'PROXY_CONFIG'),
    await readYaml(annotations[CONFIG_ANNOTATION] ?? '', CONFIG_ANNOTATION),
  ];
  return {
    env,
    flags,
    hostname: hostname(),
    addresses: machineAddresses(),
    labels: { ...readDownward((await textOf(LABELS_FILE)) ?? ''), ...jsonLabels(env['ISTIO_METAJSON_LABELS']) },
    annotations,
    trustDomain: typeof mesh['trustDomain'] === 'string' ? mesh['trustDomain'] : undefined,
    proxyConfig: mergeLayers(layers),
    remarks,
    resolvConf: await textOf(RESOLV_CONF),
    found: {
      mountedRoot: (await textOf(MOUNTED_ROOT)) !== undefined,
      workloadSds: await answers(flags.sdsSocket ?? env['WORKLOAD_IDENTITY_SOCKET_FILE'] ?? WORKLOAD_SOCKET),
      credentialSds: await answers(CREDENTIAL_SOCKET),
    },
  };
}

/** How long somebody else's socket may take to take a connection. */
const SOCKET_TIMEOUT_MS = 1000;

/** True if somebody listens; a socket that a predecessor left behind does not count. */
function answers(path: string): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect({ path });
    const finish = (found: boolean) => (): void => {
      socket.destroy();
      resolve(found);
    };
    socket.setTimeout(SOCKET_TIMEOUT_MS, finish(false));
    socket.once('connect', finish(true));
    socket.once('error', finish(false));
  });
}

/** Later layers win field by field; the maps in them are merged by key. */
export function mergeLayers(layers: readonly Readonly<Record<string, unknown>>[]): ProxyConfig {
  const merged: Record<string, unknown> = {};
  for (const layer of layers) {
    for (const [key, value] of Object.entries(layer)) {
      const isMap = key === 'proxyMetadata' || key === 'runtimeValues';
      merged[key] = isMap ? { ...recordOf(merged[key]), ...recordOf(value) } : value;
    }
  }
  return merged;
}

/** The downward API's form, one `key="value"` per line with the value quoted as in Go. */
export function readDownward(text: string): Record<string, string> {
  const pairs: Record<string, string> = {};
  for (const line of text.split('\n')) {
    const at = line.indexOf('=');
    if (at <= 0) continue;
    const quoted = line.slice(at + 1).trim();
    try {
      pairs[line.slice(0, at)] = String(JSON.parse(quoted));
    } catch {
      pairs[line.slice(0, at)] = quoted.replaceAll(/^"|"$/g, '');
    }
  }
  return pairs;
}

function jsonLabels(text: string | undefined): Record<string, string> {
  if (text === undefined) return {};
  try {
    const entries = Object.entries(recordOf(JSON.parse(text)));
    return Object.fromEntries(entries.map(([key, value]) => [key, String(value)]));
  } catch {
    return {};
  }
}

function recordOf(value: unknown): Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null && !Array.isArray(value) ? (value as Record<string, unknown>) : {};
}

async function readConfigText(
  text: string,
  from: string,
  parseYaml: ParseYaml,
  remarks: string[],
): Promise<Readonly<Record<string, unknown>>> {
  if (text.trim() === '') return {};
  try {
    return recordOf(JSON.parse(text));
  } catch {
    // Not JSON, so it may be YAML.
  }
  try {
    return recordOf(await parseYaml(text));
  } catch (error) {
    remarks.push(
      `${from} is neither JSON nor YAML and is ignored: ${error instanceof Error ? error.message : String(error)}`,
    );
    return {};
  }
}

function machineAddresses(): string[] {
  const all = Object.values(networkInterfaces()).flatMap((each) => each ?? []);
  const outside = all.filter((each) => !each.internal && !each.address.startsWith('fe80'));
  // IPv4 first, as the node id carries the first address.
  return [...outside.filter((each) => each.family === 'IPv4'), ...outside.filter((each) => each.family === 'IPv6')].map(
    (each) => each.address,
  );
}

async function textOf(path: string): Promise<string | undefined> {
  try {
    return await readFile(path, 'utf8');
  } catch {
    return undefined;
  }
}
