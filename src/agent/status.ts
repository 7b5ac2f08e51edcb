// The agent's HTTP port: is the proxy ready, is the application, what do both count, drain the proxy, stop it.
// In: requests of kubelet, Prometheus and people; out: answers. What changes state is for this machine alone. Called by agent.ts.

import type { IncomingMessage, Server, ServerResponse } from 'node:http';
import type { Log } from '../lib/ports.ts';
import { createServer } from './http.ts';
import { type MetricsSources, writeMergedMetrics } from './merged-metrics.ts';
import { answerProbe, isProbePath } from './probes/app-probes.ts';
import type { Probe } from './probes/probe.ts';
import type { ProbeTarget } from './probes/target.ts';
import type { Readiness } from './readiness.ts';

export interface StatusHandlers {
  ready(): Promise<Readiness>;
  /** Begins to drain, whether or not the process is to end afterwards. Resolves at once. */
  drain(): void;
  quit(): void;
  /** The names that the DNS proxy knows, for debugging; undefined without one. */
  names(): ReadonlyMap<string, readonly string[]> | undefined;
  readonly metrics: MetricsSources;
  /** The application's probes, by path. */
  readonly probes: ReadonlyMap<string, Probe>;
  readonly application: ProbeTarget;
}

export interface StatusServer {
  readonly port: number;
  close(): Promise<void>;
}

interface Route {
  readonly method: 'GET' | 'POST';
  readonly localOnly: boolean;
  answer(request: IncomingMessage, response: ServerResponse): Promise<void>;
}

/** Listens; port 0 takes any. */
export async function serveStatus(
  host: string,
  port: number,
  handlers: StatusHandlers,
  log: Log,
): Promise<StatusServer> {
  const scoped = log.child('status');
  const routes = routesOf(handlers, scoped);
  const server = createServer((request, response) => {
    dispatch(routes, handlers, request, response).catch((error: unknown) => {
      scoped.error({ path: request.url, reason: String(error) }, 'status request failed');
      if (!response.headersSent) response.writeHead(500);
      response.end();
    });
  });
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject);
    server.listen(port, host, resolve);
  });
  return { port: portOf(server), close: () => closed(server) };
}

function portOf(server: Server): number {
  const address = server.address();
  return typeof address === 'object' && address !== null ? address.port : 0;
}

function closed(server: Server): Promise<void> {
  return new Promise((resolve) => {
    server.close(() => resolve());
    server.closeAllConnections();
  });
}

function routesOf(handlers: StatusHandlers, log: Log): ReadonlyMap<string, Route> {
  let wasReady: boolean | undefined;
  const ready: Route = {
    method: 'GET',
    localOnly: false,
    answer: async (_request, response) => {
      const readiness = await handlers.ready();
      const isReady = readiness.kind === 'ready';
      if (isReady !== wasReady) log.info({ readiness }, isReady ? 'proxy is ready' : 'proxy is not ready');
      wasReady = isReady;
      if (isReady) reply(response, 200, '');
      else reply(response, 503, `${readiness.reason}\n`);
    },
  };
  const metrics: Route = {
    method: 'GET',
    localOnly: false,
    answer: (_request, response) => writeMergedMetrics(handlers.metrics, response),
  };
  const drain: Route = {
    method: 'POST',
    localOnly: true,
    answer: async (_request, response) => {
      handlers.drain();
      reply(response, 200, 'OK\n');
    },
  };
  const quit: Route = {
    method: 'POST',
    localOnly: true,
    answer: async (_request, response) => {
      reply(response, 200, 'OK\n');
      handlers.quit();
    },
  };
  const names: Route = {
    method: 'GET',
    localOnly: true,
    answer: async (_request, response) => {
      const known = handlers.names();
      if (known === undefined) return reply(response, 404, 'no DNS proxy, or no name table yet\n');
      response.writeHead(200, { 'content-type': 'application/json' });
      response.end(`${JSON.stringify(Object.fromEntries(known), undefined, 2)}\n`);
    },
  };
  return new Map([
    ['/debug/ndsz', names],
    ['/healthz/ready', ready],
    ['/stats/prometheus', metrics],
    ['/metrics', metrics],
    ['/drain', drain],
    ['/quitquitquit', quit],
  ]);
}

async function dispatch(
  routes: ReadonlyMap<string, Route>,
  { probes, application }: StatusHandlers,
  request: IncomingMessage,
  response: ServerResponse,
): Promise<void> {
  const path = (request.url ?? '').split('?')[0] ?? '';
  if (isProbePath(path)) return answerProbe(probes, application, request, response);
  const route = routes.get(path);
  if (route === undefined) return reply(response, 404, 'not found\n');
  if (route.localOnly && !isLoopback(request.socket.remoteAddress ?? ''))
    return reply(response, 403, 'only from this machine\n');
  if (request.method !== route.method) return reply(response, 405, `only ${route.method}\n`);
  return route.answer(request, response);
}

function isLoopback(address: string): boolean {
  const plain = address.startsWith('::ffff:') ? address.slice('::ffff:'.length) : address;
  return plain.startsWith('127.') || plain === '::1';
}

function reply(response: ServerResponse, status: number, text: string): void {
  response.writeHead(status, { 'content-type': 'text/plain; charset=utf-8' });
  response.end(text);
}
