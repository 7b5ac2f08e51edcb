// The clusters that every proxy has whatever the mesh holds.

import { anyOf } from '../../codec/index.ts';
import type { Draft } from '../../ir/draft.ts';
import { memo } from '../../lib/memo.ts';
import type { Cluster } from '../../messages/index.ts';
import { draftOf } from '../draft.ts';
import type { ClusterContext } from './context.ts';
import { anyDnsCache } from './discovery.ts';
import { inboundSource } from './inbound-source.ts';
import { BLACK_HOLE_CLUSTER, DYNAMIC_DNS_CLUSTER, INBOUND_PASSTHROUGH_CLUSTER, PASSTHROUGH_CLUSTER } from './names.ts';
import { PRESERVE_CASE } from './protocol.ts';
import { circuitBreakers, connectTimeout, tcpKeepalive } from './settings.ts';
import { anyHostTls, type UpstreamTls } from './tls.ts';
import type { MeshSettings } from '../mesh.ts';

const CLUSTER = 'envoy.config.cluster.v3.Cluster';
const OPTIONS = 'envoy.extensions.upstreams.http.v3.HttpProtocolOptions';

/** Idle HTTP connections to unknown hosts are given up sooner than Envoy's hour: nobody counts them. */
const PASSTHROUGH_IDLE = '300s';

export const staticClusters = memo((context: ClusterContext, dynamicDns: boolean): readonly Draft[] => {
  const { mesh } = context;
  const clusters = [blackHole(mesh)];
  if (context.type === 'sidecar') {
    clusters.push(passthrough(PASSTHROUGH_CLUSTER, context, {}));
    clusters.push(passthrough(INBOUND_PASSTHROUGH_CLUSTER, context, inboundSource(context.family, true)));
    if (dynamicDns) clusters.push(anyDynamicDns(mesh, context));
  }
  return clusters.map((cluster) => draftOf(CLUSTER, cluster.name ?? '', cluster, []));
});

function blackHole(mesh: MeshSettings): Cluster {
  return {
    name: BLACK_HOLE_CLUSTER,
    altStatName: `${BLACK_HOLE_CLUSTER};`,
    type: 'STATIC',
    ...connectTimeout(undefined, mesh),
  };
}

function passthrough(name: string, { mesh, preserveCase }: ClusterContext, source: Partial<Cluster>): Cluster {
  const pool = mesh.defaultTrafficPolicy?.connectionPool;
  return {
    name,
    altStatName: `${PASSTHROUGH_CLUSTER};`,
    type: 'ORIGINAL_DST',
    lbPolicy: 'CLUSTER_PROVIDED',
    ...connectTimeout(pool, mesh),
    ...circuitBreakers(pool),
    ...tcpKeepalive(pool, mesh),
    ...followDownstream(preserveCase),
    ...source,
  };
}

/** The protocol of the client is the best guess for a host that nothing is known of. */
function followDownstream(preserveCase: boolean): Partial<Cluster> {
  return {
    typedExtensionProtocolOptions: {
      [OPTIONS]: anyOf(OPTIONS, {
        commonHttpProtocolOptions: { idleTimeout: PASSTHROUGH_IDLE },
        useDownstreamProtocolConfig: {
          httpProtocolOptions: preserveCase ? PRESERVE_CASE : {},
          http2ProtocolOptions: {},
        },
      }),
    },
  };
}

function namedByRequest({ autoSni, autoSanValidation }: UpstreamTls): Partial<Cluster> {
  return {
    typedExtensionProtocolOptions: {
      [OPTIONS]: anyOf(OPTIONS, {
        explicitHttpConfig: { httpProtocolOptions: {} },
        upstreamHttpProtocolOptions: {
          autoSni: autoSni || undefined,
          autoSanValidation: autoSanValidation || undefined,
        },
      }),
    },
  };
}

function anyDynamicDns(mesh: MeshSettings, context: ClusterContext): Cluster {
  const { tls } = mesh.outboundTrafficPolicy;
  const upstream = anyHostTls(tls, context);
  return {
    name: DYNAMIC_DNS_CLUSTER,
    altStatName: `${DYNAMIC_DNS_CLUSTER};`,
    lbPolicy: 'CLUSTER_PROVIDED',
    ...connectTimeout(undefined, mesh),
    ...circuitBreakers(undefined),
    clusterType: {
      name: 'envoy.clusters.dynamic_forward_proxy',
      typedConfig: anyOf('envoy.extensions.clusters.dynamic_forward_proxy.v3.ClusterConfig', {
        dnsCacheConfig: anyDnsCache(context.family, mesh, context.dnsProxy),
        // Where the certificate is not verified by the name that was asked for, that has to be said.
        allowInsecureClusterOptions: upstream?.autoSni === true && upstream.autoSanValidation ? undefined : true,
      }),
    },
    ...(upstream === undefined ? followDownstream(context.preserveCase) : namedByRequest(upstream)),
    ...upstream?.fields,
  };
}
