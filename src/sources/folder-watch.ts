// Hints that something below a folder changed: one inotify watch for each directory, no reading.
// In: directories to watch. Out: callbacks with the path that the kernel named. Called by files.ts and watched-files.ts, which
// look for themselves what happened; a hint too many costs one stat, a hint too few is made good by their sweeps.

import { type FSWatcher, watch } from 'node:fs';
import { join } from 'node:path';

/** `rename`: an entry appeared, vanished or was replaced. `change`: it was written to in place. */
export type Hint = 'rename' | 'change';

/** The part of node:fs that is used, so that tests may hand in another. */
export type WatchDirectory = (
  directory: string,
  onEvent: (hint: Hint, name: string | undefined) => void,
  onError: (error: Error) => void,
) => { close(): void };

export const watchDirectory: WatchDirectory = (directory, onEvent, onError) => {
  const watcher: FSWatcher = watch(directory, { persistent: false }, (event, name) => {
    onEvent(event === 'change' ? 'change' : 'rename', name ?? undefined);
  });
  watcher.on('error', onError);
  return watcher;
};

interface Watched {
  readonly identity: string;
  readonly handle: { close(): void };
}

export interface FolderWatchOptions {
  readonly watch: WatchDirectory;
  /** `path` is the directory itself where the kernel named no entry. */
  readonly onHint: (path: string, hint: Hint, directory: string) => void;
  readonly onError: (directory: string, error: Error) => void;
}

export class FolderWatch {
  readonly #options: FolderWatchOptions;
  readonly #watched = new Map<string, Watched>();

  constructor(options: FolderWatchOptions) {
    this.#options = options;
  }

  /** `identity` is device and inode: a directory replaced by another of the same name is watched anew. True for a new watch. */
  add(directory: string, identity: string): boolean {
    const known = this.#watched.get(directory);
    if (known?.identity === identity) return false;
    known?.handle.close();
    this.#watched.delete(directory);
    const { onHint, onError } = this.#options;
    try {
      const handle = this.#options.watch(
        directory,
        (hint, name) => onHint(name === undefined ? directory : join(directory, name), hint, directory),
        (error) => {
          this.remove(directory);
          onError(directory, error);
        },
      );
      this.#watched.set(directory, { identity, handle });
      return true;
    } catch (error) {
      // Gone again, or no inotify watch is left: sweeps take over.
      onError(directory, error instanceof Error ? error : new Error(String(error)));
      return false;
    }
  }

  directories(): string[] {
    return [...this.#watched.keys()];
  }

  remove(directory: string): void {
    this.#watched.get(directory)?.handle.close();
    this.#watched.delete(directory);
  }

  close(): void {
    for (const directory of this.directories()) this.remove(directory);
  }
}
