// The debug pages as values: the HTTP server and the xDS debug types render the same ones.

import { KINDS } from '../config/kinds.ts';
import type { Finding } from '../config/object.ts';
import { TYPE_URL } from '../ir/draft.ts';
import { compareStrings } from '../lib/order.ts';
import { tableValues } from '../lib/table.ts';
import { syncState, type TypeStatus } from '../plane/session.ts';
import { configDump } from './config-dump.ts';
import { EXPLAINED_TYPES, explanation, isExplainedType } from './explain.ts';
import type { AnalysisReport, ConnectionInfo, ConsolePort } from './port.ts';

export type DebugQuery = Readonly<Record<string, string | undefined>>;

export type DebugAnswer =
  | { readonly kind: 'value'; readonly value: unknown }
  | { readonly kind: 'missing'; readonly message: string };

const value = (result: unknown): DebugAnswer => ({ kind: 'value', value: result });

/** Types in the order of istioctl's columns, by the names that its JSON has. */
export const STATUS_TYPES = [
  ['cluster', TYPE_URL.cluster],
  ['listener', TYPE_URL.listener],
  ['route', TYPE_URL.route],
  ['endpoint', TYPE_URL.endpoint],
  ['extensionconfig', TYPE_URL.extension],
] as const;

type Page = (port: ConsolePort, query: DebugQuery) => DebugAnswer;

/** Every page by its name under `/debug/`. */
export const DEBUG_PAGES: Readonly<Record<string, { readonly about: string; readonly page: Page }>> = {
  syncz: { about: 'what each proxy was sent and has taken', page: (port) => value(port.connections().map(syncEntry)) },
  connections: { about: 'connected proxies', page: (port) => value(connectionList(port)) },
  config_dump: { about: "a proxy's configuration; ?proxyID=POD.NAMESPACE", page: proxyDump },
  explain: { about: 'why a proxy has what it has; ?proxyID=POD.NAMESPACE&type=TYPE&name=NAME', page: explain },
  proxyz: {
    about: 'nodes of connected proxies, as `meltemi diff --proxies` takes them',
    page: (port) => value(port.connections().map(({ node }) => node)),
  },
  convergence: {
    about: 'how many of the proxies that an object concerns have taken it; ?object=KIND/NAMESPACE/NAME',
    page: convergence,
  },
  registryz: { about: 'services', page: (port) => value(services(port)) },
  endpointz: { about: 'endpoints of services', page: (port) => value(endpoints(port)) },
  configz: { about: 'configuration objects in force', page: (port) => value([...port.objects()]) },
  mesh: { about: 'mesh configuration in force', page: (port) => value(port.snapshot()?.mesh ?? {}) },
  networkz: { about: 'network gateways', page: (port) => value(port.snapshot()?.networks.all ?? []) },
  analyze: {
    about: 'findings, and what analyzers find besides',
    page: (port) => value({ findings: port.analysis() } satisfies AnalysisReport),
  },
  inject: { about: 'injection configuration in force', page: (port) => value(port.injection()) },
  findingz: { about: 'what is wrong with the configuration', page: (port) => value(port.findings().map(findingText)) },
  scopez: { about: 'log scopes; ?SCOPE=LEVEL sets one', page: scopes },
  list: {
    about: 'this list',
    page: () => value(Object.entries(DEBUG_PAGES).map(([name, { about }]) => ({ name: `/debug/${name}`, about }))),
  },
};

export function debugPage(name: string, port: ConsolePort, query: DebugQuery): DebugAnswer {
  const entry = Object.hasOwn(DEBUG_PAGES, name) ? DEBUG_PAGES[name] : undefined;
  if (entry === undefined) return { kind: 'missing', message: `no debug page ${name}: see /debug/list` };
  return entry.page(port, query);
}

/** The connection of a proxy, by `POD.NAMESPACE`, node id or connection id; the newest where there are several. */
export function findConnection(port: ConsolePort, id: string): ConnectionInfo | undefined {
  const all = port
    .connections()
    .filter((connection) => [connection.proxyId, connection.nodeId, connection.connectionId].includes(id));
  return all.at(-1);
}

function syncEntry(connection: ConnectionInfo): object {
  const types: [string, TypeStatus | undefined][] = STATUS_TYPES.map(([name, typeUrl]) => [
    name,
    connection.types.get(typeUrl),
  ]);
  return {
    proxy: connection.proxyId,
    proxy_type: connection.type,
    istio_version: connection.version,
    cluster_id: connection.clusterId,
    ...Object.fromEntries(
      types.flatMap(([name, status]) => [
        [`${name}_sent`, status?.sentNonce ?? ''],
        [`${name}_acked`, status?.ackedNonce ?? ''],
      ]),
    ),
    types: Object.fromEntries(types.map(([name, status]) => [name, typeEntry(status)])),
  };
}

function typeEntry(status: TypeStatus | undefined): object {
  return {
    state: syncState(status),
    sent: status?.sentNonce ?? '',
    acked: status?.ackedNonce ?? '',
    version: status?.sentVersion ?? '',
    sentTime: status === undefined || status.sentAt === 0 ? '' : new Date(status.sentAt).toISOString(),
    pushMillis:
      status === undefined || status.ackedAt < status.sentAt ? undefined : Math.round(status.ackedAt - status.sentAt),
    pushes: status?.pushes ?? 0,
    bytes: status?.bytes ?? 0,
    lastError: status?.lastError ?? '',
  };
}

function connectionList(port: ConsolePort): object {
  const clients = port.connections().map((connection) => ({
    connectionId: connection.connectionId,
    connectedAt: new Date(connection.connectedAt).toISOString(),
    address: connection.address,
    identities: connection.identities,
  }));
  return { totalClients: clients.length, clients };
}

function proxyDump(port: ConsolePort, query: DebugQuery): DebugAnswer {
  const id = query['proxyID'];
  if (id === undefined || id === '') return { kind: 'missing', message: 'config_dump needs ?proxyID=POD.NAMESPACE' };
  const connection = findConnection(port, id);
  return connection === undefined
    ? { kind: 'missing', message: `proxy ${id} is not connected here` }
    : value(configDump(connection));
}

function explain(port: ConsolePort, { proxyID: id, type, name }: DebugQuery): DebugAnswer {
  if (id === undefined || id === '') return { kind: 'missing', message: 'explain needs ?proxyID=POD.NAMESPACE' };
  if (type !== undefined && !isExplainedType(type))
    return { kind: 'missing', message: `${type} is no type: ${EXPLAINED_TYPES.join(', ')}` };
  const connection = findConnection(port, id);
  return connection === undefined
    ? { kind: 'missing', message: `proxy ${id} is not connected here` }
    : value(explanation(connection, type, name));
}

function convergence(port: ConsolePort, { object = '' }: DebugQuery): DebugAnswer {
  const [written = '', namespace = '', name = ''] = object.split('/');
  const info = KINDS.find(({ kind, plural }) => [kind.toLowerCase(), plural].includes(written.toLowerCase()));
  if (info === undefined || name === '')
    return { kind: 'missing', message: 'convergence needs ?object=KIND/NAMESPACE/NAME' };
  const applied = port.applied({ kind: info.kind, namespace: info.namespaced ? namespace : '', name });
  return applied === undefined ? { kind: 'missing', message: `there is no ${object}` } : value(applied);
}

function services(port: ConsolePort): readonly object[] {
  const snapshot = port.snapshot();
  if (snapshot === undefined) return [];
  const all = [...tableValues(snapshot.services)].flat();
  return all
    .map((service) => ({
      ...service,
      clusterVips: Object.fromEntries(service.clusterVips),
      exportTo: service.exportTo === '*' ? ['*'] : [...service.exportTo],
    }))
    .sort((a, b) => compareStrings(a.hostname, b.hostname) || compareStrings(a.namespace, b.namespace));
}

function endpoints(port: ConsolePort): readonly object[] {
  const snapshot = port.snapshot();
  if (snapshot === undefined) return [];
  const all = [...tableValues(snapshot.endpoints)].flat();
  return all
    .map(({ hostname, namespace, endpoints: list }) => ({ service: hostname, namespace, endpoints: list }))
    .sort((a, b) => compareStrings(a.service, b.service) || compareStrings(a.namespace, b.namespace));
}

function scopes(port: ConsolePort, query: DebugQuery): DebugAnswer {
  for (const [scope, level] of Object.entries(query)) {
    if (level !== undefined && !port.setLevel(scope, level))
      return { kind: 'missing', message: `${level} is no level: none, error, warn, info, debug` };
  }
  return value(Object.fromEntries(port.scopes()));
}

/** A finding as one line for people beside its fields. */
export function findingText(finding: Finding): object {
  const { ref } = finding;
  const object =
    ref === undefined ? '' : `${ref.kind} ${ref.namespace === '' ? ref.name : `${ref.namespace}/${ref.name}`}`;
  return {
    ...finding,
    text: [finding.severity, finding.code, object, finding.path ?? '', finding.message]
      .filter((part) => part !== '')
      .join(' '),
  };
}
