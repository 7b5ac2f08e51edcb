// Debug pages over xDS, as istioctl and `meltemi proxy-status` ask for them: a session whose views are answers.
// In: the console's port and the names of a request (arguments: a proxy's id, a page). Out: views of one moment.
// Called by server.ts, which sends the streams of tools here and those of proxies to the plane.

import { randomUUID } from 'node:crypto';
import { encode } from '../codec/index.ts';
import { compareStrings, orderBy } from '../lib/order.ts';
import { smallTable } from '../lib/table.ts';
import { syncState, type TypeStatus } from '../plane/session.ts';
import { type Resource, resourceOf } from '../resources/resource.ts';
import { emptyView, shardKey, type View } from '../resources/view.ts';
import type { NodeInfo, Peer, ProxySession, Refusal } from '../xds/port.ts';
import { configDumpResources } from './config-dump.ts';
import { DEBUG_PAGES, type DebugQuery, debugPage, findConnection } from './debug.ts';
import type { ConnectionInfo, ConsolePort } from './port.ts';

/** Type of requests that name a page, and of the Any that every page comes in: JSON, not a protobuf message. */
const DEBUG_TYPE = 'istio.io/debug';
const PAGE_PREFIX = `${DEBUG_TYPE}/`;
const CLIENT_CONFIG = 'envoy.service.status.v3.ClientConfig';

const PERMISSION_DENIED = 7;
const UNAUTHENTICATED = 16;

/** True for nodes that are no proxies: istioctl says so in its metadata, older ones in their id. */
export function isDebugClient(node: NodeInfo): boolean {
  return node.id.startsWith('debug~') || node.metadata?.['GENERATOR'] === 'event';
}

/** The session of a tool; callers from elsewhere than this machine need an identity of the control plane's namespace. */
export function debugSession(
  port: ConsolePort,
  peer: Peer,
  node: NodeInfo,
  systemNamespace = 'istio-system',
): ProxySession | Refusal {
  if (!isLoopback(peer.address) && !peer.identities.some((id) => namespaceOf(id) === systemNamespace)) {
    return peer.identities.length === 0
      ? { kind: 'refused', code: UNAUTHENTICATED, message: 'debug types need an identity or a caller on this machine' }
      : { kind: 'refused', code: PERMISSION_DENIED, message: `debug types are for identities of ${systemNamespace}` };
  }
  return new DebugSession(port, node);
}

function namespaceOf(identity: string): string | undefined {
  return /^spiffe:\/\/[^/]+\/ns\/([^/]+)\/sa\/[^/]+$/.exec(identity)?.[1];
}

/** The address is `IP` or `IP:PORT`, IPv6 with or without brackets. */
function isLoopback(address: string): boolean {
  return /^(?:\[?::ffff:)?127(?:\.\d{1,3}){3}(?:\]?(?::\d+)?)$/i.test(address) || /^\[?::1\]?(?::\d+)?$/.test(address);
}

class DebugSession implements ProxySession {
  readonly kind = 'session';
  readonly connectionId: string;
  readonly #port: ConsolePort;
  readonly #names = new Map<string, ReadonlySet<string>>();
  /** One answer for each question: the stream asks for the view again and again. */
  readonly #views = new Map<string, View>();

  constructor(port: ConsolePort, node: NodeInfo) {
    this.#port = port;
    this.connectionId = `${node.id}-${randomUUID()}`;
  }

  view(typeUrl: string): View | undefined {
    let view = this.#views.get(typeUrl);
    if (view === undefined) {
      const resources = debugResources(this.#port, typeUrl, [...(this.#names.get(typeUrl) ?? [])].sort(compareStrings));
      if (resources === undefined) return undefined;
      view = viewOf(typeUrl, resources);
      this.#views.set(typeUrl, view);
    }
    return view;
  }

  names(typeUrl: string, names: ReadonlySet<string>): void {
    this.#names.set(typeUrl, names);
    this.#views.delete(typeUrl);
  }

  followsNames(): boolean {
    return true;
  }

  sent(): void {}
  acked(): void {}
  nacked(): void {}
  close(): void {}
}

function viewOf(typeUrl: string, resources: readonly Resource[]): View {
  if (resources.length === 0) return emptyView(typeUrl);
  const groups = new Map<string, Resource[]>();
  for (const resource of resources) {
    const key = shardKey(resource.name);
    const group = groups.get(key);
    if (group === undefined) groups.set(key, [resource]);
    else group.push(resource);
  }
  return { typeUrl, parts: [smallTable(groups)] };
}

/** The answer to a debug request; undefined for types that are none. */
function debugResources(port: ConsolePort, typeUrl: string, names: readonly string[]): readonly Resource[] | undefined {
  if (typeUrl === DEBUG_TYPE) return names.map((name) => pageByName(port, name));
  if (!typeUrl.startsWith(PAGE_PREFIX)) return undefined;
  const page = typeUrl.slice(PAGE_PREFIX.length);
  if (page === 'syncz') return syncResources(port);
  if (page === 'config_dump') return dumpResources(port, names);
  if (!Object.hasOwn(DEBUG_PAGES, page)) return undefined;
  return names.length === 0 ? [pageResource(port, page, page, {})] : names.map((name) => pageOf(port, page, name));
}

/** A page with its query, such as `config_dump?proxyID=ratings.default`. */
function pageByName(port: ConsolePort, name: string): Resource {
  const [page = '', query = ''] = name.split('?', 2);
  return pageResource(port, name, page, queryOf(query));
}

function pageOf(port: ConsolePort, page: string, name: string): Resource {
  return pageResource(port, name, page, name.includes('=') ? queryOf(name.replace(/^\?/, '')) : { proxyID: name });
}

function queryOf(text: string): DebugQuery {
  return Object.fromEntries(new URLSearchParams(text));
}

function pageResource(port: ConsolePort, name: string, page: string, query: DebugQuery): Resource {
  const answer = debugPage(page, port, query);
  // istioctl lists the pages when it reads "404 page not found".
  const known = Object.hasOwn(DEBUG_PAGES, page);
  const missing = (message: string): string => (known ? message : `404 page not found: ${message}`);
  const text = answer.kind === 'value' ? JSON.stringify(answer.value) : missing(answer.message);
  return resourceOf(DEBUG_TYPE, name, Buffer.from(text));
}

function syncResources(port: ConsolePort): readonly Resource[] {
  return [...port.connections()].sort(orderBy(byProxy, byConnection)).map((connection) => {
    const { clusterId, namespace, version } = connection;
    const bytes = encode(CLIENT_CONFIG, {
      node: {
        id: connection.proxyId,
        metadata: {
          ...(clusterId === '' ? {} : { CLUSTER_ID: clusterId }),
          ...(version === '' ? {} : { ISTIO_VERSION: version }),
          ...(namespace === '' ? {} : { NAMESPACE: namespace }),
        },
      },
      genericXdsConfigs: [...connection.types].sort((a, b) => compareStrings(a[0], b[0])).map(genericConfig),
    });
    return resourceOf(`type.googleapis.com/${CLIENT_CONFIG}`, connection.connectionId, bytes);
  });
}

const byProxy = (a: ConnectionInfo, b: ConnectionInfo): number => compareStrings(a.proxyId, b.proxyId);
const byConnection = (a: ConnectionInfo, b: ConnectionInfo): number => compareStrings(a.connectionId, b.connectionId);

const CONFIG_STATUS = { SYNCED: 'SYNCED', 'NOT SENT': 'NOT_SENT', STALE: 'STALE', ERROR: 'ERROR' } as const;

function genericConfig([typeUrl, status]: readonly [string, TypeStatus]): {
  readonly typeUrl: string;
  readonly configStatus: (typeof CONFIG_STATUS)[keyof typeof CONFIG_STATUS];
  readonly lastUpdated?: string;
  readonly errorState?: { readonly lastUpdateAttempt?: string; readonly details: string };
} {
  const sentAt = status.sentAt === 0 ? undefined : new Date(status.sentAt).toISOString();
  return {
    typeUrl,
    configStatus: CONFIG_STATUS[syncState(status)],
    ...(sentAt === undefined ? {} : { lastUpdated: sentAt }),
    ...(status.lastError === ''
      ? {}
      : {
          errorState: { ...(sentAt === undefined ? {} : { lastUpdateAttempt: sentAt }), details: status.lastError },
        }),
  };
}

/** Nothing at all for a proxy that isn't connected here: another replica may have it. */
function dumpResources(port: ConsolePort, names: readonly string[]): readonly Resource[] {
  const [name, another] = names;
  if (name === undefined || another !== undefined) return [];
  const connection = findConnection(port, name);
  return connection === undefined ? [] : configDumpResources(connection);
}
