// Readiness, metrics and debug pages over HTTP. Readiness and metrics are for everyone; debug pages show configuration, so
// that callers from other machines need a token of the control plane's own namespace.

import { Server as TlsServer } from 'node:tls';
import fastify, { type FastifyInstance, type FastifyReply, type FastifyRequest } from 'fastify';
import type { ListenAddress } from '../lib/listen.ts';
import { debugPage, type DebugQuery } from './debug.ts';
import type { ConsolePort, WebhookAnswer, WebhookPort, WebhookRequest } from './port.ts';

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
  const app = build(options);
  await app.listen({ host: address.host, port: address.port });
  const bound = app.server.address();
  const port = typeof bound === 'object' && bound !== null ? bound.port : address.port;
  return {
    address: { host: address.host, port },
    renew: (pair) => {
      if (app.server instanceof TlsServer) app.server.setSecureContext({ key: pair.key, cert: pair.cert });
    },
    close: () => app.close(),
  };
}

function build({ port, mayInspect, metrics, tls, webhooks }: HttpOptions): FastifyInstance {
  const common = { forceCloseConnections: true } as const;
  const app = (tls === undefined ? fastify(common) : fastify({ ...common, https: tls })) as FastifyInstance;
  app.get('/ready', async (_request, reply) => {
    const waiting = port.unready();
    return reply
      .code(waiting.length === 0 ? 200 : 503)
      .send(waiting.length === 0 ? 'ready\n' : `not ready: ${waiting.join(', ')}\n`);
  });
  app.get('/version', async () => ({ version: port.version }));
  if (metrics) app.get('/metrics', async (_request, reply) => reply.type(port.metricsType).send(await port.metrics()));
  const page = async (request: FastifyRequest, reply: FastifyReply): Promise<unknown> => {
    const bearer = /^Bearer (.+)$/i.exec(request.headers.authorization ?? '')?.[1];
    if (!isLoopback(request.socket.remoteAddress) && !(await mayInspect(bearer))) {
      return reply
        .code(bearer === undefined ? 401 : 403)
        .send({ error: 'debug pages need a token of the control plane namespace from other machines' });
    }
    const { page: name = 'list' } = request.params as { readonly page?: string };
    const answer = debugPage(name, port, request.query as DebugQuery);
    if (answer.kind === 'missing') return reply.code(404).send({ error: answer.message });
    return reply.type('application/json').send(JSON.stringify(answer.value, undefined, 2));
  };
  app.get('/debug', page);
  app.get('/debug/:page', page);
  if (webhooks !== undefined) void app.register((scope) => addWebhooks(scope, webhooks));
  return app;
}

/** An object that is changed comes twice, new and old, and one alone may have 1.5 MiB in etcd. */
const MAX_REVIEW_BYTES = 8 * 1024 * 1024;

/** Bodies are handed on as text: what they are is for the webhooks to say. */
async function addWebhooks(scope: FastifyInstance, webhooks: WebhookPort): Promise<void> {
  scope.removeAllContentTypeParsers();
  scope.addContentTypeParser('*', { parseAs: 'string', bodyLimit: MAX_REVIEW_BYTES }, (_request, body, done) =>
    done(null, body),
  );
  const route = (url: string, judge: (request: WebhookRequest) => WebhookAnswer): void => {
    scope.post(url, async (request, reply) => {
      const { status, contentType, body } = judge({
        path: request.url.split('?')[0] ?? '',
        contentType: request.headers['content-type'],
        body: typeof request.body === 'string' ? request.body : '',
      });
      return reply.code(status).type(contentType).send(body);
    });
  };
  for (const url of ['/inject', '/inject/*']) route(url, (request) => webhooks.inject(request));
  route('/validate', (request) => webhooks.validate(request));
}

function isLoopback(address: string | undefined): boolean {
  return (
    address !== undefined && (address.startsWith('127.') || address === '::1' || address.startsWith('::ffff:127.'))
  );
}
