// A fleet in a process of its own, called as if it were here.

import { type ChildProcess, fork } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { TYPESCRIPT } from '../server/node-flags.ts';
import type { Fleet } from './fleet.ts';

export interface Command {
  readonly id: number;
  readonly method: keyof Fleet;
  readonly args: readonly unknown[];
}

export type Answer = { readonly id: number; readonly value: unknown } | { readonly id: number; readonly error: string };

type Remote<T> = {
  readonly [K in keyof T]: T[K] extends (...args: infer A) => infer R ? (...args: A) => Promise<Awaited<R>> : never;
};

export type RemoteFleet = Remote<Fleet> & { stop(): Promise<void> };

export function startFleet(): RemoteFleet {
  const main = fileURLToPath(new URL('./main.ts', import.meta.url));
  const child = fork(main, { execArgv: TYPESCRIPT, stdio: ['ignore', 'inherit', 'inherit', 'ipc'] });
  const call = callsOf(child);
  return {
    connect: call('connect'),
    reconnect: call('reconnect'),
    disconnect: call('disconnect'),
    track: call('track'),
    seen: call('seen'),
    counts: call('counts'),
    reset: call('reset'),
    silence: call('silence'),
    stop: async () => {
      if (child.exitCode !== null) return;
      const ended = new Promise((resolve) => child.once('exit', resolve));
      child.disconnect();
      await ended;
    },
  };
}

interface Waiting {
  readonly resolve: (value: unknown) => void;
  readonly reject: (error: Error) => void;
}

function callsOf(child: ChildProcess): <K extends keyof Fleet>(method: K) => Remote<Fleet>[K] {
  const waiting = new Map<number, Waiting>();
  let last = 0;
  child.on('message', (answer: Answer) => {
    const call = waiting.get(answer.id);
    waiting.delete(answer.id);
    if ('error' in answer) call?.reject(new Error(answer.error));
    else call?.resolve(answer.value);
  });
  child.on('exit', (code) => {
    for (const { reject } of waiting.values()) reject(new Error(`the fake proxies ended with ${code}`));
  });
  return <K extends keyof Fleet>(method: K) =>
    ((...args: readonly unknown[]) =>
      new Promise((resolve, reject) => {
        const id = ++last;
        waiting.set(id, { resolve, reject });
        child.send({ id, method, args } satisfies Command);
      })) as unknown as Remote<Fleet>[K];
}
