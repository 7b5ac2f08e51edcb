// Tiny applications and clients for meshes under test. An HTTP application answers with what it was asked; a test may
// give it a handler for answers of another kind. It remembers every request.

import { type Agent, createServer, request as httpRequest, type IncomingHttpHeaders } from 'node:http';
import { request as httpsRequest, type RequestOptions } from 'node:https';
import { connect, createServer as createTcpServer, type Server } from 'node:net';

export interface SeenRequest {
  readonly method: string;
  readonly path: string;
  readonly headers: IncomingHttpHeaders;
  readonly body: string;
  /** Address that the connection came from. */
  readonly from: string;
}

export interface AppAnswer {
  readonly status?: number;
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: string | Buffer;
  readonly delayMs?: number;
  /** No answer at all: the connection is cut. */
  readonly cut?: boolean;
}

export interface HttpAppOptions {
  readonly name: string;
  readonly address?: string | undefined;
  readonly port?: number | undefined;
  /** A Unix socket, in place of address and port. */
  readonly socket?: string | undefined;
  /** Answers of its own; undefined leaves the request to the usual echo. */
  readonly handler?: ((request: SeenRequest) => AppAnswer | undefined) | undefined;
}

export interface TestApp {
  readonly address: string;
  readonly port: number;
  readonly seen: SeenRequest[];
  stop(): Promise<void>;
}

/** What the echo of an application says. */
export interface Echo extends SeenRequest {
  readonly app: string;
}

/** An application that answers 200 with an Echo, or what its handler says. */
export async function startHttpApp(options: HttpAppOptions): Promise<TestApp> {
  const seen: SeenRequest[] = [];
  const server = createServer((request, response) => {
    const chunks: Buffer[] = [];
    request.on('data', (chunk: Buffer) => chunks.push(chunk));
    request.on('end', () => {
      const { method = '', url: path = '', headers, socket } = request;
      const body = Buffer.concat(chunks).toString();
      const entry = { method, path, headers, body, from: socket.remoteAddress ?? '' };
      seen.push(entry);
      const answer = options.handler?.(entry) ?? {};
      if (answer.cut === true) {
        socket.resetAndDestroy();
        return;
      }
      const send = (): void => {
        response.writeHead(answer.status ?? 200, { 'content-type': 'application/json', ...answer.headers });
        response.end(answer.body ?? JSON.stringify({ app: options.name, ...entry } satisfies Echo));
      };
      if (answer.delayMs === undefined) send();
      else setTimeout(send, answer.delayMs);
    });
  });
  server.keepAliveTimeout = 60_000;
  const at = await listening(server, options.socket ?? options.port ?? 0, options.address ?? '127.0.0.1');
  const stop = (): Promise<void> => {
    server.closeAllConnections();
    return closed(server);
  };
  return { ...at, seen, stop };
}

/** A TCP application: each chunk comes back with the application's name before it. */
export async function startTcpApp(name: string, address = '127.0.0.1', port = 0): Promise<TestApp> {
  const sockets = new Set<{ destroy(): void }>();
  const server = createTcpServer((socket) => {
    sockets.add(socket);
    socket.on('close', () => sockets.delete(socket));
    socket.on('error', () => socket.destroy());
    socket.on('data', (chunk) => void socket.write(`${name} ${chunk.toString()}`));
  });
  const at = await listening(server, port, address);
  const stop = (): Promise<void> => {
    for (const socket of sockets) socket.destroy();
    return closed(server);
  };
  return { ...at, seen: [], stop };
}

async function listening(
  server: Server,
  port: number | string,
  host: string,
): Promise<{ readonly address: string; readonly port: number }> {
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject);
    const done = (): void => {
      server.off('error', reject);
      resolve();
    };
    if (typeof port === 'string') server.listen(port, done);
    else server.listen(port, host, done);
  });
  const bound = server.address();
  return { address: host, port: typeof bound === 'object' && bound !== null ? bound.port : 0 };
}

function closed(server: Server): Promise<void> {
  return new Promise((resolve) => void server.close(() => resolve()));
}

export interface CallOptions {
  readonly address: string;
  readonly port: number;
  /** A Unix socket, in place of address and port. */
  readonly socket?: string | undefined;
  /** The address to call from. */
  readonly localAddress?: string | undefined;
  readonly path?: string | undefined;
  readonly method?: string | undefined;
  readonly headers?: Readonly<Record<string, string>> | undefined;
  readonly body?: string | undefined;
  readonly agent?: Agent | undefined;
  readonly timeoutMs?: number | undefined;
  /** Speak TLS, with these settings. */
  readonly tls?: Pick<RequestOptions, 'ca' | 'cert' | 'key' | 'servername' | 'rejectUnauthorized'> | undefined;
}

export interface CallAnswer {
  readonly status: number;
  readonly headers: IncomingHttpHeaders;
  readonly body: string;
  readonly ms: number;
  /** The body as an Echo; throws if it is none. */
  echo(): Echo;
}

/** One HTTP request; rejects only when there is no answer at all. */
export function call(options: CallOptions): Promise<CallAnswer> {
  const {
    address,
    port,
    localAddress,
    path = '/',
    method = 'GET',
    headers = {},
    body,
    agent,
    timeoutMs = 10_000,
    tls,
  } = options;
  const where =
    options.socket === undefined
      ? { host: address, port, ...(localAddress && { localAddress }) }
      : { socketPath: options.socket };
  const started = performance.now();
  return new Promise((resolve, reject) => {
    const plain = { ...where, path, method, headers, timeout: timeoutMs };
    const sent =
      tls === undefined ? httpRequest({ ...plain, ...(agent && { agent }) }) : httpsRequest({ ...plain, ...tls });
    sent.on('timeout', () => sent.destroy(new Error(`no answer from ${address}:${port} within ${timeoutMs} ms`)));
    sent.on('error', reject);
    sent.on('response', (response) => {
      const chunks: Buffer[] = [];
      response.on('data', (chunk: Buffer) => chunks.push(chunk));
      response.on('error', reject);
      response.on('end', () => {
        const text = Buffer.concat(chunks).toString();
        const { statusCode: status = 0, headers: received } = response;
        const ms = performance.now() - started;
        resolve({ status, headers: received, body: text, ms, echo: () => JSON.parse(text) as Echo });
      });
    });
    sent.end(body);
  });
}

/** Sends text or bytes over TCP and resolves to the first bytes that come back, or to undefined if it is closed without any. */
export function talk(
  address: string,
  port: number,
  text: string | Buffer,
  timeoutMs = 5000,
): Promise<string | undefined> {
  return new Promise((resolve, reject) => {
    const socket = connect(port, address, () => socket.write(text));
    socket.setTimeout(timeoutMs, () => socket.destroy(new Error(`silence from ${address}:${port}`)));
    socket.once('data', (chunk) => {
      resolve(chunk.toString());
      socket.destroy();
    });
    socket.on('error', (error: NodeJS.ErrnoException) =>
      error.code === 'ECONNRESET' ? resolve(undefined) : reject(error),
    );
    socket.on('close', () => resolve(undefined));
  });
}
