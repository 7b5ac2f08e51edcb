// gRPC server credentials that follow a certificate through its renewals.
// In: where the certificate is, and who says that there is another. Out: credentials. Called by the serving certificate, and by
// workers, which are told of it.

import { constants } from 'node:crypto';
import type { SecureContextOptions } from 'node:tls';
import { ServerCredentials } from '@grpc/grpc-js';

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

/** Clients may show a certificate; it is verified against the roots, and one that does not verify counts as none. */
export function servingCredentials(source: PairSource): ServerCredentials {
  return new ServingCredentials(source);
}

/** Each listening server has a watcher, which sets the context that new connections get. */
class ServingCredentials extends ServerCredentials {
  constructor(source: PairSource) {
    super({ requestCert: true, rejectUnauthorized: false }, contextOf(source.current));
    source.onChange((pair) => this.updateSecureContextOptions(contextOf(pair)));
  }

  override _equals(other: ServerCredentials): boolean {
    return this === other;
  }
}

/**
 * Without tickets that hold the session: OpenSSL would encode and decode the client's certificates for each of the two that it
 * sends, which is a third of a handshake. Agents don't resume sessions, and nobody could after five minutes or a restart.
 */
function contextOf({ certificatePem, keyPem, rootsPem }: ServingPair): SecureContextOptions {
  return { ca: rootsPem, cert: certificatePem, key: keyPem, secureOptions: constants.SSL_OP_NO_TICKET };
}
