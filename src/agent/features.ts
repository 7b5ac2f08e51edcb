// What the agent does beside certificates and the relay, decided once at start: DNS proxy, probes, Wasm modules.
// In: environment, flags and files as AgentInputs holds them; out: AgentFeatures. Pure. Called by config.ts.

import { join } from 'node:path';
import type { AgentFlags, AgentInputs, ProxyConfig } from './inputs.ts';
import type { DnsOptions } from './dns/server.ts';
import { parseResolvConf } from './dns/resolv-conf.ts';
import { parseAppProbes } from './probes/app-probes.ts';
import { type HealthProbe, parseHealthProbe } from './probes/health.ts';
import type { Probe } from './probes/probe.ts';
import type { ProbeTarget } from './probes/target.ts';
import type { WasmOptions } from './wasm/options.ts';
import { wasmOptionsOf } from './wasm/options.ts';

export interface AgentFeatures {
  /** Undefined where names are none of the proxy's business. */
  readonly dns: DnsOptions | undefined;
  /** The application's probes, by path of the status port. */
  readonly probes: ReadonlyMap<string, Probe>;
  /** Where the application is reached. */
  readonly application: ProbeTarget;
  /** Of a workload outside Kubernetes. */
  readonly health: HealthProbe | undefined;
  /** Further trusted roots come from the control plane. */
  readonly trustBundle: boolean;
  readonly wasm: WasmOptions;
}

export interface FeatureInputs {
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly flags: AgentFlags;
  readonly proxyConfig: ProxyConfig;
  readonly inputs: AgentInputs;
  readonly ip: string;
  readonly namespace: string;
  /** `NAMESPACE.svc.SUFFIX` */
  readonly domain: string;
  readonly remarks: string[];
}

export function featuresOf(from: FeatureInputs): AgentFeatures {
  const { env, remarks } = from;
  const { probes, remarks: ofProbes } = parseAppProbes(env['ISTIO_KUBE_APP_PROBERS']);
  remarks.push(...ofProbes);
  return {
    dns: env['ISTIO_META_DNS_CAPTURE'] === 'true' ? dnsOf(from) : undefined,
    probes,
    application: applicationOf(from),
    health: healthOf(from),
    trustBundle: env['PROXY_CONFIG_XDS_AGENT'] === 'true',
    wasm: wasmOptionsOf(env, join('.', 'var', 'lib', 'istio', 'data'), remarks),
  };
}

const DNS_PORT = 15_053;
const RESOLVER_PORT = 53;

function dnsOf({ env, flags, inputs, namespace, domain, ip, remarks }: FeatureInputs): DnsOptions {
  const { servers, search } = parseResolvConf(inputs.resolvConf ?? '');
  const given = flags.dnsAddress ?? env['DNS_PROXY_ADDR'] ?? '';
  const [, host = 'localhost', port = ''] = /^(.*):(\d+)$/.exec(given) ?? [];
  if (given !== '' && port === '')
    remarks.push(`DNS_PROXY_ADDR "${given}" is not HOST:PORT; localhost:${DNS_PORT} is used`);
  const own =
    host === 'localhost' ? ['127.0.0.1', ...(ip.includes(':') ? ['::1'] : [])] : [host.replace(/^\[|\]$/g, '')];
  return {
    hosts: own,
    port: port === '' ? DNS_PORT : Number(port),
    scope: {
      namespace,
      serviceDomain: domain.startsWith(`${namespace}.`) ? domain.slice(namespace.length + 1) : domain,
      searchDomain: search[0] ?? '',
    },
    resolvers: resolversOf(flags, servers),
    parallel: env['DNS_FORWARD_PARALLEL'] === 'true',
  };
}

function resolversOf({ dnsResolvers }: AgentFlags, servers: readonly string[]): DnsOptions['resolvers'] {
  if (dnsResolvers === undefined) return servers.map((host) => ({ host, port: RESOLVER_PORT }));
  return dnsResolvers.split(',').map((each) => {
    const [, host = each, port = String(RESOLVER_PORT)] = /^(.*):(\d+)$/.exec(each) ?? [];
    return { host, port: Number(port) };
  });
}

/** Capture rules let connections from these addresses pass to the application itself. */
const SOURCE = { v4: '127.0.0.6', v6: '::6' };

function applicationOf({ env, ip }: FeatureInputs): ProbeTarget {
  const isLegacy = env['REWRITE_PROBE_LEGACY_LOCALHOST_DESTINATION'] === 'true';
  if (ip.includes(':')) return { host: isLegacy ? '::1' : ip, source: SOURCE.v6 };
  return { host: isLegacy ? '127.0.0.1' : ip, source: SOURCE.v4 };
}

function healthOf({ proxyConfig, remarks }: FeatureInputs): HealthProbe | undefined {
  const { readinessProbe } = proxyConfig;
  if (readinessProbe === undefined) return undefined;
  const probe = parseHealthProbe(readinessProbe);
  if (typeof probe !== 'string') return probe;
  remarks.push(`readinessProbe of the proxy configuration is ignored: ${probe}`);
  return undefined;
}
