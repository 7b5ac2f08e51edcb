// The ALPN that mesh TLS offers upstream for HTTP requests.
// A cluster offers `istio` by default, which the receiver of a port without a declared protocol takes for TCP. For requests
// that were parsed as HTTP the offer has to say so. The text comes from the metadata of the cluster that the request goes
// to, so that clusters with TLS of their own (DestinationRule SIMPLE, MUTUAL) are left alone whatever route leads there.

import type { Messages } from '../../messages/index.ts';
import { constantExtension } from '../envoy.ts';

type HttpFilter = Messages['envoy.extensions.filters.network.http_connection_manager.v3.HttpFilter'];

/** Key of cluster metadata, and name of the filter that reads it. */
export const ALPN_METADATA = 'meltemi.alpn';

/** Field below `ALPN_METADATA` with the comma-separated offer. */
export const ALPN_HTTP = 'http';

/**
 * The offer for HTTP: receivers match `istio-http/1.1` as HTTP and pick none of these words, so that the codec of the
 * connection follows its first bytes.
 */
export const ALPN_HTTP_OFFER = 'istio-http/1.1,istio';

/** `filterMetadata` that a cluster with mesh TLS carries for `alpnFilter`. */
export const ALPN_CLUSTER_METADATA: Readonly<Record<string, { readonly [field: string]: string }>> = {
  [ALPN_METADATA]: { [ALPN_HTTP]: ALPN_HTTP_OFFER },
};

const FILTER: HttpFilter = constantExtension(
  ALPN_METADATA,
  'envoy.extensions.filters.http.set_filter_state.v3.Config',
  {
    onRequestHeaders: [
      {
        objectKey: 'envoy.network.application_protocols',
        formatString: {
          textFormatSource: { inlineString: `%CLUSTER_METADATA(${ALPN_METADATA}:${ALPN_HTTP})%` },
          omitEmptyValues: true,
        },
        skipIfEmpty: true,
      },
    ],
  },
);

export function alpnFilter(): HttpFilter {
  return FILTER;
}
