// What the agent asks the control plane for in the stream of its Envoy: names for its DNS proxy, further trusted roots.
// In: the parts that want it; out: TrafficParts for the relay. Called by agent.ts.

import { X509Certificate } from 'node:crypto';
import { splitCertificates } from '../ca/pem.ts';
import { decode } from '../codec/index.ts';
import type { WorkloadCertificates } from './certificates.ts';
import type { DnsServer } from './dns/server.ts';
import type { OwnSubscription } from './relay-traffic.ts';

const TYPE_PREFIX = 'type.googleapis.com/';

export function nameTableSubscription(dns: DnsServer): OwnSubscription {
  return {
    typeUrl: `${TYPE_PREFIX}istio.networking.nds.v1.NameTable`,
    take: ([table]) => {
      if (table !== undefined) dns.replace(table);
    },
  };
}

/** Roots of several meshes or of an authority that is about to be replaced. Each has to be the certificate of one. */
export function trustBundleSubscription(certificates: WorkloadCertificates): OwnSubscription {
  return {
    typeUrl: `${TYPE_PREFIX}istio.mesh.v1alpha1.ProxyConfig`,
    take: ([config]) => {
      if (config === undefined) return;
      const { caCertificatesPem = [] } = decode('istio.mesh.v1alpha1.ProxyConfig', config);
      for (const [index, pem] of caCertificatesPem.entries()) checkRoot(pem, index);
      certificates.trustAlso(caCertificatesPem.join('\n'));
    },
  };
}

function checkRoot(pem: string, index: number): void {
  const [first] = splitCertificates(pem);
  if (first === undefined || !new X509Certificate(first).ca)
    throw new Error(`ca_certificates_pem[${index}]: expected the certificate of an authority`);
}
