// The process of a worker. Started by workers.ts with connections on its channel and messages on its fifth stream; ends when
// it is told to, or when the process that started it is gone.

import { Socket } from 'node:net';
import type { Entrance } from './door.ts';
import { runWorker } from './worker.ts';

const PIPE = 4;

// A terminal tells the whole group; the process that started this one says when it is time.
for (const signal of ['SIGINT', 'SIGTERM'] as const) process.on(signal, () => undefined);
process.on('disconnect', () => process.exit());

runWorker({
  pipe: new Socket({ fd: PIPE, readable: true, writable: true }),
  onConnection: (take) => {
    process.on('message', (message: { readonly entrance: Entrance }, socket: Socket | undefined) => {
      // It may have ended on the way.
      if (socket !== undefined) take(message.entrance, socket);
    });
  },
  exit: () => process.exit(),
});
