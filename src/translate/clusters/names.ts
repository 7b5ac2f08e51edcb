// Names of clusters, as every Istio tool expects them.

/** `outbound|PORT|SUBSET|HOST` */
export function outboundClusterName(port: number | string, subset: string, host: string): string {
  return `outbound|${port}|${subset}|${host}`;
}

/** `outbound_.PORT_.SUBSET_.HOST`: the SNI of mesh traffic, and the cluster of that name on AUTO_PASSTHROUGH gateways. */
export function sniClusterName(port: number | string, subset: string, host: string): string {
  return `outbound_.${port}_.${subset}_.${host}`;
}

/** `inbound|TARGETPORT||` */
export function inboundClusterName(targetPort: number): string {
  return `inbound|${targetPort}||`;
}

export const BLACK_HOLE_CLUSTER = 'BlackHoleCluster';
export const PASSTHROUGH_CLUSTER = 'PassthroughCluster';
export const INBOUND_PASSTHROUGH_CLUSTER = 'InboundPassthroughCluster';
export const DYNAMIC_DNS_CLUSTER = 'AllowAnyDynamicDNSCluster';
