// The answer to a syncz question: which proxies there are and what each has taken, as rows and as tables.
// In: the resources of an answer. Out: rows, table cells. Called by proxy-status and version.

import { decodeJson } from '../codec/index.ts';
import { parseControlPlaneId } from '../console/control-plane-id.ts';
import { compareStrings } from '../lib/order.ts';
import { ageText } from './age.ts';
import type { DebugAnswer } from './xds-debug.ts';

export interface ProxyRow {
  readonly proxy: string;
  readonly namespace: string;
  readonly cluster: string;
  /** Replica of the control plane. */
  readonly replica: string;
  readonly version: string;
  readonly types: ReadonlyMap<string, TypeCell>;
  /** envoy.service.status.v3.ClientConfig */
  readonly message: Json;
}

export interface TypeCell {
  readonly status: string;
  /** ms since the epoch. */
  readonly updated: number | undefined;
}

type Json = Readonly<Record<string, unknown>>;

const ENVOY = 'type.googleapis.com/envoy.config.';
/** In the order of the columns. */
const COLUMNS: readonly (readonly [typeUrl: string, name: string])[] = [
  [`${ENVOY}cluster.v3.Cluster`, 'CDS'],
  [`${ENVOY}listener.v3.Listener`, 'LDS'],
  [`${ENVOY}endpoint.v3.ClusterLoadAssignment`, 'EDS'],
  [`${ENVOY}route.v3.RouteConfiguration`, 'RDS'],
  [`${ENVOY}core.v3.TypedExtensionConfig`, 'ECDS'],
];
const OTHERS: Readonly<Record<string, string>> = {
  'type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.Secret': 'SDS',
  'type.googleapis.com/istio.networking.nds.v1.NameTable': 'NDS',
  'type.googleapis.com/istio.mesh.v1alpha1.ProxyConfig': 'PCDS',
};
const IGNORED = 'IGNORED';

/** The proxies of an answer, by name. */
export function proxyRows(answer: DebugAnswer): readonly ProxyRow[] {
  const replica = parseControlPlaneId(answer.identifier)?.id ?? answer.identifier;
  return answer.resources
    .filter(({ typeUrl }) => typeUrl.endsWith('/envoy.service.status.v3.ClientConfig'))
    .map(({ bytes }) => rowOf(decodeJson('envoy.service.status.v3.ClientConfig', bytes) as Json, replica))
    .sort((a, b) => compareStrings(a.proxy, b.proxy));
}

function rowOf(message: Json, replica: string): ProxyRow {
  const node = (message['node'] ?? {}) as Json;
  const metadata = (node['metadata'] ?? {}) as Json;
  const meta = (key: string): string => text(metadata[key]);
  const configs = (message['genericXdsConfigs'] ?? []) as readonly Json[];
  return {
    proxy: text(node['id']),
    namespace: meta('NAMESPACE'),
    cluster: meta('CLUSTER_ID'),
    replica,
    version: meta('ISTIO_VERSION'),
    types: new Map(configs.map((config) => [text(config['typeUrl']), cellOf(config)])),
    message,
  };
}

function cellOf(config: Json): TypeCell {
  const updated = config['lastUpdated'];
  return {
    status: text(config['configStatus']) || 'UNKNOWN',
    updated: typeof updated === 'string' ? Date.parse(updated) : undefined,
  };
}

function text(value: unknown): string {
  return typeof value === 'string' ? value : '';
}

/** Which types each proxy is subscribed to. */
export function subscriptionTable(rows: readonly ProxyRow[]): readonly (readonly string[])[] {
  const order = typeOrder(rows, []);
  return [
    ['NAME', 'CLUSTER', 'ISTIOD', 'VERSION', 'SUBSCRIBED TYPES'],
    ...rows.map((row) => {
      const names = order
        .filter((typeUrl) => cellText(row.types.get(typeUrl), 0) !== IGNORED)
        .map((typeUrl) => shortName(typeUrl));
      const subscribed = names.length === 0 ? '0' : `${names.length} (${names.join(',')})`;
      return [row.proxy, row.cluster, row.replica, row.version, subscribed];
    }),
  ];
}

/** How far each proxy is with each type, and since when. */
export function stateTable(rows: readonly ProxyRow[], now: number): readonly (readonly string[])[] {
  const order = typeOrder(
    rows,
    COLUMNS.map(([typeUrl]) => typeUrl),
  );
  return [
    ['NAME', 'CLUSTER', ...order.map(shortName), 'ISTIOD', 'VERSION'],
    ...rows.map((row) => [
      row.proxy,
      row.cluster,
      ...order.map((typeUrl) => cellText(row.types.get(typeUrl), now)),
      row.replica,
      row.version,
    ]),
  ];
}

/** The types that occur, and those of `always`: the usual ones first, then the others by name. */
function typeOrder(rows: readonly ProxyRow[], always: readonly string[]): readonly string[] {
  const seen = new Set([...always, ...rows.flatMap((row) => [...row.types.keys()])]);
  const usual = COLUMNS.map(([typeUrl]) => typeUrl).filter((typeUrl) => seen.delete(typeUrl));
  return [...usual, ...[...seen].sort(compareStrings)];
}

function shortName(typeUrl: string): string {
  return COLUMNS.find(([url]) => url === typeUrl)?.[1] ?? OTHERS[typeUrl] ?? typeUrl;
}

function cellText(cell: TypeCell | undefined, now: number): string {
  if (cell === undefined || cell.status === 'UNKNOWN') return IGNORED;
  if (cell.status === 'NOT_SENT') return 'NOT SENT';
  return cell.updated === undefined ? cell.status : `${cell.status} (${ageText(now - cell.updated)})`;
}
