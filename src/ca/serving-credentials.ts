// gRPC server credentials that follow a certificate through its renewals.
// In: where the certificate is, and who says that there is another. Out: credentials. Called by the serving certificate, and by
// workers, which are told of it.

import { experimental, type ServerCredentials } from '@grpc/grpc-js';

export interface ServingPair {
  readonly certificatePem: string;
  readonly keyPem: string;
  /** Roots for client certificates. */
  readonly rootsPem: string;
}

export interface PairSource {
  readonly current: ServingPair;
  /** Hears of each new pair; returns the unsubscribe. */
  onChange(listener: (pair: ServingPair) => void): () => void;
}

type CaListener = (update: { caCertificate: Buffer } | null) => void;
type IdentityListener = (update: { certificate: Buffer; privateKey: Buffer } | null) => void;

/** Clients may show a certificate; it is verified against the roots, and one that does not verify counts as none. */
export function servingCredentials(source: PairSource): ServerCredentials {
  const caListeners = new Set<CaListener>();
  const identityListeners = new Set<IdentityListener>();
  source.onChange((pair) => {
    for (const listener of caListeners) listener({ caCertificate: Buffer.from(pair.rootsPem) });
    for (const listener of identityListeners) listener(identityOf(pair));
  });
  // grpc-js registers its own watcher after it has added its listeners: answering in the same tick would be missed.
  const provider = {
    addCaCertificateListener: (listener: CaListener) => {
      caListeners.add(listener);
      queueMicrotask(() => listener({ caCertificate: Buffer.from(source.current.rootsPem) }));
    },
    removeCaCertificateListener: (listener: CaListener) => void caListeners.delete(listener),
    addIdentityCertificateListener: (listener: IdentityListener) => {
      identityListeners.add(listener);
      queueMicrotask(() => listener(identityOf(source.current)));
    },
    removeIdentityCertificateListener: (listener: IdentityListener) => void identityListeners.delete(listener),
  };
  return experimental.createCertificateProviderServerCredentials(provider, provider, false);
}

function identityOf({ certificatePem, keyPem }: ServingPair): { certificate: Buffer; privateKey: Buffer } {
  return { certificate: Buffer.from(certificatePem), privateKey: Buffer.from(keyPem) };
}
