// Questions that the proxy can't answer itself, passed on to the resolvers of the machine.
// In: a query as bytes; out: the first response as bytes, or undefined when no resolver had one. Called by server.ts.

import { randomInt } from 'node:crypto';
import { createSocket } from 'node:dgram';
import { connect } from 'node:net';
import type { Timers } from '../../lib/ports.ts';
import { framed, frames } from './tcp-frames.ts';

export type Transport = 'udp' | 'tcp';

export interface Resolver {
  readonly host: string;
  readonly port: number;
}

export interface UpstreamOptions {
  readonly resolvers: readonly Resolver[];
  /** Asks all at once, and takes the first answer; else one after the other. */
  readonly parallel: boolean;
  readonly timers: Timers;
  /** In [0, 1). */
  readonly random: () => number;
  failed(resolver: Resolver, reason: string): void;
}

export interface Upstream {
  ask(query: Buffer, transport: Transport): Promise<Buffer | undefined>;
}

const TIMEOUT_MS = 5000;

export function upstreamOf(options: UpstreamOptions): Upstream {
  const attempt = async (resolver: Resolver, query: Buffer, transport: Transport): Promise<Buffer> => {
    try {
      return await exchange(resolver, query, transport, options.timers);
    } catch (error) {
      options.failed(resolver, error instanceof Error ? error.message : String(error));
      throw error;
    }
  };
  return {
    ask: async (query, transport) => {
      const resolvers = shuffled(options.resolvers, options.random);
      if (options.parallel) {
        return Promise.any(resolvers.map((resolver) => attempt(resolver, query, transport))).catch(() => undefined);
      }
      for (const resolver of resolvers) {
        const response = await attempt(resolver, query, transport).catch(() => undefined);
        if (response !== undefined) return response;
      }
      return undefined;
    },
  };
}

/** In an order that is not always the same, so that neither resolvers nor endpoints get all of the load. */
export function shuffled<T>(values: readonly T[], random: () => number): readonly T[] {
  if (values.length < 2) return values;
  const copy = [...values];
  for (let last = copy.length - 1; last > 0; last--) {
    const other = Math.floor(random() * (last + 1));
    [copy[last], copy[other]] = [copy[other] as T, copy[last] as T];
  }
  return copy;
}

/** With an id and a port of its own, that nobody else can guess; the client's id is put back. */
async function exchange(resolver: Resolver, query: Buffer, transport: Transport, timers: Timers): Promise<Buffer> {
  const own = Buffer.from(query);
  own.writeUInt16BE(randomInt(0x10000), 0);
  const response = await (transport === 'udp' ? overUdp : overTcp)(resolver, own, timers);
  query.copy(response, 0, 0, 2);
  return response;
}

function overUdp({ host, port }: Resolver, query: Buffer, timers: Timers): Promise<Buffer> {
  return new Promise((resolve, reject) => {
    const socket = createSocket(host.includes(':') ? 'udp6' : 'udp4');
    const finish = (act: () => void): void => {
      cancel();
      socket.close();
      act();
    };
    const cancel = timers.setTimeout(() => finish(() => reject(new Error('no answer in time'))), TIMEOUT_MS);
    socket.on('error', (error) => finish(() => reject(error)));
    socket.on('message', (response) => {
      if (isAnswerTo(response, query)) finish(() => resolve(response));
    });
    // A connected socket takes packets of this resolver alone, and hears of it when nobody listens there.
    socket.connect(port, host, () => socket.send(query));
  });
}

function overTcp({ host, port }: Resolver, query: Buffer, timers: Timers): Promise<Buffer> {
  return new Promise((resolve, reject) => {
    const socket = connect({ host, port });
    const finish = (act: () => void): void => {
      cancel();
      socket.destroy();
      act();
    };
    const cancel = timers.setTimeout(() => finish(() => reject(new Error('no answer in time'))), TIMEOUT_MS);
    socket.on('error', (error) => finish(() => reject(error)));
    socket.on('close', () => finish(() => reject(new Error('closed without an answer'))));
    socket.on(
      'data',
      frames((response) => {
        if (isAnswerTo(response, query)) finish(() => resolve(response));
      }),
    );
    socket.write(framed(query));
  });
}

function isAnswerTo(response: Buffer, query: Buffer): boolean {
  return response.length >= 12 && (response[2] ?? 0) >= 0x80 && response.readUInt16BE(0) === query.readUInt16BE(0);
}
