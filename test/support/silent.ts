// A server that never answers: not even to the first packet of a connection.

import { once } from 'node:events';
import { connect, type Socket } from 'node:net';
import { Worker } from 'node:worker_threads';

const SERVER = `
  const { workerData, parentPort } = require('node:worker_threads');
  const server = require('node:net').createServer();
  server.listen({ ...workerData, backlog: 1 }, () => {
    parentPort.postMessage('listening');
    setImmediate(() => Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0));
  });
`;

/** Listens without accepting, with a full queue: whoever connects waits until it gives up. */
export async function startSilent(host: string, port: number): Promise<{ stop(): Promise<void> }> {
  const worker = new Worker(SERVER, { eval: true, workerData: { host, port } });
  await once(worker, 'message');
  const queued: Socket[] = [];
  const taken = async (): Promise<boolean> => {
    const socket = connect({ host, port });
    socket.on('error', () => undefined);
    queued.push(socket);
    return Promise.race([
      once(socket, 'connect').then(() => true),
      once(AbortSignal.timeout(150), 'abort').then(() => false),
    ]);
  };
  while (await taken());
  return {
    stop: async () => {
      for (const socket of queued) socket.destroy();
      await worker.terminate();
    },
  };
}
