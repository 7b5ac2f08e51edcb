// The way out of one gRPC call, with the back-pressure that grpc-js doesn't tell of.
// In: messages. Out: writes on the call; false while more than `highWater` bytes are on their way.
// Called by the server for each stream.

import { constants, type ServerHttp2Stream } from 'node:http2';
import type { ServerDuplexStream } from '@grpc/grpc-js';
import type { Message } from './encode.ts';
import type { Outlet } from './stream.ts';

export type XdsCall = ServerDuplexStream<Buffer, Message>;

export function outletOf(call: XdsCall, highWater: number, writable: () => void): Outlet {
  let pending = 0;
  let full = false;
  return {
    write(message: Message): boolean {
      pending += message.byteLength;
      // The call's own return value counts messages, not bytes; the callback comes when HTTP/2 has taken the message.
      call.write(message, () => {
        pending -= message.byteLength;
        if (!full || pending > highWater) return;
        full = false;
        writable();
      });
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

/**
 * The HTTP/2 stream under a call. grpc-js keeps it to itself, but has no other way to end a call whose client doesn't
 * read: a status would wait behind the unread messages.
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
