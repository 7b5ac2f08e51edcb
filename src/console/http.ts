// The HTTP servers. Readiness and metrics are for everyone, and answered here; what else is asked for is for the pages, which
// are loaded then: most replicas are asked for nothing else for hours, and the library behind them is large.

import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import { createServer as createTlsServer, Server as TlsServer } from 'node:https';
import type { ListenAddress } from '../lib/listen.ts';
import type { Pages } from './pages.ts';
import type { ConsolePort, WebhookPort } from './port.ts';

export interface HttpOptions {
  readonly port: ConsolePort;
  /** Says whether the bearer of this token may look at everything. Never given to callers of this machine. */
  readonly mayInspect: (bearer: string | undefined) => Promise<boolean>;
  readonly metrics: boolean;
  readonly tls?: HttpsPair | undefined;
  /** Without it this server has no admission webhooks. */
  readonly webhooks?: WebhookPort | undefined;
}

export interface HttpsPair {
  readonly key: string;
  readonly cert: string;
}

export interface HttpServer {
  readonly address: ListenAddress;
  /** New connections of an HTTPS server see this pair from now on. */
  renew(pair: HttpsPair): void;
  close(): Promise<void>;
}

/** Starts a server; rejects when the address can't be had. */
export async function serveHttp(address: ListenAddress, options: HttpOptions): Promise<HttpServer> {
  let pages: Promise<Pages> | undefined;
  const answer = async (request: IncomingMessage, response: ServerResponse): Promise<void> => {
    if (await answered(request, response, options)) return;
    pages ??= import('./pages.ts').then(({ openPages }) => openPages(options));
    (await pages).answer(request, response);
  };
  const listener = (request: IncomingMessage, response: ServerResponse): void => {
    answer(request, response).catch(() => {
      if (!response.headersSent) response.writeHead(500);
      response.end();
    });
  };
  const { tls } = options;
  const server = tls === undefined ? createServer(listener) : createTlsServer({ ...tls }, listener);
  await listen(server, address);
  const bound = server.address();
  const port = typeof bound === 'object' && bound !== null ? bound.port : address.port;
  return {
    address: { host: address.host, port },
    renew: (pair) => {
      if (server instanceof TlsServer) server.setSecureContext({ key: pair.key, cert: pair.cert });
    },
    close: async () => {
      const closed = new Promise((resolve) => server.close(resolve));
      server.closeAllConnections();
      await closed;
      await pages?.then(
        ({ close }) => close(),
        () => undefined,
      );
    },
  };
}

function listen(server: Server, { host, port }: ListenAddress): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once('error', reject);
    server.listen({ host, port }, () => {
      server.off('error', reject);
      resolve();
    });
  });
}

/** True for what needs no page. */
async function answered(
  { method, url = '' }: IncomingMessage,
  response: ServerResponse,
  { port, metrics }: HttpOptions,
): Promise<boolean> {
  if (method !== 'GET' && method !== 'HEAD') return false;
  const path = url.split('?', 1)[0];
  if (path === '/ready') {
    const waiting = port.unready();
    const ready = waiting.length === 0;
    send(response, ready ? 200 : 503, TEXT, ready ? 'ready\n' : `not ready: ${waiting.join(', ')}\n`);
    return true;
  }
  if (path !== '/metrics' || !metrics) return false;
  send(response, 200, port.metricsType, await port.metrics());
  return true;
}

const TEXT = 'text/plain; charset=utf-8';

function send(response: ServerResponse, status: number, type: string, body: string): void {
  response.writeHead(status, { 'content-type': type, 'content-length': Buffer.byteLength(body) }).end(body);
}
