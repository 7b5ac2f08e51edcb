// Requests to an API server that speaks HTTP/2 over TLS, as real ones do, and to one that does not.
import { setMaxListeners } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import {
  createSecureServer,
  type Http2SecureServer,
  type ServerHttp2Session,
  type ServerHttp2Stream,
} from 'node:http2';
import { createServer as createHttpsServer } from 'node:https';
import { connect as connectPlainly, createServer, type AddressInfo, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, describe, expect, it } from 'vitest';
import type { KubeAccess } from '../../src/sources/kube-access.ts';
import { kubeApi, type KubeApi } from '../../src/sources/kube-api.ts';
import { issue } from '../support/certificates.ts';
import { until } from '../support/wait.ts';

const folder = mkdtempSync(join(tmpdir(), 'meltemi-kube-'));
const pair = issue(folder, 'api', 'IP:127.0.0.1');
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const closers: (() => Promise<void> | void)[] = [];
afterEach(async () => {
  for (const close of closers.splice(0).reverse()) await close();
});

function accessTo(port: number, more: object = {}): KubeAccess {
  return {
    getCurrentCluster: () => ({ server: `https://127.0.0.1:${port}` }),
    applyToHTTPSOptions: async (options) => {
      Object.assign(options, { ca: pair.cert, ...more });
    },
  };
}

type Answer = (path: string, stream: ServerHttp2Stream, session: ServerHttp2Session) => void;

interface Rig {
  readonly api: KubeApi;
  readonly sessions: ServerHttp2Session[];
  readonly asked: Readonly<Record<string, unknown>>[];
}

async function rigOf(answer: Answer, more: object = {}): Promise<Rig> {
  const sessions: ServerHttp2Session[] = [];
  const asked: Readonly<Record<string, unknown>>[] = [];
  const server: Http2SecureServer = createSecureServer({ key: pair.key, cert: pair.cert, allowHTTP1: true });
  server.on('session', (session) => sessions.push(session));
  server.on('stream', (stream, headers) => {
    asked.push(headers);
    stream.on('error', () => undefined);
    if (stream.session !== undefined) answer(headers[':path'] ?? '', stream, stream.session as ServerHttp2Session);
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  closers.push(() => {
    for (const session of sessions) session.destroy();
    return new Promise<void>((resolve) => server.close(() => resolve()));
  });
  const { port } = server.address() as AddressInfo;
  return { api: kubeApi(accessTo(port, more)), sessions, asked };
}

const signal = (): AbortSignal => AbortSignal.timeout(5000);
const reply = (stream: ServerHttp2Stream, body: unknown): void => {
  stream.respond({ ':status': 200, 'content-type': 'application/json' });
  stream.end(JSON.stringify(body));
};

describe('requests to an API server that speaks HTTP/2', () => {
  it('share one connection: lists, writes, and watches that stay', async () => {
    const { api, sessions, asked } = await rigOf(
      (path, stream) => {
        if (!path.includes('watch')) return reply(stream, { path });
        stream.respond({ ':status': 200 });
        stream.write('{"n":1}\n{"n"');
        stream.write(':2}\n');
        return undefined;
      },
      { auth: 'me:secret' },
    );
    const stop = new AbortController();
    setMaxListeners(0, stop.signal);
    const heard: unknown[] = [];
    const take = (values: readonly unknown[]) => void heard.push(...values);
    const watches = Array.from({ length: 20 }, () => api.follow('/w', { watch: true }, stop.signal, take));
    expect(await Promise.all(Array.from({ length: 20 }, (_, i) => api.get(`/${i}`, {}, signal())))).toHaveLength(20);
    await api.send({ method: 'PUT', path: '/a', body: { é: 1 } }, signal());
    await until(async () => heard.length === 40, 'what is watched');
    expect(sessions).toHaveLength(1);
    expect(asked[0]).toMatchObject({ accept: 'application/json', authorization: 'Basic bWU6c2VjcmV0' });
    expect(asked.at(-1)).toMatchObject({ ':method': 'PUT', 'content-type': 'application/json', 'content-length': '8' });
    stop.abort();
    for (const { status } of await Promise.allSettled(watches)) expect(status).toBe('rejected');
  });

  it('go over a new connection when the server leaves', async () => {
    let requests = 0;
    const { api, sessions } = await rigOf((_path, stream, session) => {
      // The second one comes to a connection that is just being closed.
      if (++requests === 2) session.destroy();
      else reply(stream, { requests });
    });
    await api.get('/a', {}, signal());
    expect(await api.get('/b', {}, signal())).toEqual({ requests: 3 });
    sessions.at(-1)?.goaway();
    expect(await api.get('/c', {}, signal())).toEqual({ requests: 4 });
    expect(sessions).toHaveLength(3);
  });

  it('fail where an answer is cut off, and for want of one', async () => {
    const { api } = await rigOf((path, stream, session) => {
      if (path === '/none') return stream.destroy(new Error('none'));
      stream.respond({ ':status': 200 });
      // What arrived would pass for all there is.
      stream.write('{"items":[]}', () => (path === '/half' ? stream : session).destroy(new Error('half')));
      return undefined;
    });
    for (const path of ['/half', '/none', '/lost'])
      await expect(api.get(path, {}, signal()), path).rejects.toMatchObject({ status: 0 });
  });

  it('are HTTP/1.1 where the server has nothing else', async () => {
    const server = createHttpsServer({ key: pair.key, cert: pair.cert }, (request, response) =>
      response.end(JSON.stringify({ version: request.httpVersion })),
    );
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    closers.push(() => {
      server.closeAllConnections();
      return new Promise<void>((resolve) => server.close(() => resolve()));
    });
    const api = kubeApi(accessTo((server.address() as AddressInfo).port));
    expect(await api.get('/a', {}, signal())).toEqual({ version: '1.1' });
  });

  it('fail when the connection breaks or the server is a stranger, and work again afterwards', async () => {
    const rig = await rigOf((path, stream) => (path === '/wait' ? undefined : reply(stream, { path })));
    const target = (await addressOf(rig)).port;
    const sockets = new Set<Socket>();
    const relay = createServer((client) => {
      const upstream = connectPlainly(target, '127.0.0.1');
      for (const socket of [client, upstream]) sockets.add(socket.on('error', () => undefined));
      client.pipe(upstream).pipe(client);
    });
    await new Promise<void>((resolve) => relay.listen(0, '127.0.0.1', resolve));
    closers.push(() => void relay.close());
    const { port } = relay.address() as AddressInfo;
    const api = kubeApi(accessTo(port));
    const waiting = Promise.all([api.get('/a', {}, signal()), api.get('/wait', {}, signal())]);
    await until(async () => rig.asked.some((headers) => headers[':path'] === '/wait'), 'both requests');
    for (const socket of sockets) socket.destroy();
    await expect(waiting).rejects.toMatchObject({ status: 0 });
    expect(await api.get('/b', {}, signal())).toEqual({ path: '/b' });
    for (const socket of sockets) socket.destroy();
    await expect(kubeApi(accessTo(port, { ca: undefined })).get('/c', {}, signal())).rejects.toMatchObject({
      status: 0,
    });
  });
});

async function addressOf({ api, sessions }: Rig): Promise<{ readonly port: number }> {
  await api.get('/first', {}, signal());
  return { port: sessions[0]?.socket.localPort ?? 0 };
}
