// Who speaks gRPC, and what others are told. Called by those that take streams from an HTTP/2 server.

import type { IncomingHttpHeaders, ServerHttp2Stream } from 'node:http2';

export function isGrpc(headers: IncomingHttpHeaders): boolean {
  return /^application\/grpc(?:$|[+;])/.test(headers['content-type'] ?? '');
}

/** Whoever doesn't speak gRPC gets a status of HTTP. */
export function refuse(stream: ServerHttp2Stream): void {
  stream.on('error', () => {});
  stream.respond({ ':status': 415 }, { endStream: true });
}
