import { createHash, randomBytes } from 'node:crypto';
import {
  type ClientHttp2Session,
  type ClientHttp2Stream,
  connect,
  createSecureServer,
  createServer,
  type Http2SecureServer,
  type Http2Server,
  type ServerHttp2Stream,
} from 'node:http2';
import type { AddressInfo } from 'node:net';
import fc from 'fast-check';
import { afterAll, afterEach, describe, expect, it } from 'vitest';
import { ENCRYPTED_BURST, WriteQueue } from '../../src/grpc/write-queue.ts';
import { newFolder, removeFolders } from '../ca/support.ts';
import { issue } from '../support/certificates.ts';

afterAll(removeFolders);

const WINDOW = 64 * 1024 * 1024;
const pair = issue(newFolder(), 'server', 'DNS:localhost');

interface Ends {
  readonly stream: ServerHttp2Stream;
  readonly queue: WriteQueue;
  readonly client: ClientHttp2Stream;
}

describe.each(['encrypted', 'plain'] as const)('writes to a stream, %s', (kind) => {
  const cleanups: (() => void)[] = [];
  afterEach(() => {
    for (const cleanup of cleanups.splice(0)) cleanup();
  });

  /** A stream to a client that takes as much as there is, as Envoys do. */
  const open = async (): Promise<Ends> => {
    const server: Http2Server | Http2SecureServer = kind === 'plain' ? createServer() : createSecureServer(pair);
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    cleanups.push(() => server.close());
    const arrived = new Promise<ServerHttp2Stream>((resolve) => server.once('stream', resolve));
    const scheme = kind === 'plain' ? 'http' : 'https';
    const session: ClientHttp2Session = connect(`${scheme}://localhost:${(server.address() as AddressInfo).port}`, {
      ca: pair.cert,
      settings: { initialWindowSize: WINDOW },
    });
    session.once('connect', () => session.setLocalWindowSize(WINDOW));
    cleanups.push(() => session.destroy());
    const client = session.request({ ':method': 'POST', ':path': '/' }, { endStream: false });
    const stream = await arrived;
    stream.respond({ ':status': 200 });
    return { stream, queue: new WriteQueue(stream), client };
  };

  const received = (client: ClientHttp2Stream): Promise<Buffer> => {
    const chunks: Buffer[] = [];
    client.on('data', (chunk: Buffer) => chunks.push(chunk));
    return new Promise((resolve) => client.once('end', () => resolve(Buffer.concat(chunks))));
  };

  it('brings whatever is written, in order, and tells of each message once, when it is taken', async () => {
    const sizes = fc.array(fc.array(fc.integer({ min: 0, max: 3 * ENCRYPTED_BURST }), { minLength: 1, maxLength: 4 }), {
      minLength: 1,
      maxLength: 6,
    });
    await fc.assert(
      fc.asyncProperty(sizes, fc.boolean(), async (messages, apart) => {
        const { stream, queue, client } = await open();
        const all = received(client);
        const written: Buffer[] = [];
        const taken: number[] = [];
        for (const [at, message] of messages.entries()) {
          const buffers = message.map((size) => randomBytes(size));
          written.push(...buffers);
          queue.write(buffers, () => taken.push(at));
          if (apart) await new Promise((resolve) => setImmediate(resolve));
        }
        queue.whenEmpty(() => stream.end());
        const digest = (bytes: Buffer) => createHash('sha256').update(bytes).digest('hex');
        expect(digest(await all)).toBe(digest(Buffer.concat(written)));
        expect(taken).toEqual(messages.map((_, at) => at));
      }),
      { numRuns: 30 },
    );
  });

  it('goes silent when the stream is gone, with much still waiting', async () => {
    const { stream, queue, client } = await open();
    stream.on('error', () => {});
    client.on('error', () => {});
    let ended = false;
    for (let i = 0; i < 20; i++) queue.write([randomBytes(1024 * 1024)], () => {});
    queue.whenEmpty(() => {
      ended = true;
    });
    const closed = new Promise((resolve) => stream.once('close', resolve));
    client.close();
    await closed;
    queue.write([randomBytes(100)], () => {});
    await new Promise((resolve) => setTimeout(resolve, 50));
    expect(ended).toBe(kind === 'plain');
  });

  it('hands over no more than the connection may keep memory for', async () => {
    const { stream, queue, client } = await open();
    client.resume();
    let underWay = 0;
    let most = 0;
    const write = stream.write.bind(stream) as (piece: Uint8Array, taken: (() => void) | undefined) => boolean;
    stream.write = ((piece: Uint8Array, taken: (() => void) | undefined) => {
      underWay += piece.length;
      most = Math.max(most, underWay);
      return write(piece, () => {
        underWay -= piece.length;
        taken?.();
      });
    }) as typeof stream.write;
    const message = Array.from({ length: 64 }, () => randomBytes(100_000));
    await new Promise<void>((resolve) => queue.write(message, resolve));
    expect(most).toBe(kind === 'plain' ? 6_400_000 : ENCRYPTED_BURST);
  });

  it('leaves little with a connection that was sent much', async () => {
    const message = Array.from({ length: 64 }, () => randomBytes(128 * 1024));
    const round = async (): Promise<void> => {
      const { queue, client } = await open();
      client.resume();
      await new Promise<void>((resolve) => queue.write(message, resolve));
    };
    for (let i = 0; i < 5; i++) await round();
    const before = process.memoryUsage.rss();
    for (let i = 0; i < 40; i++) await round();
    // Node.js keeps 8 MB and more for each of them otherwise.
    expect(process.memoryUsage.rss() - before).toBeLessThan(40 * 4 * 1024 * 1024);
  });
});
