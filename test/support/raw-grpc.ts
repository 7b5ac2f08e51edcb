// Methods of grpc-js whose messages stay bytes, for servers and clients that a test puts beside the agent.

import type { MethodDefinition } from '@grpc/grpc-js';

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
