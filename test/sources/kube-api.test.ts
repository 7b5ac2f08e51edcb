// Requests to an API server: kept connections, bodies, failures.
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo, Socket } from 'node:net';
import { KubeConfig } from '@kubernetes/client-node';
import { afterEach, describe, expect, it } from 'vitest';
import { kubeApi, type KubeApi, KubeError } from '../../src/sources/kube-api.ts';

const servers: Server[] = [];
afterEach(async () => {
  for (const server of servers.splice(0)) {
    server.closeAllConnections();
    await new Promise((resolve) => server.close(resolve));
  }
});

interface Rig {
  readonly api: KubeApi;
  readonly sockets: Set<Socket>;
}

async function rigOf(answer: (request: IncomingMessage, body: string, response: ServerResponse) => void): Promise<Rig> {
  const sockets = new Set<Socket>();
  const server = createServer((request, response) => {
    sockets.add(request.socket);
    let body = '';
    request.on('data', (chunk: Buffer) => (body += chunk.toString()));
    request.on('end', () => answer(request, body, response));
  });
  servers.push(server);
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const config = new KubeConfig();
  config.loadFromClusterAndUser(
    { name: 'c', server: `http://127.0.0.1:${(server.address() as AddressInfo).port}`, skipTLSVerify: true },
    { name: 'u', token: 'secret' },
  );
  return { api: kubeApi(config), sockets };
}

const signal = (): AbortSignal => AbortSignal.timeout(5000);
const reply = (response: ServerResponse, status: number, body: unknown): void =>
  void response.writeHead(status).end(JSON.stringify(body));

describe('requests to an API server', () => {
  it('say what kind of patch a body is, and go over one connection', async () => {
    const seen: string[] = [];
    const { api, sockets } = await rigOf((request, body, response) => {
      seen.push(`${request.method} ${request.url} ${request.headers['content-type']} ${body}`);
      reply(response, request.method === 'POST' ? 201 : 200, { ok: true });
    });
    await api.send({ method: 'POST', path: '/a', body: { é: 1 } }, signal());
    for (const patch of ['json-patch', 'merge-patch', 'apply-patch'] as const)
      await api.send({ method: 'PATCH', path: '/b', query: { force: true }, patch, body: [] }, signal());
    expect(await api.send({ method: 'DELETE', path: '/c' }, signal())).toEqual({ ok: true });
    expect(seen).toEqual([
      'POST /a application/json {"é":1}',
      'PATCH /b?force=true application/json-patch+json []',
      'PATCH /b?force=true application/merge-patch+json []',
      'PATCH /b?force=true application/apply-patch+yaml []',
      'DELETE /c undefined ',
    ]);
    expect(sockets.size).toBe(1);
  });

  it('ask for no more than metadata of what is written where nobody reads it', async () => {
    const accepted: (string | undefined)[] = [];
    const { api } = await rigOf((request, _body, response) => {
      accepted.push(request.headers.accept);
      if (request.url === '/refused') reply(response, 403, { message: 'not allowed' });
      else response.writeHead(200).end('not to be parsed');
    });
    const patch = { method: 'PATCH', patch: 'apply-patch', path: '/a', body: {}, unread: true } as const;
    expect(await api.send(patch, signal())).toBeUndefined();
    expect(accepted).toEqual(['application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1']);
    await expect(api.send({ ...patch, path: '/refused' }, signal())).rejects.toMatchObject({
      status: 403,
      message: 'not allowed',
    });
  });

  it('reject with the status and words of the server, or 0 where there was none', async () => {
    const { api } = await rigOf((request, _body, response) => {
      if (request.url === '/gone') response.destroy();
      else reply(response, 409, { message: 'the object has been modified' });
    });
    const put = { method: 'PUT', path: '/a', body: {} } as const;
    await expect(api.send(put, signal())).rejects.toMatchObject({
      status: 409,
      message: 'the object has been modified',
    });
    await expect(api.send({ ...put, path: '/gone' }, signal())).rejects.toMatchObject({ status: 0 });
  });

  it('are made once more when a kept connection turns out to be closed', async () => {
    let requests = 0;
    const { api, sockets } = await rigOf((request, _body, response) => {
      // The second request comes to a connection that is just being closed.
      if (++requests === 2) request.socket.resetAndDestroy();
      else reply(response, 200, { requests });
    });
    await api.get('/a', {}, signal());
    expect(await api.get('/a', {}, signal())).toEqual({ requests: 3 });
    expect(sockets.size).toBe(2);
  });

  const TYPED = 'application/vnd.kubernetes.protobuf;stream=watch';
  const frame = (text: string): Buffer => Buffer.concat([Buffer.from([0, 0, 0, text.length]), Buffer.from(text)]);
  const followed = async (answer: (response: ServerResponse) => void): Promise<readonly unknown[]> => {
    const accepted: unknown[] = [];
    const { api } = await rigOf((request, _body, response) => {
      accepted.push(request.headers.accept);
      answer(response);
    });
    const values: unknown[] = [];
    const decode = (bytes: Uint8Array): unknown => {
      const text = Buffer.from(bytes).toString();
      if (text === 'bad') throw new Error('no event');
      return text;
    };
    const take = (some: readonly unknown[]): void => void values.push(...some);
    await api.follow('/w', { watch: true }, signal(), take, undefined, decode).catch((error: unknown) => {
      values.push(error instanceof KubeError ? `${error.status} ${error.message}` : error);
    });
    expect(accepted).toEqual([`${TYPED}, application/json`]);
    return values;
  };

  it('follow changes in the encoding of Kubernetes where the server has it, otherwise in JSON', async () => {
    const typed = await followed((response) => {
      response.writeHead(200, { 'content-type': TYPED });
      response.write(Buffer.concat([frame('one'), frame('two'), frame('three').subarray(0, 6)]));
      setTimeout(() => response.end(frame('three').subarray(6)), 20);
    });
    expect(typed).toEqual(['one', 'two', 'three']);
    const plain = await followed((response) => {
      response.writeHead(200, { 'content-type': 'application/json' }).end('{"a":1}\n\n{"b":2}\n');
    });
    expect(plain).toEqual([{ a: 1 }, { b: 2 }]);
  });

  it('end a watch at what they cannot read, after what came before it', async () => {
    const values = await followed((response) => {
      response.writeHead(200, { 'content-type': TYPED });
      response.write(frame('one'));
      setTimeout(() => response.write(Buffer.concat([frame('bad'), frame('two')])), 20);
    });
    expect(values).toEqual(['one', '0 no event']);
  });
});
