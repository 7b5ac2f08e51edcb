// A few files watched one by one: their folders' hints, a sweep for what the kernel did not tell, and patience where one
// is being replaced. In: paths. Out: a call to read them again, and their texts when they are asked for.
// Called by mesh-file.ts and text-files.ts, which keep what they make of the texts. Folders of objects: files.ts.

import { basename, dirname, resolve } from 'node:path';
import type { Finding } from '../config/object.ts';
import type { Log, Timers } from '../lib/ports.ts';
import { ChangeQueue } from './change-queue.ts';
import { readText } from './file-read.ts';
import { look } from './folder-scan.ts';
import { FolderWatch, type WatchDirectory, watchDirectory } from './folder-watch.ts';

export interface WatchedFilesOptions {
  readonly files: readonly string[];
  readonly log: Log;
  readonly timers: Timers;
  readonly watch?: WatchDirectory | undefined;
  readonly sweepMs?: number | undefined;
  /** One at a time: first from `start`, then whenever a file may have changed. It reads with `read`. */
  readonly reload: () => Promise<void>;
}

export type WatchedText =
  | { readonly kind: 'text'; readonly text: string }
  | { readonly kind: 'absent' }
  | { readonly kind: 'refused'; readonly finding: Finding }
  /** Half written, or emptied or taken away a moment ago: what was read before stays, and `reload` is called again. */
  | { readonly kind: 'unsettled' };

const MAX_BYTES = 4 * 1024 * 1024;
const SWEEP_MS = 5000;

export class WatchedFiles {
  readonly #options: WatchedFilesOptions;
  readonly #files: readonly string[];
  readonly #watch: FolderWatch;
  readonly #queue: ChangeQueue;
  /** Seen missing or empty; the second look believes it. */
  readonly #missing = new Set<string>();
  #started = false;
  #stopped = false;
  #cancelSweep: (() => void) | undefined;

  constructor(options: WatchedFilesOptions) {
    this.#options = options;
    this.#files = options.files.map((file) => resolve(file));
    this.#queue = new ChangeQueue({ timers: options.timers, flush: () => this.#reload() });
    this.#watch = new FolderWatch({
      watch: options.watch ?? watchDirectory,
      onHint: (path, hint) => {
        // Links (`..data` of a mounted ConfigMap) move without the files' own names being touched.
        const moved = basename(path).startsWith('..') || !this.#files.some((file) => dirname(file) === dirname(path));
        if (this.#files.includes(path)) this.#queue.add(path, hint);
        else if (moved) for (const file of this.#files) this.#queue.add(file, hint);
      },
      onError: (directory, error) =>
        options.log.debug({ directory, err: error }, 'a folder can not be watched, it is swept'),
    });
  }

  get stopped(): boolean {
    return this.#stopped;
  }

  async start(): Promise<void> {
    await this.#reload();
    this.#started = true;
    this.#sweep();
  }

  /** `path` as it was given: findings name it so. Never rejects. */
  async read(path: string): Promise<WatchedText> {
    const file = resolve(path);
    const read = await readText(file, path, MAX_BYTES);
    if (read.kind === 'refused') return read;
    if (read.kind === 'torn') {
      this.#queue.add(file, 'change');
      return { kind: 'unsettled' };
    }
    const text = read.kind === 'text' ? read.text : '';
    if (text === '' && this.#started && !this.#missing.has(file)) {
      this.#missing.add(file);
      this.#queue.later(file);
      return { kind: 'unsettled' };
    }
    if (text === '') this.#missing.add(file);
    else this.#missing.delete(file);
    return read.kind === 'text' ? { kind: 'text', text } : { kind: 'absent' };
  }

  async stop(): Promise<void> {
    this.#stopped = true;
    this.#cancelSweep?.();
    this.#watch.close();
    await this.#queue.close();
  }

  /** Finds folders that appear later, and what the kernel did not tell. */
  #sweep(): void {
    if (this.#files.length === 0 || this.#stopped) return;
    this.#cancelSweep = this.#options.timers.setTimeout(() => {
      for (const file of this.#files) this.#queue.add(file, 'sweep');
      this.#sweep();
    }, this.#options.sweepMs ?? SWEEP_MS);
  }

  async #reload(): Promise<void> {
    for (const file of this.#files) await this.#watchFoldersOf(file);
    await this.#options.reload();
  }

  /** The folder of the file, and that of what it links to. */
  async #watchFoldersOf(file: string): Promise<void> {
    const found = await look(file);
    const target = found.kind === 'file' ? found.file.linkTarget : undefined;
    for (const directory of [dirname(file), target]) {
      const there = directory === undefined ? undefined : await look(directory);
      if (directory !== undefined && there?.kind === 'directory' && !this.#stopped)
        this.#watch.add(directory, there.identity);
    }
  }
}
