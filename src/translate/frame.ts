// What chains of many workloads have in common: the context of one of them with slots in place of the names by which telemetry
// calls it. Templates made with it serve all workloads that differ in nothing else. In: a context. Out: the stand-in and the
// texts for its slots. Called by listeners and gateway.

import { slot } from '../codec/index.ts';
import type { Dialect, InterceptionMode, IpFamily, ProxyClass, ProxySettings, ProxyType } from '../ir/proxy.ts';
import { memo } from '../lib/memo.ts';
import { stamp } from '../lib/stamp.ts';
import {
  type ChainContext,
  type InternalAddresses,
  type L4Context,
  type ListenerRole,
  plainContext,
} from './context.ts';
import type { MeshSettings } from './mesh.ts';

export interface Frame {
  readonly context: ChainContext;
  /** For slots 0, 1 and 2; none of them is empty. */
  readonly names: readonly [string, string, string];
}

/** The first slot that a frame leaves to others. */
export const FREE_SLOT = 3;

/** The context itself where more than names is its own. */
export const frameOf = memo((context: ChainContext): Frame => {
  const { mesh, proxyClass, role, l4, internalAddresses } = context;
  const { settings, namespace, clusterId, type, family, dialect, interception } = proxyClass;
  // Tracers name workloads in ways of their own.
  const own = context.traced || (mesh.defaultProviders?.tracing ?? []).length > 0 || namespace === '';
  if (own || !isShared(context)) return { context, names: UNUSED };
  const { proxyConfig } = settings;
  const shared = standIn(
    l4,
    mesh,
    role,
    internalAddresses,
    type,
    family,
    dialect,
    interception,
    clusterId,
    settings.meshId,
    settings.dnsCapture,
    settings.dnsProxy,
    settings.httpProxyPort,
    settings.http10,
    settings.idleTimeout,
    settings.unprivileged,
    settings.inboundExactBalance,
    settings.outboundExactBalance,
    settings.tlsServerCertChain,
    settings.tlsServerKey,
    settings.tlsServerRootCert,
    settings.statusPort,
    settings.prometheusPort,
    settings.externalSds,
    settings.agentless,
    settings.statsLogger,
    ...CONFIGURED.map((name) => proxyConfig[name]),
  );
  return {
    context: shared,
    names: [settings.canonicalRevision || 'latest', settings.canonicalService || 'unknown', namespace],
  };
});

const firstOf = stamp<L4Context, ChainContext>();

/**
 * Policies may be of a single workload: the first that has them is rendered by itself, and a frame begins with the second. Without any,
 * there will be a second.
 */
function isShared(context: ChainContext): boolean {
  const { l4 } = context;
  if (l4.origins.length === 0) return true;
  const first = firstOf.get(l4);
  if (first === undefined) firstOf.set(l4, context);
  return first !== undefined && first !== context;
}

const UNUSED = ['-', '-', '-'] as const;

/** Fields of ProxyConfig that chains read. */
const CONFIGURED = ['tracing', 'proxyHeaders', 'gatewayTopology', 'connectionSettings'] as const;

const standIn = memo(
  (
    l4: L4Context,
    mesh: MeshSettings,
    role: ListenerRole,
    internal: InternalAddresses | undefined,
    type: ProxyType,
    family: IpFamily,
    dialect: Dialect,
    interception: InterceptionMode,
    clusterId: string,
    meshId: string,
    dnsCapture: boolean,
    dnsProxy: string | undefined,
    httpProxyPort: number,
    http10: boolean,
    idleTimeout: string | undefined,
    unprivileged: boolean,
    inboundExactBalance: boolean,
    outboundExactBalance: boolean,
    tlsServerCertChain: string | undefined,
    tlsServerKey: string | undefined,
    tlsServerRootCert: string | undefined,
    statusPort: number,
    prometheusPort: number,
    externalSds: boolean,
    agentless: true | undefined,
    statsLogger: boolean,
    ...configured: readonly unknown[]
  ): ChainContext => {
    const settings: ProxySettings = {
      dnsCapture,
      dnsProxy,
      httpProxyPort,
      http10,
      idleTimeout,
      unprivileged,
      inboundExactBalance,
      outboundExactBalance,
      tlsServerCertChain,
      tlsServerKey,
      tlsServerRootCert,
      statusPort,
      prometheusPort,
      generator: '',
      externalSds,
      ...(agentless === undefined ? {} : { agentless }),
      statsLogger,
      proxyConfig: Object.fromEntries(CONFIGURED.map((name, index) => [name, configured[index]])),
      meshId,
      canonicalRevision: slot(0),
      canonicalService: slot(1),
    };
    const proxyClass: ProxyClass = {
      key: '',
      type,
      namespace: slot(2),
      dnsDomain: '',
      family,
      dialect,
      clusterId,
      network: '',
      networkView: [],
      locality: '',
      interception,
      labels: {},
      nodeName: '',
      ownHeadlessAddresses: [],
      settings,
      version: '',
      metadata: {},
    };
    return plainContext(l4, proxyClass, role, mesh, internal);
  },
);
