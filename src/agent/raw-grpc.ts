// gRPC without message classes: bytes in, bytes out, over a unix socket. Called by relay and sds.

import { chmod, mkdir, rm } from 'node:fs/promises';
import { dirname } from 'node:path';
import { type MethodDefinition, Server, ServerCredentials, type UntypedServiceImplementation } from '@grpc/grpc-js';

/** grpc-js hands the payload of a frame as a Buffer of its own: it may be kept and passed on. */
export const sameBytes = (bytes: Buffer): Buffer => bytes;

/** A method whose messages stay bytes. */
export function rawMethod(path: string, kind: 'bidi' | 'unary'): MethodDefinition<Buffer, Buffer> {
  return {
    path,
    requestStream: kind === 'bidi',
    responseStream: kind === 'bidi',
    requestSerialize: sameBytes,
    requestDeserialize: sameBytes,
    responseSerialize: sameBytes,
    responseDeserialize: sameBytes,
  };
}

/** Listens on a unix socket that only this user may open; a socket left by a predecessor is replaced. */
export async function serveOnSocket(
  path: string,
  methods: Readonly<Record<string, MethodDefinition<Buffer, Buffer>>>,
  handlers: UntypedServiceImplementation,
): Promise<Server> {
  await mkdir(dirname(path), { recursive: true });
  await rm(path, { force: true });
  const server = new Server({ 'grpc.max_receive_message_length': -1, 'grpc.max_send_message_length': -1 });
  server.addService(methods, handlers);
  await new Promise<void>((resolve, reject) => {
    server.bindAsync(`unix:${path}`, ServerCredentials.createInsecure(), (error) =>
      error ? reject(error) : resolve(),
    );
  });
  await chmod(path, 0o600);
  return server;
}
