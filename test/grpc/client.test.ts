// The agent's gRPC client, against grpc-js where the peer behaves, and against bare HTTP/2 and TCP where it doesn't.

import { once } from 'node:events';
import { createServer as createHttp2, type Http2Server, type ServerHttp2Stream } from 'node:http2';
import { type AddressInfo, connect, createServer as createTcp, type Socket } from 'node:net';
import * as grpc from '@grpc/grpc-js';
import { afterAll, afterEach, describe, expect, it } from 'vitest';
import { openAuthority } from '../../src/ca/authority.ts';
import { controlPlaneHosts, openServingCert } from '../../src/ca/serving-cert.ts';
import { ClientCall, type ClientOptions, type ClientTarget, unaryCall } from '../../src/grpc/client.ts';
import type { CallEnd } from '../../src/grpc/errors.ts';
import { realTimers, recordingLog, recordingMeter, removeFolders } from '../ca/support.ts';
import { rawMethod } from '../support/raw-grpc.ts';

const PATH = '/test.Echo/Talk';
const closers: (() => void)[] = [];
afterEach(() => {
  for (const close of closers.splice(0).reverse()) close();
});
afterAll(removeFolders);

const plain = (port: number): ClientTarget => ({ address: `127.0.0.1:${port}`, tls: undefined });

interface Talk {
  readonly call: ClientCall;
  readonly got: Buffer[];
  readonly connected: Promise<void>;
  readonly end: Promise<CallEnd>;
}

function deferred<T>(): { readonly promise: Promise<T>; readonly resolve: (value: T) => void } {
  let resolve: (value: T) => void = () => undefined;
  const promise = new Promise<T>((done) => {
    resolve = done;
  });
  return { promise, resolve };
}

function talk(target: ClientTarget, options: Partial<ClientOptions> = {}): Talk {
  const got: Buffer[] = [];
  const connected = deferred<void>();
  const end = deferred<CallEnd>();
  const listener = {
    connected: () => connected.resolve(),
    message: (bytes: Buffer) => void got.push(bytes),
    ended: (status: CallEnd) => end.resolve(status),
  };
  const call = new ClientCall(target, PATH, listener, { metadata: {}, ...options });
  closers.push(() => call.cancel());
  return { call, got, connected: connected.promise, end: end.promise };
}

/** A server that does with a stream what the test says. */
async function http2(
  onStream: (stream: ServerHttp2Stream, connection: Socket | undefined) => void,
): Promise<{ server: Http2Server; port: number }> {
  const server = createHttp2();
  const sockets = new Set<Socket>();
  server.on('connection', (socket: Socket) => sockets.add(socket));
  server.on('stream', (stream) => {
    stream.on('error', () => undefined);
    onStream(stream, [...sockets].at(-1));
  });
  server.on('sessionError', () => undefined);
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  closers.push(() => {
    server.close();
    for (const socket of sockets) socket.destroy();
  });
  return { server, port: (server.address() as AddressInfo).port };
}

async function echo(credentials: grpc.ServerCredentials): Promise<{ server: grpc.Server; port: number }> {
  const server = new grpc.Server();
  server.addService(
    { Talk: rawMethod(PATH, 'bidi') },
    {
      Talk: (call: grpc.ServerDuplexStream<Buffer, Buffer>) => {
        call.on('data', (bytes: Buffer) => {
          if (bytes.length > 0) call.write(bytes);
          else call.emit('error', { code: grpc.status.PERMISSION_DENIED, details: 'nicht für dich: 100 %' });
        });
        call.on('end', () => call.end());
        call.on('error', () => undefined);
      },
    },
  );
  const port = await new Promise<number>((resolve, reject) => {
    server.bindAsync('127.0.0.1:0', credentials, (error, bound) => (error ? reject(error) : resolve(bound)));
  });
  closers.push(() => server.forceShutdown());
  return { server, port };
}

describe('a call', () => {
  it('ends with the status that the server gives it, words and all', async () => {
    const { port } = await echo(grpc.ServerCredentials.createInsecure());
    const { call, got, end } = talk(plain(port));
    call.write(Buffer.from('one'));
    call.write(Buffer.from('two'));
    call.write(Buffer.alloc(0));
    expect(await end).toEqual({ code: grpc.status.PERMISSION_DENIED, details: 'nicht für dich: 100 %' });
    expect(got.map(String)).toEqual(['one', 'two']);
  });

  it('ends well when both have said all', async () => {
    const { port } = await echo(grpc.ServerCredentials.createInsecure());
    const { call, got, end } = talk(plain(port));
    call.write(Buffer.from('one'));
    call.end();
    expect(await end).toMatchObject({ code: grpc.status.OK });
    expect(got.map(String)).toEqual(['one']);
  });

  it.each([
    [
      'a status of HTTP',
      (stream: ServerHttp2Stream) => stream.respond({ ':status': 503 }, { endStream: true }),
      14,
      /503/,
    ],
    [
      'a missing page',
      (stream: ServerHttp2Stream) => stream.respond({ ':status': 404 }, { endStream: true }),
      12,
      /404/,
    ],
    ['a reset', (stream: ServerHttp2Stream) => stream.close(8), 1, /RST_STREAM with code 8/],
    ['a refusal', (stream: ServerHttp2Stream) => stream.close(7), 14, /RST_STREAM with code 7/],
    [
      'an end without a word',
      (stream: ServerHttp2Stream) => stream.respond({ ':status': 200 }, { endStream: true }),
      2,
      /without a status/,
    ],
    [
      'an error of the connection',
      (stream: ServerHttp2Stream) => stream.session?.destroy(new Error('gone'), 2),
      14,
      /./,
    ],
    [
      'a connection that is closed',
      (_stream: ServerHttp2Stream, connection: Socket | undefined) => connection?.destroy(),
      14,
      /Connection dropped|ECONNRESET/,
    ],
    [
      'a message that is cut off',
      (stream: ServerHttp2Stream) => {
        stream.respond({ ':status': 200 });
        stream.end(Buffer.from([1, 0, 0, 0, 1, 0]));
      },
      13,
      /compressed/,
    ],
  ])('tells %s', async (_what, act, code, words) => {
    const { port } = await http2(act);
    const { call, end } = talk(plain(port));
    call.write(Buffer.from('x'));
    const status = await end;
    expect(status.details).toMatch(words);
    expect(status.code).toBe(code);
  });

  it('goes on when the server is about to go, and ends when that says so', async () => {
    const streams: ServerHttp2Stream[] = [];
    const { port } = await http2((stream) => {
      streams.push(stream);
      stream.respond({ ':status': 200 }, { waitForTrailers: true });
      stream.on('data', (chunk: Buffer) => void stream.write(chunk));
      stream.on('wantTrailers', () => stream.sendTrailers({ 'grpc-status': '14', 'grpc-message': 'max age' }));
    });
    const { call, got, connected, end } = talk(plain(port));
    await connected;
    call.write(Buffer.from('before'));
    await expect.poll(() => got.length).toBe(1);
    const [stream] = streams;
    stream?.session?.goaway(0);
    call.write(Buffer.from('after'));
    await expect.poll(() => got.length).toBe(2);
    stream?.end();
    expect(await end).toEqual({ code: 14, details: 'max age' });
  });

  it('says who was not there', async () => {
    const { server, port } = await http2(() => undefined);
    server.close();
    await once(server, 'close');
    const { end } = talk(plain(port));
    expect(await end).toMatchObject({ code: 14, details: expect.stringContaining('ECONNREFUSED') });
  });

  it('notices a server that is gone without a word', async () => {
    const { port } = await http2((stream) => stream.respond({ ':status': 200 }));
    const between: Socket[] = [];
    const way = createTcp((near) => {
      const far = connect(port, '127.0.0.1');
      between.push(near, far);
      for (const socket of [near, far]) socket.on('error', () => undefined);
      near.pipe(far).pipe(near);
    });
    way.listen(0, '127.0.0.1');
    await once(way, 'listening');
    closers.push(() => {
      way.close();
      for (const socket of between) socket.destroy();
    });
    const keepalive = { everyMs: 50, timeoutMs: 200 };
    const { connected, end } = talk(plain((way.address() as AddressInfo).port), { keepalive });
    await connected;
    // Some pings are answered, then nothing passes any more.
    await new Promise((resolve) => setTimeout(resolve, 300));
    const [near, far] = between;
    near?.unpipe();
    far?.unpipe();
    for (const socket of between) socket.pause();
    expect(await end).toEqual({ code: 14, details: 'no answer to a ping within 200 ms' });
  });

  it('asks no connection for a sign of life that is gone and has not said so yet', async () => {
    const { port } = await http2((stream) => {
      stream.respond({ ':status': 200 });
      // The client ends its connection for it.
      setTimeout(() => stream.session?.goaway(2), 50);
    });
    const tunnel = connect(port, '127.0.0.1');
    const destroy = tunnel._destroy.bind(tunnel);
    // As on a busy machine: it takes a while until the connection says that it is closed.
    tunnel._destroy = (error, closed) => void setTimeout(() => destroy(error, closed), 150);
    closers.push(() => tunnel.destroy());
    const closed = once(tunnel, 'close').catch(() => undefined);
    const { connected, end } = talk({ ...plain(port), tunnel }, { keepalive: { everyMs: 20, timeoutMs: 5_000 } });
    await connected;
    expect((await end).code).toBe(14);
    // What is thrown for a ping ends the process, and this run.
    await closed;
  });

  it('is not begun with metadata that would break out of its line', () => {
    expect(() => talk(plain(1), { metadata: { authorization: 'Bearer secret\nx: y' } })).toThrow(
      /^(?!.*secret).*authorization/s,
    );
  });
});

describe('one message for one', () => {
  it('does not wait for ever', async () => {
    const { port } = await http2(() => undefined);
    const call = unaryCall(plain(port), PATH, Buffer.from('x'), { metadata: {}, deadlineMs: 100 });
    await expect(call).rejects.toMatchObject({ code: 4, message: '4 DEADLINE_EXCEEDED: no answer within 100 ms' });
  });

  it('needs an answer', async () => {
    const { port } = await http2((stream) =>
      stream.respond({ ':status': 200, 'grpc-status': '0' }, { endStream: true }),
    );
    const call = unaryCall(plain(port), PATH, Buffer.from('x'), { metadata: {}, deadlineMs: 10_000 });
    await expect(call).rejects.toMatchObject({ message: '13 INTERNAL: the server answered with no message' });
  });
});

describe('TLS', () => {
  async function secure() {
    const ports = {
      clock: { now: Date.now },
      timers: realTimers,
      log: recordingLog().log,
      meter: recordingMeter().meter,
    };
    const authority = await openAuthority({ trustDomain: 'cluster.local', lifetime: {} }, ports);
    const other = await openAuthority({ trustDomain: 'cluster.local', lifetime: {} }, ports);
    const serving = await openServingCert(authority, { hosts: controlPlaneHosts('istio-system', '', []) }, ports);
    closers.push(() => {
      serving.close();
      authority.close();
      other.close();
    });
    const { port } = await echo(serving.credentials());
    const hello = async (roots: string, serverName: string) => {
      const tls = { roots, serverName, pair: undefined };
      const { call, end, got } = talk({ address: `127.0.0.1:${port}`, tls });
      call.write(Buffer.from('hello'));
      call.end();
      return { ...(await end), got: got.map(String) };
    };
    return { hello, roots: authority.rootBundle, others: other.rootBundle };
  }

  it('trusts the roots that it is given and the name that it expects, and says what is wrong with others', async () => {
    const { hello, roots, others } = await secure();
    expect(await hello(roots, 'istiod.istio-system.svc')).toMatchObject({ code: 0, got: ['hello'] });
    expect(await hello(roots, 'elsewhere.example')).toMatchObject({
      code: 14,
      details: expect.stringMatching(/elsewhere\.example.*not in the cert/),
    });
    expect(await hello(roots, '192.0.2.1')).toMatchObject({ code: 14, details: expect.stringContaining('192.0.2.1') });
    expect(await hello(others, 'istiod.istio-system.svc')).toMatchObject({
      code: 14,
      details: expect.stringMatching(/certificate/),
    });
  });
});
