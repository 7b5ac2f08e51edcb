// Some methods of a gRPC server served below it: their HTTP/2 streams go to handlers here, all others stay where they are.
// In: a server, an address, handlers by path. Out: a bound port. Called by the xDS server. The server keeps everything that
// belongs to a connection: TLS and its renewal, age, GOAWAY, shutdown.

import type { Http2Server, IncomingHttpHeaders, ServerHttp2Session, ServerHttp2Stream } from 'node:http2';
import type { Socket } from 'node:net';
import type { Server, ServerCredentials } from '@grpc/grpc-js';
import { accept } from '../grpc/accept.ts';
import { isGrpc, refuse } from '../grpc/refuse.ts';
import type { ListenAddress } from '../lib/listen.ts';

const HIDDEN = 'the gRPC server hides its HTTP/2 server';

export type StreamHandler = (stream: ServerHttp2Stream, headers: IncomingHttpHeaders) => void;
export interface Routes {
  /** By `:path`. */
  readonly streams: ReadonlyMap<string, StreamHandler>;
  /** Told of each new connection. */
  readonly session: (session: ServerHttp2Session) => void;
}

type Forward = (stream: ServerHttp2Stream, headers: IncomingHttpHeaders, flags: number) => void;

/**
 * Binds a server to an address; resolves to the port. Streams whose `:path` is among the routes go there. `failed` hears of
 * connections that could not be accepted.
 */
export async function bindWithRoutes(
  server: Server,
  address: ListenAddress,
  credentials: ServerCredentials,
  routes: Routes,
  failed: (error: Error) => void,
): Promise<number> {
  const { http2, inject } = routed(server, credentials, routes);
  const acceptor = await accept(address, inject, { failed });
  // The gRPC server is what is shut down, maybe while this began to listen.
  http2.once('close', () => acceptor.close());
  if (!http2ServersOf(server).includes(http2)) acceptor.close();
  return acceptor.port;
}

/** As `bindWithRoutes`, for connections that others have accepted and hand over, before TLS. */
export function injectorWithRoutes(
  server: Server,
  credentials: ServerCredentials,
  routes: Routes,
): (connection: Socket) => void {
  return routed(server, credentials, routes).inject;
}

interface Routed {
  readonly http2: Http2Server;
  readonly inject: (connection: Socket) => void;
}

function routed(server: Server, credentials: ServerCredentials, routes: Routes): Routed {
  const before = new Set(http2ServersOf(server));
  const injector = server.createConnectionInjector(credentials);
  const http2 = http2ServersOf(server).find((each) => !before.has(each));
  if (http2 === undefined) throw new Error(HIDDEN);
  route(http2, routes);
  return { http2, inject: (connection) => injector.injectConnection(connection) };
}

/**
 * Bytes that a client may send on a stream before anybody listens to it. Who a proxy is and what it wants at first fit in;
 * what it states that it has doesn't.
 */
export const FIRST_WINDOW = 16 * 1024;

function route(http2: Http2Server, { streams, session }: Routes): void {
  http2.on('session', session);
  http2.updateSettings({ initialWindowSize: FIRST_WINDOW });
  const forwards = http2.listeners('stream') as Forward[];
  http2.removeAllListeners('stream');
  http2.on('stream', (stream, headers, flags) => {
    const path = headers[':path'];
    const handler = typeof path === 'string' ? streams.get(path) : undefined;
    if (handler === undefined) for (const forward of forwards) forward(stream, headers, flags);
    else if (isGrpc(headers)) handler(stream, headers);
    else refuse(stream);
  });
}

/** grpc-js keeps its HTTP/2 servers to itself, and has no other way to take a stream from it. */
function http2ServersOf(server: Server): readonly Http2Server[] {
  const { http2Servers } = server as unknown as { readonly http2Servers?: ReadonlyMap<Http2Server, unknown> };
  if (http2Servers === undefined) throw new Error(HIDDEN);
  return [...http2Servers.keys()];
}
