// A call of the discovery service, with what its authenticators and its bookkeeping want to know of it.
// In: a stream and its headers. Out: see ServerCall; who calls, and what the connection has taken. Called by the server.

import type { Http2Session } from 'node:http2';
import { TLSSocket } from 'node:tls';
import { Metadata } from '@grpc/grpc-js';
import { ServerCall } from '../grpc/call.ts';
import type { Outlet } from './stream.ts';

/** Who calls, as an authenticator asks. */
export interface CallPeer {
  readonly metadata: Metadata;
  /** The peer's certificate, if TLS has verified it. */
  getAuthContext(): { readonly sslPeerCertificate?: { readonly raw: Uint8Array } | undefined };
  /** `address:port`. */
  getPeer(): string;
}

/** What grpc-js withholds from services as well. */
const OWN_HEADERS = ['grpc-timeout', 'grpc-encoding', 'grpc-accept-encoding', 'accept-encoding', 'te', 'content-type'];

/** HTTP/2's own default, for streams that are listened to. */
const WINDOW = 65_535;
const widened = new WeakSet<Http2Session>();

export class GrpcCall extends ServerCall implements Outlet, CallPeer {
  #metadata: Metadata | undefined;

  get metadata(): Metadata {
    if (this.#metadata === undefined) {
      this.#metadata = Metadata.fromHttp2Headers(this.headers);
      for (const name of OWN_HEADERS) this.#metadata.remove(name);
    }
    return this.#metadata;
  }

  /** Lets the client send as much at a time as it would to anybody; the first time on this connection. */
  widen(): void {
    const { session } = this.stream;
    if (session === undefined || session.destroyed || session.closed || widened.has(session)) return;
    widened.add(session);
    session.settings({ initialWindowSize: WINDOW });
  }

  getPeer(): string {
    const socket = this.stream.session?.socket;
    return socket?.remoteAddress === undefined ? 'unknown' : `${socket.remoteAddress}:${socket.remotePort}`;
  }

  getAuthContext(): { readonly sslPeerCertificate?: { readonly raw: Uint8Array } | undefined } {
    // The session's socket is a proxy that answers for the TLS socket's class as well.
    const socket: unknown = this.stream.session?.socket;
    if (!(socket instanceof TLSSocket) || !socket.authorized) return {};
    const certificate = socket.getPeerCertificate() as { readonly raw?: Uint8Array } | undefined;
    return certificate?.raw === undefined ? {} : { sslPeerCertificate: { raw: certificate.raw } };
  }

  taken(): number {
    return this.stream.session?.socket?.bytesWritten ?? 0;
  }
}
