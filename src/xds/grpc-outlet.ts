// The way out of one gRPC call, with the back-pressure that grpc-js doesn't tell of.
// In: messages. Out: gRPC frames on the HTTP/2 stream under the call; false while more than `highWater` bytes are on their
// way. Called by the server for each stream. Frames are put together here: grpc-js would copy every message into a buffer
// of its own, three megabytes for each proxy that connects to a large mesh, where all streams can share what they send.

import { constants, type ServerHttp2Stream } from 'node:http2';
import { Metadata, type ServerDuplexStream } from '@grpc/grpc-js';
import type { Message } from './encode.ts';
import type { Outlet } from './stream.ts';

export type XdsCall = ServerDuplexStream<Buffer, Message>;

/** Pieces below this size are copied together; larger ones are written where they lie. */
const SMALL = 16 * 1024;

export function outletOf(call: XdsCall, highWater: number, writable: () => void): Outlet {
  const frames = frameWriter(call);
  let pending = 0;
  let full = false;
  return {
    write(message: Message): boolean {
      pending += message.byteLength;
      const taken = (): void => {
        pending -= message.byteLength;
        if (!full || pending > highWater) return;
        full = false;
        writable();
      };
      // A call's own return value counts messages, not bytes; the callback comes when HTTP/2 has taken the message.
      if (frames === undefined) call.write(message, taken);
      else frames(message, taken);
      full = pending > highWater;
      return !full;
    },
    end(code: number, message: string, cut: boolean): void {
      if (cut) http2Of(call)?.close(constants.NGHTTP2_CANCEL);
      call.emit('error', { code, details: message });
    },
    taken(): number {
      return http2Of(call)?.session?.socket?.bytesWritten ?? 0;
    },
  };
}

/** Writes messages under grpc-js; undefined when its HTTP/2 stream can't be found. */
function frameWriter(call: XdsCall): ((message: Message, taken: () => void) => void) | undefined {
  const stream = http2Of(call);
  if (stream === undefined) return undefined;
  let corked = false;
  return (message, taken) => {
    if (stream.destroyed || stream.writableEnded) return;
    // Does nothing when they were sent before.
    call.sendMetadata(new Metadata());
    // What is written in one turn of the loop goes out in one piece.
    if (!corked) {
      corked = true;
      stream.cork();
      process.nextTick(() => {
        corked = false;
        stream.uncork();
      });
    }
    const buffers = framed(message);
    for (const [i, buffer] of buffers.entries()) {
      if (i === buffers.length - 1) stream.write(buffer, taken);
      else stream.write(buffer);
    }
  };
}

/** A length-prefixed message (gRPC over HTTP/2): no compression, length, message. */
function framed(message: Message): readonly Uint8Array[] {
  const prefix = Buffer.alloc(5);
  prefix.writeUInt32BE(message.byteLength, 1);
  const buffers: Uint8Array[] = [];
  let small: Uint8Array[] = [prefix];
  for (const piece of message.pieces) {
    if (piece.length < SMALL) {
      small.push(piece);
      continue;
    }
    if (small.length > 0) buffers.push(Buffer.concat(small));
    small = [];
    buffers.push(piece);
  }
  if (small.length > 0) buffers.push(Buffer.concat(small));
  return buffers;
}

/**
 * The HTTP/2 stream under a call. grpc-js keeps it to itself, but has no other way to send bytes as they are, and to end a
 * call whose client doesn't read: a status would wait behind the unread messages.
 */
function http2Of(call: unknown): ServerHttp2Stream | undefined {
  for (let inner = call, depth = 0; isObject(inner) && depth < 4; depth++) {
    const { stream } = inner;
    if (isObject(stream) && typeof stream['close'] === 'function') return stream as unknown as ServerHttp2Stream;
    inner = inner['call'] ?? inner['nextCall'];
  }
  return undefined;
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null;
}
