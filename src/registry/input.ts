// What the registry is built from: tables of objects and the few settings that it depends on.

import type {
  EndpointSliceBody,
  NodeStatus,
  PodSpec,
  PodStatus,
  ServiceEntryStatus,
  ServiceSpec,
  ServiceStatus,
  WorkloadEntryStatus,
} from '../config/core.ts';
import { DEFAULT_LABELS } from '../config/features.ts';
import type { ServiceEntrySpec, WorkloadEntrySpec } from '../config/generated/types.ts';
import type { ConfigObject, Kind } from '../config/object.ts';
import type { Table } from '../lib/table.ts';
import type { EntryVisibility } from './entry-visibility.ts';
import type { SessionLabels } from './labels.ts';

export type KubeService = ConfigObject<ServiceSpec, ServiceStatus>;
export type Pod = ConfigObject<PodSpec, PodStatus>;
export type Node = ConfigObject<unknown, NodeStatus>;
export type EndpointSlice = ConfigObject<EndpointSliceBody>;
export type ServiceEntry = ConfigObject<ServiceEntrySpec, ServiceEntryStatus>;
export type WorkloadEntry = ConfigObject<WorkloadEntrySpec, WorkloadEntryStatus>;

/** The store's state, seen from here: objects of each kind by `namespace/name`. */
export interface ConfigTables {
  table(kind: Kind): Table<ConfigObject>;
}

/** The registry's share of the tables, typed by kind. */
export interface RegistryTables {
  readonly services: Table<KubeService>;
  readonly pods: Table<Pod>;
  readonly nodes: Table<Node>;
  readonly namespaces: Table<ConfigObject>;
  readonly slices: Table<EndpointSlice>;
  readonly serviceEntries: Table<ServiceEntry>;
  readonly workloadEntries: Table<WorkloadEntry>;
}

/** Sources project every kind to its own body (config/core.ts), which is what makes these casts true. */
export function registryTables(input: ConfigTables): RegistryTables {
  return {
    services: input.table('Service') as Table<KubeService>,
    pods: input.table('Pod') as Table<Pod>,
    nodes: input.table('Node') as Table<Node>,
    namespaces: input.table('Namespace'),
    slices: input.table('EndpointSlice') as Table<EndpointSlice>,
    serviceEntries: input.table('ServiceEntry') as Table<ServiceEntry>,
    workloadEntries: input.table('WorkloadEntry') as Table<WorkloadEntry>,
  };
}

/** `serviceSettings` of the mesh configuration. */
interface ServiceSettings {
  readonly settings?: { readonly clusterLocal?: boolean | undefined } | undefined;
  readonly hosts?: readonly string[] | undefined;
}

/** One network of the mesh networks file. */
interface NetworkDefinition {
  readonly endpoints?:
    | readonly { readonly fromCidr?: string | undefined; readonly fromRegistry?: string | undefined }[]
    | undefined;
  readonly gateways?:
    | readonly {
        readonly address?: string | undefined;
        readonly registryServiceName?: string | undefined;
        readonly port?: number | undefined;
        readonly locality?: string | undefined;
      }[]
    | undefined;
}

/**
 * Settings, cut out of the mesh configuration so that an unrelated change of it rebuilds nothing. They are compared by
 * content: callers need not keep their identity.
 */
export interface RegistryOptions {
  /** Suffix of Kubernetes service names: `cluster.local`. */
  readonly domain: string;
  readonly clusterId: string;
  readonly trustDomain: string;
  /** Namespace whose label names the network of the cluster. */
  readonly systemNamespace: string;
  /**
   * `kubernetes`: an endpoint whose Pod is not known yet is held back. `files`: it is used as it is, and a Service with
   * Pods but no EndpointSlice gets its endpoints from the Pods that it selects.
   */
  readonly mode: 'kubernetes' | 'files';
  /** `defaultServiceExportTo` of the mesh; empty means everywhere. */
  readonly defaultServiceExportTo: readonly string[];
  /** `serviceEntryVisibility` of the mesh. */
  readonly entryVisibility?: EntryVisibility | undefined;
  readonly serviceSettings: readonly ServiceSettings[];
  readonly networks: Readonly<Record<string, NetworkDefinition>>;
  /** ServiceEntries without addresses get virtual ones. */
  readonly autoAllocate: boolean;
  /** A pod with addresses of both families is one endpoint with all of them. */
  readonly dualStack: boolean;
  /** Labels that make callers of a service stay with one endpoint. */
  readonly sessionLabels: SessionLabels;
}

export const DEFAULT_REGISTRY_OPTIONS: RegistryOptions = {
  domain: 'cluster.local',
  clusterId: 'Kubernetes',
  trustDomain: 'cluster.local',
  systemNamespace: 'istio-system',
  mode: 'kubernetes',
  defaultServiceExportTo: ['*'],
  serviceSettings: [],
  networks: {},
  autoAllocate: true,
  dualStack: false,
  sessionLabels: DEFAULT_LABELS,
};

/** Key of a namespaced object in its table. */
export function objectKey(object: { readonly namespace: string; readonly name: string }): string {
  return `${object.namespace}/${object.name}`;
}

export function kubeHostname(name: string, namespace: string, domain: string): string {
  return `${name}.${namespace}.svc.${domain}`;
}
