// The WorkloadEntry of a workload that registers itself. In: what its proxy says, the WorkloadGroup that it names.
// Out: name and object. Pure. Called by registrar.ts.

import type { ConfigObject } from '../config/object.ts';
import { parseIp } from '../lib/ip.ts';
import { ANNOTATION, type WorkloadEntry, type WorkloadGroup } from './port.ts';

/** `core.v3.Node`, as far as it is read here. */
export interface RegisteringNode {
  readonly id: string;
  readonly locality?: { readonly region?: string; readonly zone?: string; readonly subZone?: string } | undefined;
  readonly metadata?: Readonly<Record<string, unknown>> | undefined;
}

export interface RegisteringProxy {
  readonly namespace: string;
  /** Name of the WorkloadGroup; empty for a proxy that brings an entry of its own. */
  readonly group: string;
  /** Name of the entry. */
  readonly entry: string;
  readonly address: string;
  readonly network: string;
  readonly locality: string;
  readonly labels: Readonly<Record<string, string>>;
  readonly hasProbe: boolean;
}

/** Longest name that Kubernetes takes. The end tells workloads apart. */
const MAX_NAME = 253;

/** Undefined for a proxy that doesn't ask for registration, or can't be registered. */
export function registeringProxy(node: RegisteringNode): RegisteringProxy | undefined {
  const metadata = node.metadata ?? {};
  const text = (key: string): string => (typeof metadata[key] === 'string' ? metadata[key] : '');
  const [, idAddress = '', , domain = ''] = node.id.split('~');
  const namespace = text('NAMESPACE') || (domain.split('.')[0] ?? '');
  const address = [...text('INSTANCE_IPS').split(','), idAddress].find((each) => parseIp(each) !== undefined) ?? '';
  const group = text('AUTO_REGISTER_GROUP');
  const own = text('WORKLOAD_ENTRY');
  if (namespace === '' || address === '' || (group === '' && own === '')) return undefined;
  const network = text('NETWORK');
  const { region = '', zone = '', subZone = '' } = node.locality ?? {};
  return {
    namespace,
    group,
    entry: group === '' ? own : entryName(group, address, network),
    address,
    network,
    locality: [region, zone, subZone].join('/').replace(/\/+$/, ''),
    labels: textMap(metadata['LABELS']),
    hasProbe: hasProbe(metadata['PROXY_CONFIG']),
  };
}

function entryName(group: string, address: string, network: string): string {
  const parts = [group, address.replaceAll(':', '-'), ...(network === '' ? [] : [network])];
  return parts.join('-').slice(-MAX_NAME);
}

function textMap(value: unknown): Readonly<Record<string, string>> {
  if (typeof value !== 'object' || value === null) return {};
  return Object.fromEntries(
    Object.entries(value).filter((pair): pair is [string, string] => typeof pair[1] === 'string'),
  );
}

function hasProbe(config: unknown): boolean {
  return typeof config === 'object' && config !== null && 'readinessProbe' in config;
}

export interface EntryStamp {
  /** ms since the epoch */
  readonly now: number;
  /** Name of this replica. */
  readonly controller: string;
  /** RFC 3339 */
  readonly connectedAt: string;
}

/** The entry: the group's template, with what the proxy says of itself over it. */
export function entryOf(group: WorkloadGroup, proxy: RegisteringProxy, stamp: EntryStamp): WorkloadEntry {
  const { template = {}, metadata = {} } = group.spec;
  const own = Object.fromEntries(Object.entries(proxy.labels).filter(([key]) => key !== 'istio-locality'));
  const labels = { ...template.labels, ...metadata.labels, ...own };
  const object: ConfigObject<WorkloadEntry['spec'], NonNullable<WorkloadEntry['status']>> = {
    apiVersion: 'networking.istio.io/v1',
    kind: 'WorkloadEntry',
    namespace: proxy.namespace,
    name: proxy.entry,
    labels,
    annotations: {
      ...metadata.annotations,
      [ANNOTATION.group]: group.name,
      [ANNOTATION.controller]: stamp.controller,
      [ANNOTATION.connectedAt]: stamp.connectedAt,
      ...(proxy.hasProbe ? { [ANNOTATION.healthChecks]: 'true' } : {}),
    },
    created: Math.floor(stamp.now),
    generation: 1,
    spec: {
      ...template,
      address: proxy.address,
      labels,
      ...(proxy.network === '' ? {} : { network: proxy.network }),
      ...(proxy.locality === '' ? {} : { locality: proxy.locality }),
    },
  };
  return object;
}
