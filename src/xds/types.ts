// What the protocol needs to know of each resource type: how it is subscribed to, how it is answered, in which order.
// In: a type URL. Out: its traits. Called by the exchanges and the streams; unlisted types get the defaults.

const ENVOY = 'type.googleapis.com/envoy.';

export const CLUSTER = `${ENVOY}config.cluster.v3.Cluster`;
export const ENDPOINT = `${ENVOY}config.endpoint.v3.ClusterLoadAssignment`;
export const LISTENER = `${ENVOY}config.listener.v3.Listener`;
export const ROUTE = `${ENVOY}config.route.v3.RouteConfiguration`;
export const SCOPED_ROUTE = `${ENVOY}config.route.v3.ScopedRouteConfiguration`;
export const VIRTUAL_HOST = `${ENVOY}config.route.v3.VirtualHost`;
export const SECRET = `${ENVOY}extensions.transport_sockets.tls.v3.Secret`;
export const EXTENSION = `${ENVOY}config.core.v3.TypedExtensionConfig`;
export const NAME_TABLE = 'type.googleapis.com/istio.networking.nds.v1.NameTable';
/** Sent by agents of machines outside Kubernetes, possibly before anything else; asks for nothing. */
export const HEALTH = 'type.googleapis.com/istio.v1.HealthInformation';

export interface TypeTraits {
  /** Place in the order of sending. */
  readonly rank: number;
  /** An empty first list of names asks for everything. */
  readonly legacyWildcard: boolean;
  /** In the state-of-the-world protocol a response states all resources: what it leaves out is deleted. */
  readonly wholeWorld: boolean;
  /** Short name of the type in metrics and logs. */
  readonly label: string;
  /** The label as metrics take it: always this object, so that its series is found by identity. */
  readonly labels: { readonly type: string };
  /** The names are arguments of a question: the answer is all that the view then holds, under whatever names. */
  readonly question?: boolean;
}

const traits: ReadonlyMap<string, TypeTraits> = new Map(
  (
    [
      [CLUSTER, 'cds', true, true],
      [ENDPOINT, 'eds', false, false],
      [LISTENER, 'lds', true, true],
      [ROUTE, 'rds', false, false],
      [SCOPED_ROUTE, 'srds', true, false],
      [VIRTUAL_HOST, 'vhds', true, false],
      [SECRET, 'sds', false, false],
      [EXTENSION, 'ecds', false, false],
      [NAME_TABLE, 'nds', true, false],
    ] as const
  ).map(([typeUrl, label, legacyWildcard, wholeWorld], rank) => [
    typeUrl,
    { rank, legacyWildcard, wholeWorld, label, labels: { type: label } },
  ]),
);

const OTHER: TypeTraits = {
  rank: traits.size,
  legacyWildcard: true,
  wholeWorld: false,
  label: 'other',
  labels: { type: 'other' },
};
const DEBUG: TypeTraits = { ...OTHER, label: 'debug', labels: { type: 'debug' }, question: true };

export function traitsOf(typeUrl: string): TypeTraits {
  return traits.get(typeUrl) ?? (typeUrl.startsWith('istio.io/debug') ? DEBUG : OTHER);
}
