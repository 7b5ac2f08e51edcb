// The mesh's extension providers with their services looked up: what loggers, tracers and authorizers point at.
// In: MeshConfig, the services that a class sees. Out: Providers, the same object as long as every look-up gives the same.

import type { ExtensionProvider, MeshConfig } from '../../config/mesh.ts';
import type { ScopedService } from '../../ir/traffic.ts';
import { memo } from '../../lib/memo.ts';
import { type Table, tableGet } from '../../lib/table.ts';
import type { Messages } from '../../messages/index.ts';
import { outboundClusterName } from '../clusters/names.ts';

/** The service behind a provider. */
export interface ProviderTarget {
  readonly hostname: string;
  readonly port: number;
  /** Name of the outbound cluster. */
  readonly cluster: string;
}

export interface Provider {
  readonly config: ExtensionProvider;
  /** Undefined: the provider has no service, or one that the proxy can't see. */
  readonly target: ProviderTarget | undefined;
}

export type Providers = ReadonlyMap<string, Provider>;

/** Providers by name. The look-up runs each time, the result is kept while it is the same. */
export function meshProviders(mesh: MeshConfig, services: Table<ScopedService>): Providers {
  const found = mesh.extensionProviders.map((provider) => hostOf(provider, services) ?? '');
  return resolved(mesh, found.join('\n'));
}

const resolved = memo((mesh: MeshConfig, hosts: string): Providers => {
  const found = hosts.split('\n');
  return new Map(
    mesh.extensionProviders.map((config, index) => [
      config.name,
      { config, target: targetOf(config, found[index] ?? '') },
    ]),
  );
});

interface Addressed {
  readonly service?: string | undefined;
  readonly port?: number | undefined;
}

/** The member of the provider that names a service; several kinds do. */
function addressed(provider: ExtensionProvider): Addressed | undefined {
  return (
    provider.envoyExtAuthzHttp ??
    provider.envoyExtAuthzGrpc ??
    provider.zipkin ??
    provider.datadog ??
    provider.skywalking ??
    provider.opentelemetry ??
    provider.envoyHttpAls ??
    provider.envoyTcpAls ??
    provider.envoyOtelAls
  );
}

/**
 * `HOST` or `NAMESPACE/HOST`, as far as the proxy sees it and its port: a reference to a missing cluster would cost the
 * listener.
 */
function hostOf(provider: ExtensionProvider, services: Table<ScopedService>): string | undefined {
  const { service: name, port } = addressed(provider) ?? {};
  if (name === undefined) return undefined;
  const slash = name.indexOf('/');
  const hostname = slash < 0 ? name : name.slice(slash + 1);
  const service = tableGet(services, hostname)?.service;
  if (service === undefined || service.resolution === 'Alias') return undefined;
  if (!service.ports.some((each) => each.number === port && each.protocol !== 'UDP')) return undefined;
  return slash < 0 || service.namespace === name.slice(0, slash) ? hostname : undefined;
}

function targetOf(provider: ExtensionProvider, hostname: string): ProviderTarget | undefined {
  const port = addressed(provider)?.port;
  if (hostname === '' || port === undefined) return undefined;
  return { hostname, port, cluster: outboundClusterName(port, '', hostname) };
}

/** A gRPC service on a provider's cluster. */
export function grpcService(target: ProviderTarget, timeout?: string): Messages['envoy.config.core.v3.GrpcService'] {
  return { envoyGrpc: { clusterName: target.cluster, authority: target.hostname }, timeout };
}
