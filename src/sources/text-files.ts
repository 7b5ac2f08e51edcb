// A few files as text, read again as they change: for what is neither objects nor mesh settings.
// In: paths. Out: their texts, undefined for files that are absent. Called by server/webhooks.ts.

import { dirname, resolve } from 'node:path';
import type { Log, Timers } from '../lib/ports.ts';
import { ChangeQueue } from './change-queue.ts';
import { readText } from './file-read.ts';
import { look } from './folder-scan.ts';
import { FolderWatch, watchDirectory } from './folder-watch.ts';

export interface TextFilesOptions {
  readonly files: readonly string[];
  readonly log: Log;
  readonly timers: Timers;
  /** Called after each change of at least one text. */
  readonly onChange: () => void;
}

export interface TextFiles {
  /** Reads all; never rejects. */
  start(): Promise<void>;
  text(file: string): string | undefined;
  stop(): Promise<void>;
}

const MAX_BYTES = 4 * 1024 * 1024;
const SWEEP_MS = 5000;

export function textFiles(options: TextFilesOptions): TextFiles {
  return new WatchedTexts(options);
}

class WatchedTexts implements TextFiles {
  readonly #options: TextFilesOptions;
  readonly #texts = new Map<string, string>();
  readonly #queue: ChangeQueue;
  readonly #watch: FolderWatch;
  #cancelSweep: (() => void) | undefined;
  #stopped = false;

  constructor(options: TextFilesOptions) {
    this.#options = options;
    this.#queue = new ChangeQueue({ timers: options.timers, flush: () => this.#reload() });
    this.#watch = new FolderWatch({
      watch: watchDirectory,
      // Links (`..data` of a mounted ConfigMap) move without the files' own names being touched.
      onHint: (path, hint) => this.#queue.add(path, hint),
      onError: (directory, error) =>
        options.log.debug({ directory, err: error }, 'a folder can not be watched, it is swept'),
    });
  }

  async start(): Promise<void> {
    await this.#reload();
    this.#sweep();
  }

  text(file: string): string | undefined {
    return this.#texts.get(resolve(file));
  }

  async stop(): Promise<void> {
    this.#stopped = true;
    this.#cancelSweep?.();
    this.#watch.close();
    await this.#queue.close();
  }

  /** Finds folders that appear later, and what the kernel did not tell. */
  #sweep(): void {
    if (this.#stopped) return;
    this.#cancelSweep = this.#options.timers.setTimeout(() => {
      for (const file of this.#options.files) this.#queue.add(resolve(file), 'sweep');
      this.#sweep();
    }, SWEEP_MS);
  }

  async #reload(): Promise<void> {
    let changed = false;
    for (const file of this.#options.files.map((each) => resolve(each))) {
      const folder = await look(dirname(file));
      if (folder.kind === 'directory' && !this.#stopped) this.#watch.add(dirname(file), folder.identity);
      const read = await readText(file, file, MAX_BYTES);
      if (read.kind === 'torn') this.#queue.later(file);
      else if (read.kind === 'refused')
        this.#options.log.error({ file, finding: read.finding }, 'file can not be read');
      else changed = this.#keep(file, read.kind === 'text' ? read.text : undefined) || changed;
    }
    if (changed && !this.#stopped) this.#options.onChange();
  }

  #keep(file: string, text: string | undefined): boolean {
    if (this.#texts.get(file) === text) return false;
    if (text === undefined) this.#texts.delete(file);
    else this.#texts.set(file, text);
    return true;
  }
}
