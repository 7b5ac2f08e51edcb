// Who is at the other end of a request, for metrics: each side says it in a header that the other one takes away.
// A client's proxy names its workload in `meltemi-peer`; the server's proxy reads it, removes it, and answers with its own.
// In: the role of the chain. Out: filters. The values come from Envoy's own node, so all proxies share the text.

import type { Messages } from '../../messages/index.ts';
import type { ListenerRole } from '../context.ts';
import { constantExtension } from '../envoy.ts';

type HttpFilter = Messages['envoy.extensions.filters.network.http_connection_manager.v3.HttpFilter'];
type Rule = Messages['envoy.extensions.filters.http.header_to_metadata.v3.Config.Rule'];

/** Key of the request's metadata, and name of the filter that fills it. */
export const PEER_METADATA = 'meltemi.peer';
const HEADER = 'meltemi-peer';
const SELF_KEY = 'meltemi.self';

export interface PeerField {
  /** End of the metric's label. */
  readonly label: string;
  /** Below `PEER_METADATA`. */
  readonly key: string;
  /** CEL of its value in the node, and of whether it is there. */
  readonly node: { readonly value: string; readonly there: string };
}

const inNode = (name: string): PeerField['node'] => ({
  value: `xds.node.metadata.${name}`,
  there: `has(xds.node.metadata.${name})`,
});

const inLabels = (name: string): PeerField['node'] => ({
  value: `xds.node.metadata.LABELS['${name}']`,
  there: `has(xds.node.metadata.LABELS) && '${name}' in xds.node.metadata.LABELS`,
});

/** In the order of the header's parts. */
export const PEER_FIELDS: readonly PeerField[] = [
  { label: 'workload', key: 'workload', node: inNode('WORKLOAD_NAME') },
  { label: 'workload_namespace', key: 'namespace', node: inNode('NAMESPACE') },
  { label: 'app', key: 'app', node: inLabels('app') },
  { label: 'version', key: 'version', node: inLabels('version') },
  { label: 'canonical_service', key: 'service', node: inLabels('service.istio.io/canonical-name') },
  { label: 'canonical_revision', key: 'revision', node: inLabels('service.istio.io/canonical-revision') },
  { label: 'cluster', key: 'cluster', node: inNode('CLUSTER_ID') },
];

/** CEL of a field of the proxy's own workload. */
export function ownField({ value, there }: PeerField['node'], otherwise: string): string {
  return `${there} ? ${value} : '${otherwise}'`;
}

/** CEL of a field of the peer's workload, where it said who it is. */
export function peerField(key: string): string {
  return `metadata.filter_metadata['${PEER_METADATA}'].${key}`;
}

/** One command for each part: Envoy's CEL joins no texts. */
const SELF = PEER_FIELDS.map(({ node }) => `%CEL(${ownField(node, 'unknown')})%`).join(';');

/** Short: Envoy refuses expressions that compile to more than 100 instructions. */
const PARTS = PEER_FIELDS.map(() => '([^;]+)').join(';');

function readRules(): readonly Rule[] {
  return PEER_FIELDS.map(({ key }, index) => ({
    header: HEADER,
    onHeaderPresent: {
      metadataNamespace: PEER_METADATA,
      key,
      type: 'STRING',
      regexValueRewrite: { pattern: { regex: `^${PARTS}$` }, substitution: `\\${index + 1}` },
    },
    remove: index === PEER_FIELDS.length - 1 ? true : undefined,
  }));
}

const READ_REQUEST: HttpFilter = constantExtension(
  PEER_METADATA,
  'envoy.extensions.filters.http.header_to_metadata.v3.Config',
  { requestRules: readRules() },
);

const READ_RESPONSE: HttpFilter = constantExtension(
  PEER_METADATA,
  'envoy.extensions.filters.http.header_to_metadata.v3.Config',
  { responseRules: readRules() },
);

const overwrite = (value: string) =>
  ({
    append: { header: { key: HEADER, value }, appendAction: 'OVERWRITE_IF_EXISTS_OR_ADD' },
  }) as const;

const TELL_SERVER: HttpFilter = constantExtension(
  `${PEER_METADATA}-self`,
  'envoy.extensions.filters.http.header_mutation.v3.HeaderMutation',
  { mutations: { requestMutations: [overwrite(SELF)] } },
);

/** The answer as one value, so that the mutation below can choose between it and nothing. */
const SELF_STATE: HttpFilter = constantExtension(SELF_KEY, 'envoy.extensions.filters.http.set_filter_state.v3.Config', {
  onRequestHeaders: [
    { objectKey: SELF_KEY, factoryKey: 'envoy.string', formatString: { textFormatSource: { inlineString: SELF } } },
  ],
});

/** Only who named itself is answered: others would see a header that nobody takes away. Empty values are left out. */
const TELL_CLIENT: HttpFilter = constantExtension(
  `${PEER_METADATA}-answer`,
  'envoy.extensions.filters.http.header_mutation.v3.HeaderMutation',
  {
    mutations: {
      responseMutations: [
        { remove: HEADER },
        overwrite(`%CEL('${PEER_METADATA}' in metadata.filter_metadata ? filter_state['${SELF_KEY}'] : '')%`),
      ],
    },
  },
);

export function peerFilters(role: ListenerRole): readonly HttpFilter[] {
  return role === 'sidecar-inbound' ? [READ_REQUEST, SELF_STATE, TELL_CLIENT] : [READ_RESPONSE, TELL_SERVER];
}
