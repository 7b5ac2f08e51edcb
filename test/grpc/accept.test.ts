import { spawn } from 'node:child_process';
import { lookup } from 'node:dns/promises';
import { connect, createServer, type Socket } from 'node:net';
import { afterEach, describe, expect, it } from 'vitest';
import { accept, type Acceptor } from '../../src/grpc/accept.ts';

const MORE_THAN_USUAL = 1_000;

describe('accepting connections', () => {
  const cleanups: (() => void)[] = [];
  afterEach(() => {
    for (const cleanup of cleanups.splice(0)) cleanup();
  });

  const acceptor = async (host: string, take: (socket: Socket) => void, port = 0): Promise<Acceptor> => {
    const made = await accept({ host, port }, take);
    cleanups.push(() => made.close());
    return made;
  };

  const client = (port: number, host: string): Promise<Socket> => {
    const socket = connect(port, host);
    cleanups.push(() => socket.destroy());
    return new Promise((resolve, reject) => {
      socket.once('connect', () => resolve(socket));
      socket.once('error', reject);
    });
  };

  it('lets more wait than Node.js does by itself', async () => {
    const { port } = await acceptor('127.0.0.1', (socket) => void cleanups.push(() => socket.destroy()));
    // Those who find no place are only let in by a second try, which comes after a second.
    const script = `
      const { connect } = require('node:net');
      let through = 0;
      for (let i = 0; i < ${MORE_THAN_USUAL}; i++)
        connect(${port}, '127.0.0.1').on('error', () => {}).on('connect', () => through++);
      const say = () => { process.stdout.write(String(through)); process.exit(); };
      setTimeout(() => setImmediate(() => setImmediate(say)), 500);`;
    const child = spawn(process.execPath, ['-e', script], { stdio: ['ignore', 'pipe', 'inherit'] });
    // Nobody accepts meanwhile.
    const until = Date.now() + 2_000;
    while (Date.now() < until);
    const said: Buffer[] = [];
    for await (const chunk of child.stdout) said.push(chunk as Buffer);
    expect(Number(Buffer.concat(said))).toBe(MORE_THAN_USUAL);
  });

  it('takes connections at every address of a name, on one port', async () => {
    const taken: string[] = [];
    const { port } = await acceptor('localhost', (socket) => {
      taken.push(socket.localAddress ?? '');
      socket.destroy();
    });
    const addresses = (await lookup('localhost', { all: true })).map(({ address }) => address);
    for (const address of addresses) await client(port, address);
    await expect.poll(() => taken.length).toBe(new Set(addresses).size);
  });

  it('says why when no address can be bound, and takes no more once it is closed', async () => {
    const other = createServer();
    await new Promise<void>((resolve) => other.listen(0, '127.0.0.1', resolve));
    cleanups.push(() => other.close());
    const { port } = other.address() as { readonly port: number };
    await expect(accept({ host: '127.0.0.1', port }, () => {})).rejects.toThrow(/EADDRINUSE.*127\.0\.0\.1/);
    await expect(accept({ host: 'no-such-name.invalid', port: 0 }, () => {})).rejects.toThrow(/no-such-name\.invalid/);
    const open = await acceptor('127.0.0.1', () => {});
    open.close();
    await expect(client(open.port, '127.0.0.1')).rejects.toThrow(/ECONNREFUSED/);
  });
});
