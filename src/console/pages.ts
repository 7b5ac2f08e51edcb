// Debug pages and admission webhooks. Debug pages show configuration, so that callers from other machines need a token of the
// control plane's own namespace. Loaded by http.ts with the first request that asks for one of them.

import fastify, { type FastifyInstance, type FastifyReply, type FastifyRequest } from 'fastify';
import type { IncomingMessage, ServerResponse } from 'node:http';
import type { WebhookAnswer, WebhookRequest } from '../lib/webhook.ts';
import { debugPage, type DebugQuery } from './debug.ts';
import type { HttpOptions } from './http.ts';
import type { PreviewRequest, WebhookPort } from './port.ts';

/** A folder of configuration, as JSON. */
const MAX_PREVIEW_BYTES = 32 * 1024 * 1024;

export interface Pages {
  readonly answer: (request: IncomingMessage, response: ServerResponse) => void;
  readonly close: () => Promise<void>;
}

export async function openPages(options: PagesOptions): Promise<Pages> {
  const app = build(options);
  await app.ready();
  return { answer: (request, response) => app.routing(request, response), close: () => app.close() };
}

type PagesOptions = Pick<HttpOptions, 'port' | 'mayInspect' | 'webhooks'>;

function build({ port, mayInspect, webhooks }: PagesOptions): FastifyInstance {
  const app = fastify();
  app.get('/version', async () => ({ version: port.version }));
  /** Answers who may not look; true for the others. */
  const admitted = async (request: FastifyRequest, reply: FastifyReply): Promise<boolean> => {
    const bearer = /^Bearer (.+)$/i.exec(request.headers.authorization ?? '')?.[1];
    if (isLoopback(request.socket.remoteAddress) || (await mayInspect(bearer))) return true;
    await reply
      .code(bearer === undefined ? 401 : 403)
      .send({ error: 'debug pages need a token of the control plane namespace from other machines' });
    return false;
  };
  const page = async (request: FastifyRequest, reply: FastifyReply): Promise<unknown> => {
    if (!(await admitted(request, reply))) return reply;
    const { page: name = 'list' } = request.params as { readonly page?: string };
    const answer = debugPage(name, port, request.query as DebugQuery);
    if (answer.kind === 'missing') return reply.code(404).send({ error: answer.message });
    return reply.type('application/json').send(JSON.stringify(answer.value, undefined, 2));
  };
  app.get('/debug', page);
  app.get('/debug/:page', page);
  // Who may not look is told so before the body is read.
  const onRequest = async (request: FastifyRequest, reply: FastifyReply): Promise<void> => {
    await admitted(request, reply);
  };
  app.post('/debug/preview', { bodyLimit: MAX_PREVIEW_BYTES, onRequest }, async (request, reply) => {
    const wanted = previewRequest(request.body);
    if (wanted === undefined) return reply.code(400).send({ error: 'expected {"documents": [{"value": …}]}' });
    return reply.type('application/json').send(JSON.stringify(await port.preview(wanted)));
  });
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

/** Undefined where the body is none; what the documents hold is judged later. */
function previewRequest(body: unknown): PreviewRequest | undefined {
  const { documents, delete: gone, proxy } = (body ?? {}) as Readonly<Record<string, unknown>>;
  if (!Array.isArray(documents) || !documents.every((each) => typeof each === 'object' && each !== null))
    return undefined;
  if (proxy !== undefined && typeof proxy !== 'string') return undefined;
  const known = documents.map(({ value, origin }: { readonly value?: unknown; readonly origin?: unknown }) => ({
    value,
    ...(typeof origin === 'string' ? { origin } : {}),
  }));
  return { documents: known, delete: gone === true, proxy };
}

function isLoopback(address: string | undefined): boolean {
  return (
    address !== undefined && (address.startsWith('127.') || address === '::1' || address.startsWith('::ffff:127.'))
  );
}
