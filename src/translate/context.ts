// What a proxy and its mesh say about every filter chain: one object per class (or workload) and role, so that it can be
// an input of memoised renderers as a whole. In: scope, workload. Out: ChainContext. Called by listeners and gateway.

import type { MeshConfig } from '../config/mesh.ts';
import type { ProxyClass, Workload } from '../ir/proxy.ts';
import type { PolicySet } from '../ir/policy.ts';
import type { Scope } from '../ir/snapshot.ts';
import { memo } from '../lib/memo.ts';
import type { Messages } from '../messages/index.ts';
import { type AccessLogs, accessLogs } from './observability/access-log.ts';
import { type TracingSettings, tracingSettings } from './observability/tracing.ts';
import { meshProviders, type Providers } from './observability/providers.ts';
import { type AuthorizationFilters, authorizationFilters, NO_AUTHORIZATION } from './security/authorization.ts';
import { jwtFilter } from './security/jwt.ts';
import { type ExtensionSlots, extensionSlots } from './extensions/slots.ts';

/** Which side of a proxy a chain serves. */
export type ListenerRole = 'sidecar-outbound' | 'sidecar-inbound' | 'gateway';

type HttpFilter = Messages['envoy.extensions.filters.network.http_connection_manager.v3.HttpFilter'];

export interface ChainContext {
  readonly role: ListenerRole;
  readonly proxyClass: ProxyClass;
  readonly mesh: MeshConfig;
  readonly policies: PolicySet;
  readonly logs: AccessLogs;
  readonly tracing: TracingSettings;
  readonly authorization: AuthorizationFilters;
  readonly jwt: readonly HttpFilter[];
  readonly extensions: ExtensionSlots;
}

/** JWKS documents by their URI, as far as they were fetched. */
export type JwksCache = ReadonlyMap<string, string>;

const NO_KEYS: JwksCache = new Map();

/** Chains of a sidecar's outbound listeners. */
export function outboundContext(scope: Scope): ChainContext {
  return contextOf(scope.proxyClass, 'sidecar-outbound', scope.mesh, scope.policies, providersOf(scope), NO_KEYS);
}

/** Outbound chains that say which workload they are of: tracing tags name it. */
export function workloadContext(scope: Scope, workload: Workload): ChainContext {
  return contextOf(workload.proxyClass, 'sidecar-outbound', scope.mesh, scope.policies, providersOf(scope), NO_KEYS);
}

/** Chains of a gateway's listeners. */
export function gatewayContext(scope: Scope, jwks: JwksCache = NO_KEYS): ChainContext {
  return contextOf(scope.proxyClass, 'gateway', scope.mesh, scope.policies, providersOf(scope), jwks);
}

/** Chains of a workload's inbound listeners. */
export function inboundContext(scope: Scope, workload: Workload, jwks: JwksCache = NO_KEYS): ChainContext {
  return contextOf(workload.proxyClass, 'sidecar-inbound', scope.mesh, workload.policies, providersOf(scope), jwks);
}

function providersOf(scope: Scope): Providers {
  return meshProviders(scope.mesh, scope.services);
}

const contextOf = memo(
  (
    proxyClass: ProxyClass,
    role: ListenerRole,
    mesh: MeshConfig,
    policies: PolicySet,
    providers: Providers,
    jwks: JwksCache,
  ): ChainContext => {
    const secured = role !== 'sidecar-outbound';
    return {
      role,
      proxyClass,
      mesh,
      policies,
      logs: accessLogs({ role, mesh, telemetry: policies.telemetry, providers }),
      tracing: tracingSettings({ role, mesh, proxyClass, telemetry: policies.telemetry, providers }),
      authorization: secured
        ? authorizationFilters({ policies: policies.authorization, mesh, providers, dialect: proxyClass.dialect })
        : NO_AUTHORIZATION,
      jwt: secured ? jwtFilter({ policies: policies.requestAuthn, jwks, clearRouteCache: role === 'gateway' }) : [],
      extensions: extensionSlots(role, policies.wasmPlugins, policies.trafficExtensions),
    };
  },
);
