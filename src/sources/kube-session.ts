// One HTTP/2 connection to an API server for all requests, as Kubernetes' own clients have it: a start follows dozens of
// collections at once, and a connection for each is a TLS handshake and a hundred kilobytes for each.
// In: where the server is, and the credentials that belong to a connection. Out: answers; undefined where the server speaks
// HTTP/1.1 alone. Called by kube-api.ts.

import { type ClientHttp2Session, connect as connectHttp2, constants } from 'node:http2';
import { isIP } from 'node:net';
import type { Readable } from 'node:stream';
import { connect as connectTls, type SecureContext, type TLSSocket } from 'node:tls';

export interface SessionTarget {
  readonly url: URL;
  readonly secureContext: SecureContext;
  readonly rejectUnauthorized: boolean | undefined;
  /** Name that the server's certificate must carry, where it is another one than the address. */
  readonly servername: string | undefined;
}

export interface SessionRequest {
  readonly method: string;
  /** With the query. */
  readonly path: string;
  readonly headers: Readonly<Record<string, string | number>>;
  readonly body: string | undefined;
  readonly signal: AbortSignal;
  /** The request fails when nothing arrives for this long. */
  readonly idleMs: number;
}

/** An answer whose body is still to come. */
export interface Answer {
  readonly status: number;
  readonly contentType: string | undefined;
  readonly body: Readable;
  /** At the end of the body: nothing was lost of it. */
  readonly whole: () => boolean;
}

/** What may be on its way to us: pages of lists come whole. */
const STREAM_WINDOW = 4 * 1024 * 1024;
const SESSION_WINDOW = 16 * 1024 * 1024;
const KEEP_ALIVE_MS = 30_000;
/** After silence the server is asked for a sign of life, and given up when none comes. */
const SILENCE_MS = 30_000;
const SIGN_MS = 15_000;

interface Opened {
  readonly session: ClientHttp2Session;
  /** Streams that are open: without any the process may end. */
  active: number;
  /** An answer came over it. */
  used: boolean;
  /** The server takes no more requests over it. */
  left: boolean;
}

export class KubeSession {
  readonly #target: SessionTarget;
  #opened: Promise<Opened | undefined> | undefined;

  constructor(target: SessionTarget) {
    this.#target = target;
  }

  /** Undefined where the server has no HTTP/2. Rejects with what went wrong on the way. */
  async request(request: SessionRequest): Promise<Answer | undefined> {
    for (let again = true; ; again = false) {
      const opened = await this.#session();
      if (opened === undefined) return undefined;
      const { used } = opened;
      try {
        return await answerOf(opened, request);
      } catch (error) {
        // A connection that the server was just leaving. Whatever is written here may be written twice.
        if (!again || !used || !wasLeaving(error) || request.signal.aborted) throw error;
        opened.left = true;
      }
    }
  }

  async #session(): Promise<Opened | undefined> {
    for (;;) {
      const opening = (this.#opened ??= this.#open());
      const opened = await opening.catch((error: unknown) => {
        this.#forget(opening);
        throw error;
      });
      if (opened === undefined || takesMore(opened)) return opened;
      this.#forget(opening);
    }
  }

  /** Unless somebody else noticed first. */
  #forget(opening: Promise<Opened | undefined>): void {
    if (this.#opened === opening) this.#opened = undefined;
  }

  async #open(): Promise<Opened | undefined> {
    const socket = await connected(this.#target);
    if (socket.alpnProtocol !== 'h2') {
      socket.destroy();
      return undefined;
    }
    socket.setKeepAlive(true, KEEP_ALIVE_MS);
    const session = connectHttp2(this.#target.url.origin, {
      createConnection: () => socket,
      settings: { enablePush: false, initialWindowSize: STREAM_WINDOW },
    });
    session.once('connect', () => session.setLocalWindowSize(SESSION_WINDOW));
    // Each stream tells of it.
    session.on('error', () => undefined);
    session.on('goaway', () => session.close());
    session.setTimeout(SILENCE_MS, () => wantSign(session));
    return { session, active: 0, used: false, left: false };
  }
}

function takesMore({ session, left }: Opened): boolean {
  return !(left || session.closed || session.destroyed);
}

function connected({ url, secureContext, rejectUnauthorized, servername }: SessionTarget): Promise<TLSSocket> {
  const host = url.hostname.replace(/^\[(.*)\]$/, '$1');
  const name = servername ?? (isIP(host) === 0 ? host : undefined);
  return new Promise((resolve, reject) => {
    const socket = connectTls({
      ...{ host, port: Number(url.port || 443), ALPNProtocols: ['h2', 'http/1.1'], secureContext },
      ...(rejectUnauthorized === undefined ? {} : { rejectUnauthorized }),
      ...(name === undefined ? {} : { servername: name }),
    });
    socket.once('secureConnect', () => {
      socket.off('error', reject);
      resolve(socket);
    });
    socket.once('error', reject);
  });
}

function wantSign(session: ClientHttp2Session): void {
  const late = setTimeout(() => session.destroy(new Error('no sign of life')), SIGN_MS).unref();
  session.once('close', () => clearTimeout(late));
  const asked = !session.closed && !session.destroyed && session.ping(() => clearTimeout(late));
  if (!asked) clearTimeout(late);
}

function answerOf(opened: Opened, { method, path, headers, body, signal, idleMs }: SessionRequest): Promise<Answer> {
  const { session } = opened;
  return new Promise((resolve, reject) => {
    const stream = session.request(
      { ...headers, [constants.HTTP2_HEADER_METHOD]: method, [constants.HTTP2_HEADER_PATH]: path },
      { endStream: body === undefined, signal },
    );
    if (opened.active++ === 0) session.ref();
    let answered = false;
    stream.once('response', (answer) => {
      opened.used = answered = true;
      const whole = (): boolean => (stream.rstCode ?? 0) === 0;
      resolve({ status: Number(answer[':status']), contentType: answer['content-type'], body: stream, whole });
    });
    stream.on('error', (error) => reject(wasRefused(stream.rstCode) ? new LeftStream() : error));
    stream.once('close', () => {
      if (--opened.active === 0) session.unref();
      if (!answered) reject(new LeftStream());
    });
    stream.setTimeout(idleMs, () => stream.destroy(new Error('nothing arrived for too long')));
    if (body !== undefined) stream.end(body);
  });
}

function wasRefused(code: number | undefined): boolean {
  return code === constants.NGHTTP2_REFUSED_STREAM;
}

/** The stream ended before there was an answer. */
class LeftStream extends Error {
  constructor() {
    super('connection lost');
  }
}

const LEAVING: ReadonlySet<string> = new Set([
  ...['ECONNRESET', 'EPIPE'],
  ...['ERR_HTTP2_GOAWAY_SESSION', 'ERR_HTTP2_INVALID_SESSION', 'ERR_HTTP2_SESSION_ERROR'],
]);

function wasLeaving(error: unknown): boolean {
  if (error instanceof LeftStream) return true;
  return LEAVING.has((error as NodeJS.ErrnoException).code ?? '');
}
