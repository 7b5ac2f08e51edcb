// Accepts connections for servers that do not listen themselves.
// In: an address. Out: each connection as it is accepted. Called by the xDS server and by the pool of workers.
// Node.js lets 511 connections wait to be accepted unless it is told otherwise. When a thousand proxies come back at once the
// kernel drops the others, who try again after one, three and seven seconds. As Go does, as many as the system allows wait here.

import { lookup } from 'node:dns/promises';
import { createServer, isIP, type Server, type Socket } from 'node:net';
import type { ListenAddress } from '../lib/listen.ts';

/** The most that Linux takes; net.core.somaxconn decides. */
const BACKLOG = 65_535;

export interface Acceptor {
  readonly port: number;
  /** Accepts no more; connections that were accepted stay. */
  close(): void;
}

export interface AcceptOptions {
  /** Nothing is read from a connection before its taker does. */
  readonly paused?: boolean;
  /** Told of an error after the address was bound. */
  readonly failed?: (error: Error) => void;
}

/**
 * Listens on every address that the host has, on one port. Rejects with the error of the first when none could be bound, and
 * when the host has no address.
 */
export async function accept(
  { host, port }: ListenAddress,
  take: (connection: Socket) => void,
  options: AcceptOptions = {},
): Promise<Acceptor> {
  const hosts = isIP(host) === 0 ? (await lookup(host, { all: true })).map(({ address }) => address) : [host];
  const servers: Server[] = [];
  const errors: unknown[] = [];
  let bound = port;
  for (const each of new Set(hosts)) {
    const server = createServer({ pauseOnConnect: options.paused === true, noDelay: true }, take);
    try {
      bound = await listen(server, { host: each, port: bound });
      server.on('error', (error) => options.failed?.(error));
      servers.push(server);
    } catch (error) {
      errors.push(error);
    }
  }
  if (servers.length === 0) throw errors[0];
  return {
    port: bound,
    close: () => {
      for (const server of servers) server.close();
    },
  };
}

function listen(server: Server, { host, port }: ListenAddress): Promise<number> {
  return new Promise((resolve, reject) => {
    server.once('error', reject);
    server.listen({ host, port, backlog: BACKLOG }, () => {
      server.off('error', reject);
      const address = server.address();
      resolve(typeof address === 'object' && address !== null ? address.port : port);
    });
  });
}
