// What a gRPC peer showed of itself, before anybody believes it.
// In: a server call; out: plain values, so that authenticators need no gRPC. Called by service and by the xDS server.

import type { Metadata } from '@grpc/grpc-js';

export interface PeerCredentials {
  /** DER of the peer's certificate, present only if TLS verified its chain. */
  readonly certificate: Uint8Array | undefined;
  readonly bearer: string | undefined;
  readonly clusterId: string | undefined;
  readonly address: string;
}

export interface AuthenticatedCall {
  readonly metadata: Metadata;
  getAuthContext(): { readonly sslPeerCertificate?: { readonly raw: Uint8Array } | undefined };
  getPeer(): string;
}

const BEARER = /^bearer /i;

/** Collects the credentials of a call. */
export function credentialsOf(call: AuthenticatedCall): PeerCredentials {
  const bearer = textsOf(call.metadata, 'authorization').find((value) => BEARER.test(value));
  const clusters = textsOf(call.metadata, 'clusterid');
  return {
    certificate: call.getAuthContext().sslPeerCertificate?.raw,
    bearer: bearer?.replace(BEARER, '').trim(),
    // A header sent twice could come from a proxy in between and from the peer: neither is believed.
    clusterId: clusters.length === 1 ? clusters[0] : undefined,
    address: call.getPeer(),
  };
}

function textsOf(metadata: Metadata, name: string): string[] {
  return metadata.get(name).map((value) => value.toString());
}
