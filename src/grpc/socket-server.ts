// gRPC for one neighbour: methods served on a unix socket.
// In: a path in the file system, handlers by `:path`. Out: calls to the handlers. Called by the agent for its Envoy.

import { chmod, mkdir, rm } from 'node:fs/promises';
import { createServer, type ServerHttp2Session } from 'node:http2';
import { dirname } from 'node:path';
import type { Timers } from '../lib/ports.ts';
import { ServerCall } from './call.ts';
import { CODES } from './errors.ts';
import { isGrpc, refuse } from './refuse.ts';

export interface SocketServer {
  /** Ends at once, with all connections. */
  close(): void;
}

/** A call of which so much waits for the neighbour to read is held back, bytes. */
const HIGH_WATER = 64 * 1024;

/** Listens on a unix socket that only this user may open; a socket left by a predecessor is replaced. */
export async function serveOnSocket(
  path: string,
  routes: ReadonlyMap<string, (call: ServerCall) => void>,
  timers: Timers,
): Promise<SocketServer> {
  await mkdir(dirname(path), { recursive: true });
  await rm(path, { force: true });
  const sessions = new Set<ServerHttp2Session>();
  const server = createServer({ maxSessionMemory: Number.MAX_SAFE_INTEGER });
  server.on('session', (session) => {
    sessions.add(session);
    session.once('close', () => sessions.delete(session));
    // Errors of a connection end the streams on it, which is all that anybody has to know.
    session.on('error', () => undefined);
  });
  const options = {
    timers,
    maxMessage: Number.POSITIVE_INFINITY,
    highWater: HIGH_WATER,
    unsent: { add: () => undefined },
  };
  server.on('stream', (stream, headers) => {
    if (!isGrpc(headers)) return refuse(stream);
    const call = new ServerCall(stream, headers, options);
    const route = routes.get(String(headers[':path']));
    if (route === undefined) call.end(CODES.UNIMPLEMENTED, `unknown method ${headers[':path']}`, false);
    else route(call);
  });
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject);
    server.listen(path, resolve);
  });
  await chmod(path, 0o600);
  return {
    close: () => {
      server.close();
      for (const session of sessions) session.destroy();
    },
  };
}
