// Proof that capture rules are in force here, for pods whose rules somebody else has set (the CNI plugin): a connection
// to an address where nobody listens must arrive at the ports of the proxy.
// In: the ports. Out: true once one did arrive. Called by `meltemi iptables --run-validation`, before any proxy runs.

import { randomBytes } from 'node:crypto';
import { connect, createServer, type Server, type Socket } from 'node:net';
import { setTimeout as pause } from 'node:timers/promises';

export interface ValidationOptions {
  /** Where the rules lead: outbound and inbound port of the proxy. */
  readonly ports: readonly number[];
  /** How long to try, ms. */
  readonly timeoutMs: number;
}

/** Nobody has this address but rules that lead away from it; see ISTIO_OUTPUT. */
const TARGET = { host: '127.0.0.6', port: 15_002 };
const PERIOD_MS = 200;

/** Exit status of a pod without its rules: whoever repairs pods looks for it. */
export const NOT_CAPTURED = 126;

/** Rejects when the ports can't be had. */
export async function captureIsInForce({ ports, timeoutMs }: ValidationOptions): Promise<boolean> {
  const word = randomBytes(16).toString('hex');
  const servers = await Promise.all(ports.map((port) => listen(port, word)));
  try {
    const end = Date.now() + timeoutMs;
    for (;;) {
      if (await echoes(word)) return true;
      if (Date.now() > end) return false;
      await pause(PERIOD_MS);
    }
  } finally {
    for (const server of servers) server.close();
  }
}

/** Answers with a word that only this process knows, so that another's listener is not taken for it. */
function listen(port: number, word: string): Promise<Server> {
  return new Promise((resolve, reject) => {
    const server = createServer((socket) => {
      socket.on('error', () => socket.destroy());
      socket.end(word);
    });
    server.once('error', reject);
    server.listen(port, '127.0.0.1', () => resolve(server));
  });
}

function echoes(word: string): Promise<boolean> {
  return new Promise((resolve) => {
    const socket: Socket = connect(TARGET);
    let text = '';
    socket.setEncoding('utf8');
    socket.setTimeout(1000, () => socket.destroy());
    socket.on('data', (part: string) => {
      text += part;
    });
    socket.on('error', () => undefined);
    socket.on('close', () => resolve(text === word));
  });
}
