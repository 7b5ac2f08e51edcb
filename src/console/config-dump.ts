// A proxy's configuration as Envoy's own `/config_dump` shapes it, so that every tool that reads the one reads the other.

import { decodeJson, typeNameOf } from '../codec/index.ts';
import { TYPE_URL } from '../ir/draft.ts';
import { compareStrings } from '../lib/order.ts';
import type { Resource } from '../resources/resource.ts';
import { viewResources } from '../resources/view.ts';
import type { ConnectionInfo } from './port.ts';

type Json = Readonly<Record<string, unknown>>;

/** A resource in JSON form, as the `Any` that was sent. */
export function resourceJson(resource: Resource): Json {
  return { '@type': resource.typeUrl, ...(decodeJson(typeNameOf(resource.typeUrl), resource.bytes) as Json) };
}

/** envoy.admin.v3.ConfigDump of what the control plane means the proxy to have. Secret values are left out. */
export function configDump(connection: ConnectionInfo): Json {
  const resources = (typeUrl: string): readonly Resource[] => {
    const view = connection.view(typeUrl);
    return view === undefined ? [] : [...viewResources(view)].sort((a, b) => compareStrings(a.name, b.name));
  };
  const list = (typeUrl: string, shape: (resource: Resource) => Json): readonly Json[] => resources(typeUrl).map(shape);
  const dumps: readonly Json[] = [
    {
      '@type': 'type.googleapis.com/envoy.admin.v3.ClustersConfigDump',
      dynamicActiveClusters: list(TYPE_URL.cluster, (resource) => ({
        versionInfo: resource.version,
        cluster: resourceJson(resource),
      })),
    },
    {
      '@type': 'type.googleapis.com/envoy.admin.v3.ListenersConfigDump',
      dynamicListeners: list(TYPE_URL.listener, (resource) => ({
        name: resource.name,
        activeState: { versionInfo: resource.version, listener: resourceJson(resource) },
      })),
    },
    {
      '@type': 'type.googleapis.com/envoy.admin.v3.RoutesConfigDump',
      dynamicRouteConfigs: list(TYPE_URL.route, (resource) => ({
        versionInfo: resource.version,
        routeConfig: resourceJson(resource),
      })),
    },
    {
      '@type': 'type.googleapis.com/envoy.admin.v3.EndpointsConfigDump',
      dynamicEndpointConfigs: list(TYPE_URL.endpoint, (resource) => ({
        versionInfo: resource.version,
        endpointConfig: resourceJson(resource),
      })),
    },
    {
      '@type': 'type.googleapis.com/envoy.admin.v3.SecretsConfigDump',
      dynamicActiveSecrets: list(TYPE_URL.secret, (resource) => ({
        name: resource.name,
        versionInfo: resource.version,
      })),
    },
  ];
  return { configs: dumps };
}
