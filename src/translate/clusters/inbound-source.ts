// The source address of what a sidecar hands to its own workload.

import type { IpFamily } from '../../ir/proxy.ts';
import type { Cluster } from '../../messages/index.ts';

const V4 = { address: '127.0.0.6', portValue: 0 } as const;
const V6 = { address: '::6', portValue: 0 } as const;

/**
 * Traffic from this address is left alone by the capture rules: it has been through the sidecar already.
 * `bothFamilies`: the destination may be of either where the proxy is, and the source has to be of the same.
 */
export function inboundSource(family: IpFamily, bothFamilies = false): Partial<Cluster> {
  if (family === 'v6') return { upstreamBindConfig: { sourceAddress: V6 } };
  return {
    upstreamBindConfig: {
      sourceAddress: V4,
      extraSourceAddresses: bothFamilies && family === 'dual' ? [{ address: V6 }] : undefined,
    },
  };
}
