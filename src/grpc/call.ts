// One call that is served on an HTTP/2 stream: gRPC's wire behaviour, without grpc-js in between.
// In: a stream and its headers; responses. Out: request messages, "writable again", the end. Called for each stream of the
// discovery service, and of the agent's sockets. The connection (TLS, pings, age, GOAWAY) belongs to others.

import { constants, type IncomingHttpHeaders, type ServerHttp2Stream } from 'node:http2';
import type { Timers } from '../lib/ports.ts';
import { encodedMessage, FrameReader, framed, type Payload, timeoutOf } from './frames.ts';
import type { MessageMemory } from './message-memory.ts';
import { WriteQueue } from './write-queue.ts';

export interface CallOptions {
  readonly timers: Timers;
  /** Longest request message, bytes. */
  readonly maxMessage: number;
  /** Bytes on their way to the client above which it counts as slow. */
  readonly highWater: number;
  /** Told of bytes written, and (negative) of bytes that the connection has taken or never will. */
  readonly unsent: { add(bytes: number): void };
  /** Where requests lie that come in pieces. */
  readonly memory?: MessageMemory | undefined;
}

/** What a call tells. */
export interface CallListener {
  message(bytes: Buffer): void;
  /** The client reads again. */
  writable(): void;
  /** The client has said all that it will say. Without this the call then ends, with OK. */
  halfClosed?(): void;
  /** The call is over, whoever has ended it; called once. */
  ended(): void;
}

const OK = 0;
const DEADLINE_EXCEEDED = 4;
const INTERNAL = 13;
const CONTENT = { ':status': 200, 'content-type': 'application/grpc+proto' } as const;
const HEADERS = { ...CONTENT, 'grpc-encoding': 'identity', 'grpc-accept-encoding': 'identity' } as const;

/** Answers one call. Who listens is told once of its end, however it came. */
export class ServerCall {
  protected readonly stream: ServerHttp2Stream;
  protected readonly headers: IncomingHttpHeaders;
  readonly #options: CallOptions;
  readonly #reader: FrameReader;
  readonly #queue: WriteQueue;
  #listener: CallListener | undefined;
  #pending = 0;
  #full = false;
  /** A status is sent, or on its way. */
  #done = false;
  #over = false;
  /** Called when the stream ends before anybody listens. */
  onOver: (() => void) | undefined;
  #cancelDeadline: (() => void) | undefined;

  constructor(stream: ServerHttp2Stream, headers: IncomingHttpHeaders, options: CallOptions) {
    this.stream = stream;
    this.headers = headers;
    this.#options = options;
    this.#queue = new WriteQueue(stream);
    this.#reader = new FrameReader(options.maxMessage, textOf(headers['grpc-encoding']) ?? 'identity', options.memory);
    // Errors of the transport end in 'close'; without a listener they would end the process.
    stream.on('error', () => {});
    stream.once('close', () => this.#closed());
    // Nothing is read before somebody listens: it waits in the client, by HTTP/2's flow control.
    stream.pause();
    this.#watchDeadline(textOf(headers['grpc-timeout']));
  }

  #watchDeadline(header: string | undefined): void {
    if (header === undefined) return;
    const limit = timeoutOf(header);
    if (limit === undefined) return this.end(INTERNAL, `Invalid grpc-timeout value "${header}"`, false);
    // Timers hold no more than 31 bits of milliseconds; a stream of 24 days may as well go on.
    if (limit >= 2 ** 31) return;
    this.#cancelDeadline = this.#options.timers.setTimeout(() => {
      this.end(DEADLINE_EXCEEDED, 'Deadline exceeded', false);
    }, limit);
  }

  /** The stream has ended, or is about to: nothing that is written now arrives. */
  get over(): boolean {
    return this.#done || this.#over;
  }

  /** Nothing of a message has arrived that isn't whole yet. */
  get betweenMessages(): boolean {
    return this.#reader.whole;
  }

  /** Begins to read. */
  listen(listener: CallListener): void {
    if (this.over) return listener.ended();
    this.#listener = listener;
    this.stream.on('data', (chunk: Buffer) => this.#read(chunk));
    this.stream.once('end', () => this.#halfClosed());
    this.stream.resume();
  }

  #read(chunk: Buffer): void {
    if (this.over) return;
    const error = this.#reader.read(chunk, (message) => {
      if (!this.over) this.#listener?.message(message);
    });
    if (error !== undefined) this.end(error.code, error.message, false);
  }

  #halfClosed(): void {
    if (this.over) return;
    if (!this.#reader.whole) this.end(INTERNAL, 'the stream ended inside a message', false);
    else if (this.#listener?.halfClosed === undefined) this.end(OK, '', false);
    else this.#listener.halfClosed();
  }

  pause(): void {
    this.stream.pause();
  }

  resume(): void {
    this.stream.resume();
  }

  write(message: Payload): boolean {
    const stream = this.stream;
    if (this.over || stream.destroyed) return true;
    if (!stream.headersSent) stream.respond(HEADERS, { waitForTrailers: true });
    this.#pending += message.byteLength;
    this.#options.unsent.add(message.byteLength);
    const size = message.byteLength;
    this.#queue.write(framed(message), () => this.#taken(size));
    this.#full = this.#pending > this.#options.highWater;
    return !this.#full;
  }

  #taken(size: number): void {
    // When the stream is gone all was given back.
    if (this.#pending === 0) return;
    this.#pending -= size;
    this.#options.unsent.add(-size);
    if (!this.#full || this.#pending > this.#options.highWater) return;
    this.#full = false;
    if (!this.over) this.#listener?.writable();
  }

  end(code: number, message: string, cut: boolean): void {
    if (this.over) return;
    this.#done = true;
    const stream = this.stream;
    const status = { 'grpc-status': String(code), 'grpc-message': encodedMessage(message) };
    if (cut) stream.close(constants.NGHTTP2_CANCEL);
    else if (!stream.destroyed && !stream.closed) {
      if (stream.headersSent) {
        stream.once('wantTrailers', () => stream.sendTrailers(status));
        this.#queue.whenEmpty(() => stream.end());
      } else stream.respond({ ...CONTENT, ...status }, { endStream: true });
      // What the client still sends is read and dropped: left alone it would use up the connection's window.
      if (this.#listener === undefined) stream.on('data', () => {});
      stream.resume();
    }
    this.#end();
  }

  #closed(): void {
    if (this.#pending > 0) this.#options.unsent.add(-this.#pending);
    this.#pending = 0;
    this.#end();
  }

  #end(): void {
    if (this.#over) return;
    this.#over = true;
    this.#cancelDeadline?.();
    if (this.#listener === undefined) this.onOver?.();
    else this.#listener.ended();
  }
}

function textOf(header: string | string[] | undefined): string | undefined {
  return typeof header === 'string' ? header : header?.[0];
}
