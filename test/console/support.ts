// A console of hand-made connections.

import { encode } from '../../src/codec/index.ts';
import type { ConnectionInfo, ConsolePort } from '../../src/console/port.ts';
import { smallTable } from '../../src/lib/table.ts';
import type { Messages } from '../../src/messages/index.ts';
import type { TypeStatus } from '../../src/plane/session.ts';
import { type Resource, resourceOf } from '../../src/resources/resource.ts';
import { shardKey, type View } from '../../src/resources/view.ts';

/** A resource of a message; the name is that of its `name` or `clusterName`. */
export function resource<Type extends keyof Messages>(type: Type, message: Messages[Type]): Resource {
  const { name, clusterName } = message as { readonly name?: string; readonly clusterName?: string };
  return resourceOf(`type.googleapis.com/${type}`, name ?? clusterName ?? '', encode(type, message));
}

function grouped(resources: readonly Resource[], keyOf: (one: Resource) => string): ReadonlyMap<string, Resource[]> {
  const groups = new Map<string, Resource[]>();
  for (const one of resources) groups.set(keyOf(one), [...(groups.get(keyOf(one)) ?? []), one]);
  return groups;
}

export function viewOf(typeUrl: string, resources: readonly Resource[]): View {
  const groups = grouped(resources, (one) => shardKey(one.name));
  return { typeUrl, parts: [smallTable(groups)] };
}

export function typeStatus(status: Partial<TypeStatus>): TypeStatus {
  return {
    sentNonce: '',
    sentVersion: '',
    sentAt: 0,
    ackedNonce: '',
    ackedAt: 0,
    lastError: '',
    pushes: 0,
    bytes: 0,
    ...status,
  };
}

export function connection(
  proxyId: string,
  resources: readonly Resource[] = [],
  more: Partial<ConnectionInfo> = {},
): ConnectionInfo {
  const byType = new Map(
    [...grouped(resources, (one) => one.typeUrl)].map(([typeUrl, list]) => [typeUrl, viewOf(typeUrl, list)]),
  );
  const namespace = proxyId.slice(proxyId.lastIndexOf('.') + 1);
  return {
    connectionId: `${proxyId}-1`,
    nodeId: `sidecar~10.0.0.1~${proxyId}~${namespace}.svc.cluster.local`,
    node: {},
    proxyId,
    type: 'sidecar',
    namespace,
    clusterId: 'Kubernetes',
    version: '1.30.0',
    address: '10.0.0.1',
    connectedAt: 1_700_000_000_000,
    identities: [],
    types: new Map(),
    view: (typeUrl) => byType.get(typeUrl),
    origins: (one) => one.origins,
    shapedBy: () => [],
    ...more,
  };
}

export function consoleOf(connections: readonly ConnectionInfo[], more: Partial<ConsolePort> = {}): ConsolePort {
  return {
    unready: () => [],
    connections: () => connections,
    snapshot: () => undefined,
    findings: () => [],
    analysis: () => [],
    injection: () => ({}),
    applied: () => undefined,
    objects: () => [],
    preview: () => Promise.reject(new Error('no plane')),
    scopes: () => new Map([['xds', 'info']]),
    setLevel: () => true,
    metrics: async () => '',
    metricsType: 'text/plain',
    version: '1.2.3',
    ...more,
  };
}
