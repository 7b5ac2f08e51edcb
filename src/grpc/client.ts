// A call to a gRPC server over a connection of its own, and a message in return for one.
// In: a server, a path, metadata, messages. Out: messages, "writable again", the status. Called by the agent, whose streams
// each bring their own credentials, so that there is nothing to share a connection with.

import {
  type ClientHttp2Session,
  type ClientHttp2Stream,
  connect,
  constants,
  type IncomingHttpHeaders,
} from 'node:http2';
import { connect as connectPlainly, isIP, type Socket } from 'node:net';
import { checkServerIdentity, connect as connectSecurely } from 'node:tls';
import { type CallEnd, CODES, endOfHttp, endOfReset, GrpcError, reasonOf } from './errors.ts';
import { decodedMessage, FrameReader, framed, payload } from './frames.ts';

export interface ClientTarget {
  /** `host:port`, `[v6]:port` or `unix:PATH`. */
  readonly address: string;
  /** Undefined: in clear text. */
  readonly tls: ClientTls | undefined;
  /** A connection to the server that is there already, through a proxy. The call takes it over. */
  readonly tunnel?: Socket | undefined;
}

export interface ClientTls {
  /** Whom to trust, PEM. */
  readonly roots: string;
  /** Name that the server's certificate must carry. */
  readonly serverName: string;
  readonly pair: { readonly certificatePem: string; readonly keyPem: string } | undefined;
}

export interface ClientListener {
  /** The server has answered for the first time. */
  connected?(): void;
  message(bytes: Buffer): void;
  /** After `write` said that the server is slow. */
  writable?(): void;
  /** Once, after the last message. Not after `cancel`. */
  ended(end: CallEnd): void;
}

export interface ClientOptions {
  readonly metadata: Readonly<Record<string, string>>;
  /** The connection is asked for a sign of life so often, and given up when none comes for so long, ms. */
  readonly keepalive?: { readonly everyMs: number; readonly timeoutMs: number };
}

/** A control plane that vanished without a word is noticed within 40 s. */
const KEEPALIVE = { everyMs: 30_000, timeoutMs: 10_000 };
/** What a server may send before it is read: enough for a large configuration over a long way. */
const WINDOW = 1024 * 1024;
/** For the last frames to leave; a peer that is gone would keep the connection for a quarter of an hour. */
const LINGER_MS = 1000;
const OK_OF_HTTP = 200;

/** Begins a call; everything that follows is told to the listener. Throws for metadata that can't be sent. */
export class ClientCall {
  readonly #session: ClientHttp2Session;
  readonly #stream: ClientHttp2Stream;
  readonly #listener: ClientListener;
  #reader = new FrameReader(Number.POSITIVE_INFINITY, 'identity');
  /** What the server said of the call. */
  #end: CallEnd | undefined;
  /** Why the connection, or the reading of the stream, failed. */
  #failure: CallEnd | undefined;
  #over = false;

  constructor(target: ClientTarget, path: string, listener: ClientListener, options: ClientOptions) {
    this.#listener = listener;
    const metadata = headersOf(options.metadata);
    const scheme = target.tls === undefined ? 'http' : 'https';
    const authority = target.address.startsWith('unix:') ? 'localhost' : target.address;
    const socket = open(target);
    this.#session = connect(`${scheme}://${authority}`, {
      createConnection: () => socket,
      settings: { enablePush: false, initialWindowSize: WINDOW },
      maxSessionMemory: Number.MAX_SAFE_INTEGER,
    });
    this.#session.on('error', (error) => this.#fail(reasonOf(error)));
    this.#session.once('connect', () => this.#session.setLocalWindowSize(WINDOW));
    this.#session.once('remoteSettings', () => {
      if (this.#over) return;
      watch(this.#session, options.keepalive ?? KEEPALIVE);
      listener.connected?.();
    });
    this.#stream = this.#session.request({
      ...metadata,
      ':method': 'POST',
      ':path': path,
      'content-type': 'application/grpc',
      te: 'trailers',
      'user-agent': 'meltemi-agent',
    });
    this.#listen();
  }

  #listen(): void {
    const stream = this.#stream;
    stream.once('response', (headers) => this.#response(headers));
    stream.once('trailers', (headers) => this.#status(headers));
    stream.on('data', (chunk: Buffer) => this.#read(chunk));
    stream.on('drain', () => {
      if (!this.#over) this.#listener.writable?.();
    });
    stream.on('error', (error: NodeJS.ErrnoException) => {
      // A reset is told by its code; all else is the connection's.
      if (error.code !== 'ERR_HTTP2_STREAM_ERROR') this.#fail(reasonOf(error));
    });
    // A server that has said how the call ends needs not hear us out; the stream would stay half open.
    stream.once('end', () => (this.#end === undefined ? stream.end() : this.#closed()));
    stream.once('close', () => this.#closed());
  }

  #response(headers: IncomingHttpHeaders & { readonly ':status'?: number | undefined }): void {
    this.#reader = new FrameReader(Number.POSITIVE_INFINITY, String(headers['grpc-encoding'] ?? 'identity'));
    if (headers['grpc-status'] !== undefined) this.#status(headers);
    else if (headers[':status'] !== OK_OF_HTTP) this.#end = endOfHttp(Number(headers[':status']));
  }

  #status(headers: IncomingHttpHeaders): void {
    const code = Number(headers['grpc-status']);
    if (!Number.isInteger(code)) return;
    this.#end = { code, details: decodedMessage(String(headers['grpc-message'] ?? '')) };
  }

  #read(chunk: Buffer): void {
    if (this.#over) return;
    const error = this.#reader.read(chunk, (message) => {
      if (!this.#over) this.#listener.message(message);
    });
    if (error === undefined) return;
    this.#failure ??= { code: error.code, details: error.message };
    this.#stream.close(constants.NGHTTP2_CANCEL);
  }

  #fail(details: string): void {
    this.#failure ??= { code: CODES.UNAVAILABLE, details };
  }

  #closed(): void {
    if (this.#over) return;
    this.#over = true;
    const dropped = this.#session.closed;
    if (!this.#stream.closed) this.#stream.close(constants.NGHTTP2_NO_ERROR);
    this.#release();
    this.#listener.ended(this.#end ?? this.#failure ?? this.#endWithoutStatus(dropped));
  }

  #endWithoutStatus(dropped: boolean): CallEnd {
    const { rstCode } = this.#stream;
    // So Node ends the streams of a connection that the other side has closed.
    if (dropped && rstCode === constants.NGHTTP2_CANCEL) {
      return { code: CODES.UNAVAILABLE, details: 'Connection dropped' };
    }
    if (rstCode !== constants.NGHTTP2_NO_ERROR) return endOfReset(rstCode);
    return { code: CODES.UNKNOWN, details: 'ended without a status' };
  }

  /** False: the server is slow, or not there yet; nothing more until `writable`. */
  write(bytes: Uint8Array): boolean {
    const stream = this.#stream;
    if (this.#over || stream.destroyed || stream.writableEnded) return true;
    stream.cork();
    let free = true;
    for (const buffer of framed(payload(bytes))) free = stream.write(buffer);
    stream.uncork();
    return free;
  }

  /** Nothing more will be written. */
  end(): void {
    if (!this.#over) this.#stream.end();
  }

  pause(): void {
    this.#stream.pause();
  }

  resume(): void {
    this.#stream.resume();
  }

  /** Ends the call and its connection; the listener hears nothing more. */
  cancel(): void {
    if (this.#over) return;
    this.#over = true;
    this.#stream.close(constants.NGHTTP2_CANCEL);
    this.#release();
  }

  #release(): void {
    if (this.#session.connecting) return this.#session.destroy();
    this.#session.close();
    setTimeout(() => this.#session.destroy(), LINGER_MS).unref();
  }
}

function open({ address, tls, tunnel }: ClientTarget): Socket {
  const at = address.lastIndexOf(':');
  const host = address.slice(0, at).replace(/^\[(.*)\]$/, '$1');
  const place = address.startsWith('unix:')
    ? { path: address.slice('unix:'.length) }
    : { host, port: Number(address.slice(at + 1)) };
  if (tls === undefined) return tunnel ?? connectPlainly(place);
  const { roots, serverName, pair } = tls;
  return connectSecurely({
    ...(tunnel === undefined ? place : { socket: tunnel }),
    ca: roots,
    ...(pair === undefined ? {} : { cert: pair.certificatePem, key: pair.keyPem }),
    ALPNProtocols: ['h2'],
    // An address is no name to ask for, but one to look for in the certificate.
    ...(isIP(serverName) === 0 ? { servername: serverName } : {}),
    checkServerIdentity: (_host, certificate) => checkServerIdentity(serverName, certificate),
  });
}

/** Metadata as headers; throws for what a header can't hold, and says nothing of the value, which may be a credential. */
function headersOf(metadata: ClientOptions['metadata']): Record<string, string> {
  const entries = Object.entries(metadata).map(([name, value]): [string, string] => [name.toLowerCase(), value]);
  for (const [name, value] of entries) {
    if (!/^[0-9a-z_.-]+$/.test(name)) throw new Error(`metadata can not be named ${JSON.stringify(name)}`);
    if (!/^[ -~]*$/.test(value)) throw new Error(`metadata ${name}: the value holds what a header can not`);
  }
  return Object.fromEntries(entries);
}

/** Pings as long as the session lasts. */
function watch(session: ClientHttp2Session, { everyMs, timeoutMs }: typeof KEEPALIVE): void {
  let timer: ReturnType<typeof setTimeout> | undefined;
  const next = (): void => {
    timer = setTimeout(ping, everyMs);
    timer.unref();
  };
  const ping = (): void => {
    // It is gone before it says so, and would throw.
    if (session.destroyed) return;
    timer = setTimeout(() => session.destroy(new Error(`no answer to a ping within ${timeoutMs} ms`)), timeoutMs);
    session.ping((error) => {
      clearTimeout(timer);
      if (error === null) next();
    });
  };
  session.once('close', () => clearTimeout(timer));
  next();
}

/** One message for one, within a time. Rejects with a GrpcError. */
export function unaryCall(
  target: ClientTarget,
  path: string,
  request: Uint8Array,
  options: ClientOptions & { readonly deadlineMs: number },
): Promise<Buffer> {
  return new Promise((resolve, reject) => {
    const answers: Buffer[] = [];
    const call = new ClientCall(
      target,
      path,
      {
        message: (bytes) => void answers.push(bytes),
        ended: (end) => {
          clearTimeout(timer);
          const [answer] = answers;
          if (end.code !== CODES.OK) reject(new GrpcError(end));
          else if (answer !== undefined) resolve(answer);
          else reject(new GrpcError({ code: CODES.INTERNAL, details: 'the server answered with no message' }));
        },
      },
      { ...options, metadata: { ...options.metadata, 'grpc-timeout': `${options.deadlineMs}m` } },
    );
    const timer = setTimeout(() => {
      call.cancel();
      reject(new GrpcError({ code: CODES.DEADLINE_EXCEEDED, details: `no answer within ${options.deadlineMs} ms` }));
    }, options.deadlineMs);
    call.write(request);
    call.end();
  });
}
