// The mesh-wide settings: `--meshConfig` and `--networksConfig`, read again as they change.
// In: two files, plain or wrapped in a ConfigMap as `istioctl` and the charts write it. Out: parsed values over defaults.
// Called by server.ts. A file that is absent means defaults; one that can't be read keeps what was read last.

import { basename, dirname, resolve } from 'node:path';
import type { Log, Timers } from '../lib/ports.ts';
import { ChangeQueue } from './change-queue.ts';
import { readText } from './file-read.ts';
import { look } from './folder-scan.ts';
import { FolderWatch, type WatchDirectory, watchDirectory } from './folder-watch.ts';
import {
  DEFAULT_SETTINGS,
  type MeshSettings,
  type MeshSource,
  NOTHING,
  type Reading,
  readingOf,
  settingsOf,
} from './mesh-reading.ts';

export interface MeshFilesOptions {
  readonly meshFile?: string | undefined;
  readonly networksFile?: string | undefined;
  readonly log: Log;
  readonly timers: Timers;
  readonly watch?: WatchDirectory | undefined;
  readonly sweepMs?: number | undefined;
  /** Called after each change; values that are equal are the same objects as before. */
  readonly onChange: (settings: MeshSettings) => void;
}

const MAX_BYTES = 4 * 1024 * 1024;
const SWEEP_MS = 5000;

export function meshFiles(options: MeshFilesOptions): MeshSource {
  return new WatchedMeshFiles(options);
}

class WatchedMeshFiles implements MeshSource {
  readonly #options: MeshFilesOptions;
  readonly #files: readonly string[];
  readonly #watch: FolderWatch;
  readonly #queue: ChangeQueue;
  readonly #absent = new Set<string>();
  #settings: MeshSettings = DEFAULT_SETTINGS;
  #cancelSweep: (() => void) | undefined;
  #stopped = false;

  constructor(options: MeshFilesOptions) {
    this.#options = options;
    const given = [options.meshFile ?? '', options.networksFile ?? ''].filter((file) => file !== '');
    this.#files = given.map((file) => resolve(file));
    this.#queue = new ChangeQueue({ timers: options.timers, flush: () => this.#reload() });
    this.#watch = new FolderWatch({
      watch: options.watch ?? watchDirectory,
      onHint: (path, hint) => {
        // Links (`..data` of a mounted ConfigMap) move without their own names being touched.
        const name = basename(path);
        if (this.#files.includes(path)) this.#queue.add(path, hint);
        else if (name.startsWith('..') || !this.#files.some((file) => dirname(file) === dirname(path))) {
          for (const file of this.#files) this.#queue.add(file, hint);
        }
      },
      onError: (directory, error) =>
        options.log.debug({ directory, err: error }, 'a folder can not be watched, it is swept'),
    });
  }

  async start(): Promise<MeshSettings> {
    await this.#watchAll();
    await this.#reload(true);
    this.#sweep();
    return this.#settings;
  }

  current(): MeshSettings {
    return this.#settings;
  }

  async stop(): Promise<void> {
    this.#stopped = true;
    this.#cancelSweep?.();
    this.#watch.close();
    await this.#queue.close();
  }

  #sweep(): void {
    if (this.#files.length === 0 || this.#stopped) return;
    this.#cancelSweep = this.#options.timers.setTimeout(() => {
      for (const file of this.#files) this.#queue.add(file, 'sweep');
      this.#sweep();
    }, this.#options.sweepMs ?? SWEEP_MS);
  }

  async #watchAll(): Promise<void> {
    for (const file of this.#files) {
      const found = await look(file);
      const target = found.kind === 'file' ? found.file.linkTarget : undefined;
      for (const directory of [dirname(file), target]) {
        const there = directory === undefined ? undefined : await look(directory);
        if (directory !== undefined && there?.kind === 'directory' && !this.#stopped)
          this.#watch.add(directory, there.identity);
      }
    }
  }

  async #reload(first = false): Promise<void> {
    await this.#watchAll();
    const mesh = await this.#read(this.#options.meshFile, first);
    const networks = await this.#read(this.#options.networksFile, first);
    if (mesh === undefined || networks === undefined || this.#stopped) return;
    const before = this.#settings;
    const next = settingsOf(mesh, networks, before);
    if (next.mesh === before.mesh && next.networks === before.networks && next.findings === before.findings) return;
    this.#settings = next;
    for (const finding of next.findings) this.#options.log.warn({ finding }, 'mesh configuration');
    if (!first) this.#options.onChange(next);
  }

  /** Undefined where it is too early to tell: the file is being written, or was taken away a moment ago. */
  async #read(path: string | undefined, first: boolean): Promise<Reading | undefined> {
    if (path === undefined || path === '') return NOTHING;
    const file = resolve(path);
    const read = await readText(file, path, MAX_BYTES);
    if (read.kind === 'text' && (read.text !== '' || first)) {
      this.#absent.delete(file);
      return readingOf(read.text, path);
    }
    if (read.kind === 'refused') return { ...NOTHING, findings: [read.finding], failed: true };
    if (read.kind === 'torn') {
      this.#queue.add(file, 'change');
      return undefined;
    }
    if (first || this.#absent.has(file)) {
      this.#absent.add(file);
      return NOTHING;
    }
    this.#absent.add(file);
    this.#queue.later(file);
    return undefined;
  }
}
