import { existsSync, statSync, writeFileSync } from 'node:fs';
import { connect, type IncomingHttpHeaders } from 'node:http2';
import { connect as connectSocket } from 'node:net';
import { join } from 'node:path';
import * as grpc from '@grpc/grpc-js';
import { afterAll, afterEach, beforeEach, describe, expect, it } from 'vitest';
import { payload } from '../../src/grpc/frames.ts';
import { serveOnSocket, type SocketServer } from '../../src/grpc/socket-server.ts';
import { newFolder, realTimers, removeFolders } from '../ca/support.ts';
import { sameBytes } from '../support/raw-grpc.ts';

afterAll(removeFolders);

describe('gRPC on a unix socket', () => {
  const folder = newFolder();
  const path = join(folder, 'below', 'SOCKET');
  let server: SocketServer;
  let client: grpc.Client;
  beforeEach(async () => {
    server = await serveOnSocket(
      path,
      new Map([
        [
          '/test.Echo/Talk',
          (call) =>
            call.listen({
              message: (bytes) => void call.write(payload(bytes)),
              writable: () => undefined,
              ended: () => undefined,
            }),
        ],
      ]),
      realTimers,
    );
    client = new grpc.Client(`unix:${path}`, grpc.credentials.createInsecure());
  });
  afterEach(() => {
    client.close();
    server.close();
  });

  const talk = (method: string) => {
    const call = client.makeBidiStreamRequest(method, sameBytes, sameBytes);
    call.on('error', () => undefined);
    const status = new Promise<grpc.StatusObject>((resolve) => call.on('status', resolve));
    call.write(Buffer.from('x'));
    return { call, status, first: new Promise<Buffer>((resolve) => call.once('data', resolve)) };
  };

  it('serves its methods to this user alone, and says that it has no others', async () => {
    expect(statSync(path).mode & 0o777).toBe(0o600);
    const { call, first, status } = talk('/test.Echo/Talk');
    expect(String(await first)).toBe('x');
    call.end();
    expect((await status).code).toBe(grpc.status.OK);
    const other = await talk('/test.Echo/Shout').status;
    expect(other).toMatchObject({
      code: grpc.status.UNIMPLEMENTED,
      details: expect.stringContaining('/test.Echo/Shout'),
    });
  });

  it('tells who does not speak gRPC by HTTP', async () => {
    const session = connect('http://localhost', { createConnection: () => connectSocket(path) });
    const stream = session.request({ ':path': '/test.Echo/Talk', 'content-type': 'text/plain' });
    const headers = await new Promise<IncomingHttpHeaders & { readonly ':status'?: number | undefined }>((resolve) =>
      stream.once('response', resolve),
    );
    expect(headers[':status']).toBe(415);
    session.close();
  });

  it('ends with every stream on it, and leaves no socket; what a predecessor left is replaced', async () => {
    const { first, status } = talk('/test.Echo/Talk');
    await first;
    server.close();
    expect((await status).code).toBe(grpc.status.UNAVAILABLE);
    await expect.poll(() => existsSync(path)).toBe(false);
    writeFileSync(path, 'left over');
    server = await serveOnSocket(path, new Map(), realTimers);
    expect(statSync(path).isSocket()).toBe(true);
  });
});
