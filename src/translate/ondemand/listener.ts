// Listeners of proxies that ask for clusters when they first need them. In: a listener's draft as it is for everybody.
// Out: the same with what makes Envoy ask, and the clusters that it names otherwise. Called by index.ts.

import { decodeShallow, encodeJson, Encoded, lasting, openAny } from '../../codec/index.ts';
import type { Draft } from '../../ir/draft.ts';
import { memo } from '../../lib/memo.ts';
import type { Messages } from '../../messages/index.ts';
import { lazyDraftOf } from '../draft.ts';
import { ADS_SECRET_SOURCE, constantExtension, TYPE_PREFIX } from '../envoy.ts';
import { addClusterNames } from './references.ts';

const LISTENER = 'envoy.config.listener.v3.Listener';
const CHAIN = 'envoy.config.listener.v3.FilterChain';
const FILTER = 'envoy.config.listener.v3.Filter';
const MANAGER = `${TYPE_PREFIX}envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager`;
const TCP_PROXY = `${TYPE_PREFIX}envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy`;

/** Over the stream that brought the listener. */
const SOURCE = ADS_SECRET_SOURCE;

/** How long the first request for a service waits when the control plane doesn't answer. */
const TIMEOUT = '15s';

/** First of the HTTP filters: those after it see a request only when all that it needs is there. */
const HTTP_ON_DEMAND = constantExtension(
  'envoy.filters.http.on_demand',
  'envoy.extensions.filters.http.on_demand.v3.OnDemand',
  { odcds: { source: SOURCE, timeout: TIMEOUT } },
);

type TcpOnDemand = Messages['envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy.OnDemand'];
const TCP_ON_DEMAND: TcpOnDemand = lasting({ odcdsConfig: SOURCE, timeout: TIMEOUT });

type Fields = Readonly<Record<string, unknown>>;

export interface OnDemandListener {
  readonly draft: Draft;
  /** Candidates for clusters that the listener needs without asking. */
  readonly clusters: readonly string[];
  /** Clusters that its TCP proxies ask for. */
  readonly tcp: readonly string[];
}

interface Found {
  readonly clusters: Set<string>;
  readonly tcp: Set<string>;
}

/** Counted by tests: one run for each listener. */
export const onDemandListener = memo((draft: Draft): OnDemandListener => {
  const found: Found = { clusters: new Set(), tcp: new Set() };
  const { filterChains, defaultFilterChain, ...rest } = decodeShallow(LISTENER, draft.bytes) as Fields;
  addReferences(rest, found.clusters);
  const chains = listOf(filterChains);
  const after = chains.map((chain) => changedChain(chain, found));
  const byDefault = defaultFilterChain === undefined ? undefined : changedChain(defaultFilterChain, found);
  const [clusters, tcp] = [[...found.clusters], [...found.tcp]];
  if (byDefault === defaultFilterChain && after.every((chain, i) => chain === chains[i]))
    return { draft, clusters, tcp };
  const fields = { ...rest, filterChains: after, defaultFilterChain: byDefault };
  const bytes = encodeJson(LISTENER, fields);
  return { draft: lazyDraftOf(LISTENER, draft.name, bytes, () => draft.origins), clusters, tcp };
});

/** The chain as it was when no filter of it is changed. */
function changedChain(chain: unknown, found: Found): unknown {
  const { filters, ...rest } = decodeShallow(CHAIN, bytesOf(chain)) as Fields;
  addReferences(rest, found.clusters);
  const before = listOf(filters);
  const after = before.map((filter) => changedFilter(filter, found));
  return after.every((filter, i) => filter === before[i]) ? chain : { ...rest, filters: after };
}

function changedFilter(filter: unknown, found: Found): unknown {
  const fields = decodeShallow(FILTER, bytesOf(filter)) as Fields;
  const settings = openAny(fields['typedConfig']);
  const url = settings?.['@type'];
  if (settings !== undefined && url === MANAGER && settings['rds'] !== undefined) {
    addReferences(settings, found.clusters);
    const httpFilters = [HTTP_ON_DEMAND, ...listOf(settings['httpFilters'])];
    return { ...fields, typedConfig: { ...settings, httpFilters } };
  }
  if (settings !== undefined && url === TCP_PROXY && goesOut(settings)) {
    const { cluster, weightedClusters, ...others } = settings;
    if (typeof cluster === 'string') found.tcp.add(cluster);
    addReferences({ weightedClusters }, found.tcp);
    addReferences(others, found.clusters);
    return { ...fields, typedConfig: { ...settings, onDemand: TCP_ON_DEMAND } };
  }
  addReferences(fields, found.clusters);
  return filter;
}

/** Clusters that every proxy has need not be asked for. */
function goesOut({ cluster, weightedClusters, onDemand }: Fields): boolean {
  if (onDemand !== undefined) return false;
  return weightedClusters !== undefined || (typeof cluster === 'string' && cluster.startsWith('outbound|'));
}

/** Of the parts that are still encoded: plain text fields are names and statistics. */
function addReferences(fields: Fields, names: Set<string>): void {
  for (const value of Object.values(fields)) {
    for (const part of Array.isArray(value) ? (value as unknown[]) : [value]) {
      if (part instanceof Encoded) addClusterNames(part.bytes, names);
    }
  }
}

function bytesOf(value: unknown): Uint8Array {
  return value instanceof Encoded ? value.bytes : new Uint8Array();
}

function listOf(value: unknown): readonly unknown[] {
  return Array.isArray(value) ? value : [];
}
