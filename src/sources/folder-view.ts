// A folder, watched: what lies in it now, and hints about what changes, links and replaced directories included.
// In: the folder. Out: scans, and hints by path. Called by files.ts.

import { dirname, sep } from 'node:path';
import { type FoundFile, isHidden, look, type Scan, scanFolder } from './folder-scan.ts';
import { FolderWatch, type Hint, type WatchDirectory } from './folder-watch.ts';

export interface FolderViewOptions {
  readonly dir: string;
  readonly watch: WatchDirectory;
  readonly onHint: (path: string, hint: Hint) => void;
  readonly onError: (directory: string, error: Error) => void;
}

/** Directories may be made faster than they are watched; sweeps find what is left after this many tries. */
const MAX_RESCANS = 5;

export class FolderView {
  readonly #dir: string;
  readonly #above: string;
  readonly #watch: FolderWatch;
  readonly #onHint: (path: string, hint: Hint) => void;
  /** Directories outside that hold the targets of links, with the links. */
  readonly #links = new Map<string, Set<string>>();

  constructor(options: FolderViewOptions) {
    this.#dir = options.dir;
    this.#above = dirname(options.dir);
    this.#onHint = options.onHint;
    this.#watch = new FolderWatch({
      watch: options.watch,
      onHint: (path, hint, directory) => this.#hinted(path, hint, directory),
      onError: options.onError,
    });
  }

  /**
   * Everything that lies below now, with each directory watched: the one above too, to see the folder replaced. Undefined
   * while there is no such folder.
   */
  async refresh(): Promise<Scan | undefined> {
    const above = await look(this.#above);
    if (above.kind === 'directory' && this.#above !== this.#dir) this.#watch.add(this.#above, above.identity);
    for (let round = 0; ; round++) {
      const scan = await scanFolder(this.#dir);
      if (scan === undefined) return undefined;
      // What was put into a directory before its watch began is seen by one more scan.
      let grown = false;
      for (const directory of scan.directories) grown = this.#watch.add(directory.path, directory.identity) || grown;
      if (grown && round < MAX_RESCANS) continue;
      await this.#refreshLinks(scan);
      return scan;
    }
  }

  async #refreshLinks(scan: Scan): Promise<void> {
    this.#links.clear();
    for (const file of scan.files) await this.watchLink(file);
    const wanted = new Set([
      this.#above,
      ...scan.directories.map((directory) => directory.path),
      ...this.#links.keys(),
    ]);
    for (const directory of this.#watch.directories()) if (!wanted.has(directory)) this.#watch.remove(directory);
  }

  /** A linked file changes where it really lies. */
  async watchLink(file: FoundFile): Promise<void> {
    if (file.linkTarget === undefined) return;
    const links = this.#links.get(file.linkTarget) ?? new Set();
    links.add(file.path);
    this.#links.set(file.linkTarget, links);
    const target = await look(file.linkTarget);
    if (target.kind === 'directory') this.#watch.add(file.linkTarget, target.identity);
  }

  close(): void {
    this.#watch.close();
  }

  #hinted(path: string, hint: Hint, directory: string): void {
    for (const link of this.#links.get(directory) ?? []) this.#onHint(link, hint);
    if (directory === this.#above) {
      // Above the folder only its own name matters; a hint without name may be about anything.
      if (path === this.#dir || path === directory) this.#onHint(this.#dir, 'rename');
      return;
    }
    if (path === this.#dir) return this.#onHint(this.#dir, 'rename');
    if (!path.startsWith(this.#dir + sep)) return;
    const name = path.slice(path.lastIndexOf(sep) + 1);
    // `..data` is how Kubernetes swaps a whole mounted volume: every link beside it leads elsewhere now.
    if (name.startsWith('..') || path === directory) this.#onHint(directory, 'rename');
    else if (!isHidden(name)) this.#onHint(path, hint);
  }
}
