// A real folder, a real store, and barriers instead of sleeps: one waits for the store to be in a state.
import { mkdtemp, rename, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { mkdir } from 'node:fs/promises';
import { createValidator } from '../../src/config/validate/index.ts';
import type { Log, Meter, Timers } from '../../src/lib/ports.ts';
import { type FileSourceOptions, fileSource } from '../../src/sources/files.ts';
import type { Source } from '../../src/sources/source.ts';
import { re2Checker } from '../../src/store/re2.ts';
import type { StoreState } from '../../src/store/state.ts';
import { createStore, type Store } from '../../src/store/store.ts';

export const quietLog: Log = {
  debug: () => undefined,
  info: () => undefined,
  warn: () => undefined,
  error: () => undefined,
  child: () => quietLog,
};

export const noMeter: Meter = {
  counter: () => ({ inc: () => undefined }),
  gauge: () => ({ set: () => undefined }),
  histogram: () => ({ observe: () => undefined }),
};

export const realTimers: Timers = {
  setTimeout: (fn, ms) => {
    const timer = setTimeout(fn, ms);
    return () => clearTimeout(timer);
  },
};

export interface FolderRig {
  readonly dir: string;
  readonly store: Store;
  readonly source: Source;
  /** Written beside the target and renamed into place, as editors and deployment tools do. */
  put(file: string, text: string): Promise<void>;
  /** Written in place. */
  write(file: string, text: string): Promise<void>;
  remove(file: string): Promise<void>;
  /** The first state that fits; fails with the last state's findings when none comes. */
  until(what: string, fits: (state: StoreState) => boolean): Promise<StoreState>;
  start(): Promise<void>;
  close(): Promise<void>;
}

export function newStore(): Store {
  const validators = createValidator({ regex: re2Checker() });
  return createStore({ validators, log: quietLog, meter: noMeter, freeze: true });
}

export async function folderRig(
  files: Readonly<Record<string, string>>,
  options: Partial<FileSourceOptions> = {},
): Promise<FolderRig> {
  const root = await mkdtemp(join(tmpdir(), 'meltemi-'));
  const dir = join(root, 'config');
  await mkdir(dir);
  const store = newStore();
  const source = fileSource({ dir, log: quietLog, timers: realTimers, ...options });
  let serial = 0;
  const rig: FolderRig = {
    dir,
    store,
    source,
    put: async (file, text) => {
      const temporary = join(root, `.tmp-${serial++}`);
      await writeFile(temporary, text);
      await mkdir(dirname(join(dir, file)), { recursive: true });
      await rename(temporary, join(dir, file));
    },
    write: async (file, text) => {
      await mkdir(dirname(join(dir, file)), { recursive: true });
      await writeFile(join(dir, file), text);
    },
    remove: (file) => rm(join(dir, file)),
    until: (what, fits) => untilState(store, what, fits),
    start: () => source.start(store.sink('files')),
    close: async () => {
      await source.stop();
      await rm(root, { recursive: true, force: true });
    },
  };
  for (const [file, text] of Object.entries(files)) await rig.write(file, text);
  return rig;
}

export function untilState(store: Store, what: string, fits: (state: StoreState) => boolean): Promise<StoreState> {
  if (fits(store.state())) return Promise.resolve(store.state());
  return new Promise((resolve, reject) => {
    const timer = setTimeout(() => {
      stop();
      reject(new Error(`never saw: ${what}; findings: ${JSON.stringify(store.state().findings, undefined, 1)}`));
    }, 8000);
    const stop = store.onChange((state) => {
      if (!fits(state)) return;
      clearTimeout(timer);
      stop();
      resolve(state);
    });
  });
}

export function virtualService(name: string, weight = 100, namespace = 'default'): string {
  return `apiVersion: networking.istio.io/v1
kind: VirtualService
metadata:
  name: ${name}
  namespace: ${namespace}
spec:
  hosts: [${name}]
  http:
  - route:
    - destination: {host: ${name}, subset: v1}
      weight: ${weight}
    - destination: {host: ${name}, subset: v2}
      weight: ${100 - weight}
`;
}

/** The weight of the first destination in force. */
export function weightOf(state: StoreState, name: string, namespace = 'default'): number | undefined {
  const key = `${namespace}/${name}`;
  for (const bucket of state.byKind.VirtualService.buckets) {
    const spec = bucket.get(key)?.spec as { http?: { route?: { weight?: number }[] }[] } | undefined;
    if (spec !== undefined) return spec.http?.[0]?.route?.[0]?.weight;
  }
  return undefined;
}
