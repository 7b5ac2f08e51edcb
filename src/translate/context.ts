// What a proxy and its mesh say about every filter chain: one object per class (or workload) and role, so that it can be
// an input of memoised renderers as a whole. In: scope, workload. Out: ChainContext. Called by listeners and gateway.

import type { ConfigObject } from '../config/object.ts';
import { type Origin, originOf } from '../ir/draft.ts';
import type { PolicySet, TelemetrySelection } from '../ir/policy.ts';
import type { Dialect, ProxyClass, Workload } from '../ir/proxy.ts';
import type { Scope } from '../ir/snapshot.ts';
import { memo } from '../lib/memo.ts';
import type { Messages } from '../messages/index.ts';
import { cidrRange } from './envoy.ts';
import { type ExtensionSlots, extensionSlots } from './extensions/slots.ts';
import type { WorkloadGround } from './ground.ts';
import { type AccessLogs, accessLogs } from './observability/access-log.ts';
import { meshProviders, type Providers } from './observability/providers.ts';
import { type TracingSettings, tracingSettings } from './observability/tracing.ts';
import { type AuthorizationFilters, authorizationFilters } from './security/authorization.ts';
import { jwtFilter } from './security/jwt.ts';
import { type MeshSettings, meshSettings } from './mesh.ts';

/** Which side of a proxy a chain serves. */
export type ListenerRole = 'sidecar-outbound' | 'sidecar-inbound' | 'gateway';

export type InternalAddresses =
  Messages['envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager.InternalAddressConfig'];
type HttpFilter = Messages['envoy.extensions.filters.network.http_connection_manager.v3.HttpFilter'];

/** What chains read beside names: one object for all classes that agree on it, so that they share rendered listeners. */
export interface L4Context {
  readonly logs: AccessLogs;
  readonly authorization: AuthorizationFilters;
  readonly extensions: ExtensionSlots;
  /** Of connections that no DestinationRule says anything about. */
  readonly idleTimeout: string | undefined;
  /** Outbound listeners spread connections over the proxy's threads one by one. */
  readonly exactBalance: boolean;
  /** Of tokens in requests. */
  readonly jwt: readonly HttpFilter[];
  /** Telemetry says something of traces, in which a workload is called by its names. */
  readonly traced: boolean;
  /** Policies that are on every chain. */
  readonly origins: readonly Origin[];
}

export interface ChainContext extends L4Context {
  readonly role: ListenerRole;
  readonly proxyClass: ProxyClass;
  readonly mesh: MeshSettings;
  /** Made when it is asked for: of most contexts it never is. */
  readonly tracing: () => TracingSettings;
  /** Clients at these addresses are believed what their headers say of a request. */
  readonly internalAddresses: InternalAddresses | undefined;
  /** This context without what HTTP adds. */
  readonly l4: L4Context;
}

/** Chains of a sidecar's outbound listeners. */
export function outboundContext(scope: Scope): ChainContext {
  return contextIn(scope, scope.proxyClass, 'sidecar-outbound', scope.policies);
}

/** Outbound chains that say which workload they are of: tracing tags name it. */
export function workloadContext(ground: WorkloadGround, workload: Workload): ChainContext {
  const { mesh, policies, providers, internal } = ground;
  return contextOf(workload.proxyClass, 'sidecar-outbound', meshSettings(mesh), policies, providers, internal);
}

/** Chains of a gateway's listeners. */
export function gatewayContext(scope: Scope): ChainContext {
  return contextIn(scope, scope.proxyClass, 'gateway', scope.policies);
}

/** Chains of a workload's inbound listeners. */
export function inboundContext({ mesh, providers, internal }: WorkloadGround, workload: Workload): ChainContext {
  return contextOf(workload.proxyClass, 'sidecar-inbound', meshSettings(mesh), workload.policies, providers, internal);
}

function contextIn(scope: Scope, proxyClass: ProxyClass, role: ListenerRole, policies: PolicySet): ChainContext {
  const { mesh, services } = scope;
  return contextOf(
    proxyClass,
    role,
    meshSettings(mesh),
    policies,
    meshProviders(mesh, services),
    internalTo(scope, role),
  );
}

/** Addresses of the mesh that chains of this role believe. */
export function internalTo({ mesh, networks }: Scope, role: ListenerRole): InternalAddresses | undefined {
  const knows = role === 'gateway' || mesh.features?.internalNetworks === true;
  return knows ? internalAddresses(networks.prefixes) : undefined;
}

/** Envoy counts nobody as internal by itself. */
const internalAddresses = memo((prefixes: readonly string[]): InternalAddresses | undefined => {
  const cidrRanges = prefixes.flatMap((prefix) => cidrRange(prefix) ?? []);
  return cidrRanges.length === 0 ? undefined : { cidrRanges };
});

const contextOf = memo(
  (
    proxyClass: ProxyClass,
    role: ListenerRole,
    mesh: MeshSettings,
    policies: PolicySet,
    providers: Providers,
    internal: InternalAddresses | undefined,
  ): ChainContext => {
    const l4 = l4Context(proxyClass, role, mesh, policies, providers);
    const { telemetry } = policies;
    const tracing = () => tracingSettings({ role, mesh, proxyClass, telemetry, providers });
    return joined(l4, { role, proxyClass, mesh, tracing, internalAddresses: internal });
  },
);

/** A context in whose traces no policy and no provider has a part. */
export function plainContext(
  l4: L4Context,
  proxyClass: ProxyClass,
  role: ListenerRole,
  mesh: MeshSettings,
  internal: InternalAddresses | undefined,
): ChainContext {
  const tracing = () => tracingSettings({ role, mesh, proxyClass, telemetry: NO_TELEMETRY, providers: NO_PROVIDERS });
  return joined(l4, { role, proxyClass, mesh, tracing, internalAddresses: internal });
}

function joined(l4: L4Context, own: Omit<ChainContext, keyof L4Context | 'l4'>): ChainContext {
  const { logs, authorization, extensions, idleTimeout, exactBalance, jwt, traced, origins } = l4;
  return { logs, authorization, extensions, idleTimeout, exactBalance, jwt, traced, origins, l4, ...own };
}

const NO_TELEMETRY: TelemetrySelection = { mesh: undefined, namespace: undefined, workload: undefined };
const NO_PROVIDERS: Providers = new Map();

const NONE: readonly never[] = [];

function l4Context(
  { settings, dialect }: ProxyClass,
  role: ListenerRole,
  mesh: MeshSettings,
  { telemetry, wasmPlugins, trafficExtensions, authorization, requestAuthn }: PolicySet,
  providers: Providers,
): L4Context {
  const secured = role !== 'sidecar-outbound';
  const named = mesh.defaultProviders !== undefined || authorization.length > 0 || speaks(telemetry);
  return sharedContext(
    mesh,
    role,
    named ? providers : NO_PROVIDERS,
    settings.idleTimeout,
    role !== 'sidecar-inbound' && settings.outboundExactBalance,
    settings.statsLogger,
    dialect,
    telemetry.mesh,
    telemetry.namespace,
    telemetry.workload,
    wasmPlugins,
    trafficExtensions,
    secured ? authorization : NONE,
    secured ? requestAuthn : NONE,
  );
}

function speaks({ mesh, namespace, workload }: TelemetrySelection): boolean {
  return mesh !== undefined || namespace !== undefined || workload !== undefined;
}

const sharedContext = memo(
  (
    mesh: MeshSettings,
    role: ListenerRole,
    providers: Providers,
    idleTimeout: string | undefined,
    exactBalance: boolean,
    statsLogger: boolean,
    dialect: Dialect,
    meshTelemetry: TelemetrySelection['mesh'],
    namespaceTelemetry: TelemetrySelection['namespace'],
    workloadTelemetry: TelemetrySelection['workload'],
    plugins: PolicySet['wasmPlugins'],
    extensions: PolicySet['trafficExtensions'],
    policies: PolicySet['authorization'],
    requestAuthn: PolicySet['requestAuthn'],
  ): L4Context => {
    const telemetry = { mesh: meshTelemetry, namespace: namespaceTelemetry, workload: workloadTelemetry };
    const objects: readonly (ConfigObject | undefined)[] = [
      meshTelemetry,
      namespaceTelemetry,
      workloadTelemetry,
      ...plugins,
      ...extensions,
      ...policies,
      ...requestAuthn,
    ];
    return {
      logs: accessLogs({ role, mesh, telemetry, providers, dialect, statsLogger }),
      authorization: authorizationFilters({ policies, mesh, providers, dialect }),
      extensions: extensionSlots(role, plugins, extensions),
      idleTimeout,
      exactBalance,
      jwt: jwtFilter({ policies: requestAuthn, clearRouteCache: role === 'gateway' }),
      traced: [meshTelemetry, namespaceTelemetry, workloadTelemetry].some((each) => each?.spec.tracing !== undefined),
      origins: objects.flatMap((object) => (object === undefined ? [] : [originOf(object)])),
    };
  },
);
