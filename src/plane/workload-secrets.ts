// The workload's own certificate over SDS, for proxies without an agent: `default` and `ROOTCA`.
// Only a proxy that has proven, over TLS, to be who its node says is given any, and of that identity alone.

import { encode } from '../codec/index.ts';
import { TYPE_URL } from '../ir/draft.ts';
import type { Proxy } from '../ir/proxy.ts';
import { type Resource, resourceOf } from '../resources/resource.ts';
import type { Peer } from '../xds/port.ts';

const SECRET = 'envoy.extensions.transport_sockets.tls.v3.Secret';
const CERTIFICATE = 'default';
const ROOTS = 'ROOTCA';

/** Keys and chains, PEM, as the authority makes them. */
export interface WorkloadKeys {
  readonly chainPem: string;
  readonly keyPem: string;
  readonly rootsPem: string;
}

export interface WorkloadKeysLease {
  readonly current: WorkloadKeys | undefined;
  release(): void;
}

/** Who makes them. `changed` is never called synchronously. */
export type LeaseWorkloadKeys = (identity: string, changed: () => void) => WorkloadKeysLease;

/** The identity that the proxy may have a certificate for; undefined where none is proven. */
export function provenIdentity(proxy: Proxy, peer: Peer): string | undefined {
  if (peer.plaintext) return undefined;
  const account = proxy.metadata['SERVICE_ACCOUNT'];
  return peer.identities.find((identity) => {
    const [, namespace, name] = /^spiffe:\/\/[^/]+\/ns\/([^/]+)\/sa\/([^/]+)$/.exec(identity) ?? [];
    return namespace === proxy.namespace && (typeof account !== 'string' || account === '' || account === name);
  });
}

export function wantsWorkloadKeys(names: ReadonlySet<string>): boolean {
  return names.has(CERTIFICATE) || names.has(ROOTS);
}

const rendered = new WeakMap<WorkloadKeys, readonly Resource[]>();

/** Those of the two that are asked for, in order of name. */
export function workloadSecretResources(keys: WorkloadKeys, names: ReadonlySet<string>): readonly Resource[] {
  let both = rendered.get(keys);
  if (both === undefined) {
    both = [
      resourceOf(
        TYPE_URL.secret,
        ROOTS,
        encode(SECRET, { name: ROOTS, validationContext: { trustedCa: { inlineString: keys.rootsPem } } }),
      ),
      resourceOf(
        TYPE_URL.secret,
        CERTIFICATE,
        encode(SECRET, {
          name: CERTIFICATE,
          tlsCertificate: {
            certificateChain: { inlineString: keys.chainPem },
            privateKey: { inlineString: keys.keyPem },
          },
        }),
      ),
    ];
    rendered.set(keys, both);
  }
  return both.filter(({ name }) => names.has(name));
}
