// A worker's TLS: it shows what it was told last, to those who connect from then on, and asks who they are and what to sign.
import { once } from 'node:events';
import { createConnection, createServer, type Server, type Socket } from 'node:net';
import { connect } from 'node:tls';
import { afterAll, expect, it } from 'vitest';
import { type ServingPair } from '../../src/ca/serving-credentials.ts';
import { openServingCert } from '../../src/ca/serving-cert.ts';
import type { Entrance } from '../../src/server/door.ts';
import { runWorker, type WorkerSettings } from '../../src/server/worker.ts';
import { Channel } from '../../src/workers/channel.ts';
import type { FromWorker, ToWorker } from '../../src/workers/messages.ts';
import { newAuthority } from '../ca/support.ts';
import { until } from '../support/wait.ts';

const closers: (() => void)[] = [];
afterAll(() => {
  for (const close of closers) close();
});

async function listening(onConnection: (socket: Socket) => void): Promise<number> {
  const server: Server = createServer({ pauseOnConnect: true }, onConnection);
  closers.push(() => server.close());
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  return (server.address() as { readonly port: number }).port;
}

async function pairOf(): Promise<ServingPair> {
  const { authority, ports } = await newAuthority();
  const serving = await openServingCert(authority, { hosts: ['localhost'] }, ports);
  serving.close();
  return serving.current;
}

async function shownAt(port: number): Promise<string> {
  const socket = connect({ port, host: '127.0.0.1', rejectUnauthorized: false, ALPNProtocols: ['h2'] });
  await once(socket, 'secureConnect');
  const { raw } = socket.getPeerCertificate();
  const closed = once(socket, 'close');
  socket.destroy();
  await closed;
  return raw.toString('base64');
}

it('shows the certificate that it was told of last', async () => {
  const [first, second] = [await pairOf(), await pairOf()];
  const derOf = ({ certificatePem }: ServingPair) => certificatePem.split('-----')[2]?.replaceAll('\n', '');
  let give: (entrance: Entrance, socket: Socket) => void = () => undefined;
  const said: FromWorker[] = [];
  const pipes = await listening((pipe) => {
    closers.push(() => pipe.destroy());
    pipe.resume();
    runWorker({ pipe, onConnection: (take) => (give = take), exit: () => said.push({ kind: 'parted' }) });
  });
  const pipe = createConnection(pipes, '127.0.0.1');
  closers.push(() => pipe.destroy());
  const channel = new Channel<FromWorker, ToWorker<WorkerSettings, ServingPair>>(pipe, (message) => said.push(message));
  const door = { identifier: 'test', maxStreamRate: 0, maxConnectionAge: undefined, sharers: 1 };
  const settings = { worker: 1, door, entrances: ['secureGrpc'] as const, pair: first, logJson: false, levels: [] };
  channel.send({ kind: 'start', settings });
  await until(async () => said.some(({ kind }) => kind === 'ready'), 'the worker');
  const port = await listening((socket) => give('secureGrpc', socket));
  expect(await shownAt(port)).toBe(derOf(first));
  channel.send({ kind: 'serving', pair: second });
  await until(async () => (await shownAt(port)) === derOf(second), 'the new certificate');
  // Each connection is told of when it has ended: who has the fewest is given the next.
  await until(async () => said.filter(({ kind }) => kind === 'parted').length >= 2, 'ended connections');
});
