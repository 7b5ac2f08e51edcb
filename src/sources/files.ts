// A folder of YAML and JSON as a source of objects, read again as it changes.
// In: hints of the kernel that a path changed, and slow sweeps for what hints miss. Out: one batch of events for each
// burst of changes, to the store's sink. Called by server.ts; started once, stopped once.
// What can't be read leaves what was read before in force, and becomes a finding. A change costs what changed: one file is
// one stat, one read, and one parse of each document whose text is new.

import { relative, resolve, sep } from 'node:path';
import { setImmediate as nextTurn } from 'node:timers/promises';
import type { Finding } from '../config/object.ts';
import type { Log, Timers } from '../lib/ports.ts';
import { ChangeQueue } from './change-queue.ts';
import { FileClaims } from './file-claims.ts';
import { contentsOf, type Outcome } from './file-outcomes.ts';
import { parseText, readText } from './file-read.ts';
import { type FoundFile, isConfigName, look } from './folder-scan.ts';
import { FolderView } from './folder-view.ts';
import { type Hint, type WatchDirectory, watchDirectory } from './folder-watch.ts';
import type { Source, SourceSink } from './source.ts';

export interface FileSourceOptions {
  readonly dir: string;
  readonly log: Log;
  readonly timers: Timers;
  readonly name?: string | undefined;
  readonly watch?: WatchDirectory | undefined;
  /** Larger files are refused. */
  readonly maxFileBytes?: number | undefined;
  /** For namespaced objects without metadata.namespace. */
  readonly defaultNamespace?: string | undefined;
  /** How often the folder is compared with what was read, for changes of which no hint came. */
  readonly sweepMs?: number | undefined;
}

const MAX_FILE_BYTES = 16 * 1024 * 1024;
const SWEEP_MS = 30_000;
/** The same, once a folder could not be watched. */
const BLIND_SWEEP_MS = 2000;
/** The first load is handed over in parts, so that the store does not hold the event loop. */
const FIRST_BATCH = 256;
/** Files read at once. */
const READERS = 16;
/** The finding about the folder itself; no file can have this name. */
const FOLDER_SCOPE = '.';

export function fileSource(options: FileSourceOptions): Source {
  return new FileSource(options);
}

interface Known {
  readonly stamp: string;
  readonly size: number;
}

class FileSource implements Source {
  readonly name: string;
  readonly #options: FileSourceOptions;
  readonly #dir: string;
  readonly #claims = new FileClaims();
  readonly #known = new Map<string, Known>();
  /** Files that were missing, or empty, when last looked at: one more look decides. */
  readonly #missing = new Set<string>();
  readonly #emptied = new Set<string>();
  readonly #view: FolderView;
  readonly #queue: ChangeQueue;
  #sink: SourceSink | undefined;
  #loaded: Promise<void> | undefined;
  #cancelSweep: (() => void) | undefined;
  #stopped = false;
  #blind = false;

  constructor(options: FileSourceOptions) {
    this.#options = options;
    this.name = options.name ?? 'files';
    this.#dir = resolve(options.dir);
    this.#queue = new ChangeQueue({ timers: options.timers, flush: (paths) => this.#flush(paths) });
    this.#view = new FolderView({
      dir: this.#dir,
      watch: options.watch ?? watchDirectory,
      onHint: (path, hint) => this.#queue.add(path, hint),
      onError: (directory, error) => this.#unwatched(directory, error),
    });
  }

  async start(sink: SourceSink): Promise<void> {
    this.#sink = sink;
    this.#loaded = this.#load();
    await this.#loaded;
    sink.synced();
    this.#scheduleSweep();
  }

  async stop(): Promise<void> {
    this.#stopped = true;
    this.#cancelSweep?.();
    this.#view.close();
    await this.#queue.close();
  }

  async #load(): Promise<void> {
    const scan = await this.#view.refresh();
    if (scan === undefined) throw new Error(`${this.#options.dir} is no folder that can be read`);
    const outcomes = await this.#readAll(scan.files);
    const { changes, locate } = contentsOf(outcomes);
    const events = this.#claims.update(changes, locate);
    for (let at = 0; at < events.length && !this.#stopped; at += FIRST_BATCH) {
      this.#sink?.apply(events.slice(at, at + FIRST_BATCH));
      await nextTurn();
    }
  }

  #unwatched(directory: string, error: Error): void {
    // A folder that is gone again is no loss; the kernel's limit on watches is.
    const code = 'code' in error ? error.code : undefined;
    if (code === 'ENOENT' || code === 'ENOTDIR') return;
    this.#options.log.warn({ directory, err: error }, 'a folder can not be watched, it is swept instead');
    this.#blind = true;
  }

  #scheduleSweep(): void {
    if (this.#stopped) return;
    this.#cancelSweep = this.#options.timers.setTimeout(
      () => {
        this.#queue.add(this.#dir, 'sweep');
        this.#scheduleSweep();
      },
      this.#options.sweepMs ?? (this.#blind ? BLIND_SWEEP_MS : SWEEP_MS),
    );
  }

  /** Looks at every path of a burst and hands over what changed as one batch. */
  async #flush(paths: ReadonlyMap<string, Hint | 'sweep'>): Promise<void> {
    try {
      await this.#loaded;
      const top = await look(this.#dir);
      if (top.kind !== 'directory') return this.#reportFolder();
      const targets = await this.#targetsOf(paths);
      const outcomes = await this.#readAll([...targets.values()].filter((file) => file !== undefined));
      for (const [path, file] of targets) {
        if (file === undefined) outcomes.push({ kind: 'missing', file: this.#nameOf(path) });
      }
      if (!this.#stopped) this.#commit(outcomes);
    } catch (error) {
      this.#options.log.error({ err: error }, 'a change of the folder could not be handled');
    }
  }

  /** The files that a burst of hints is about; undefined for those that are gone. */
  async #targetsOf(paths: ReadonlyMap<string, Hint | 'sweep'>): Promise<Map<string, FoundFile | undefined>> {
    const targets = new Map<string, FoundFile | undefined>();
    const folders = new Map<string, Hint | 'sweep'>();
    for (const [path, hint] of paths) {
      const found = path === this.#dir ? undefined : await look(path);
      if (found?.kind === 'file') {
        if (!isConfigName(path)) continue;
        await this.#view.watchLink(found.file);
        targets.set(path, found.file);
      } else if (found?.kind === 'none') {
        for (const file of this.#readBelow(path)) targets.set(file, undefined);
      } else folders.set(path, hint);
    }
    if (folders.size === 0) return targets;
    const scan = await this.#view.refresh();
    for (const [path, hint] of folders) this.#compare(path, hint, scan?.files ?? [], targets);
    return targets;
  }

  /** A folder against what was read of it. */
  #compare(
    path: string,
    hint: Hint | 'sweep',
    found: readonly FoundFile[],
    targets: Map<string, FoundFile | undefined>,
  ): void {
    const files = new Map(found.filter((file) => file.path.startsWith(path + sep)).map((file) => [file.path, file]));
    for (const file of this.#readBelow(path)) if (!files.has(file)) targets.set(file, undefined);
    for (const file of files.values()) {
      const same = this.#known.get(this.#nameOf(file.path))?.stamp === file.stamp;
      // A link may lead to another file that looks the same.
      if (!same || (hint !== 'sweep' && file.linkTarget !== undefined)) targets.set(file.path, file);
    }
  }

  /** Files read so far at or below a path. */
  #readBelow(path: string): string[] {
    const name = this.#nameOf(path);
    if (name !== '' && this.#claims.content(name) !== undefined) return [path];
    const prefix = name === '' ? '' : `${name}/`;
    return [...this.#claims.files()].filter((file) => file.startsWith(prefix)).map((file) => resolve(this.#dir, file));
  }

  async #readAll(files: readonly FoundFile[]): Promise<Outcome[]> {
    const outcomes: Outcome[] = [];
    for (let at = 0; at < files.length; at += READERS) {
      const slice = files.slice(at, at + READERS);
      const read = await Promise.all(
        slice.map((file) => readText(file.path, this.#nameOf(file.path), this.#maxBytes())),
      );
      for (const [index, file] of slice.entries()) {
        const text = read[index];
        const outcome = text === undefined ? undefined : await this.#outcomeOf(file, text);
        if (outcome !== undefined) outcomes.push(outcome);
      }
    }
    return outcomes;
  }

  async #outcomeOf(found: FoundFile, read: Awaited<ReturnType<typeof readText>>): Promise<Outcome | undefined> {
    const file = this.#nameOf(found.path);
    const before = this.#claims.content(file);
    switch (read.kind) {
      case 'missing':
        return { kind: 'missing', file };
      case 'torn':
        this.#queue.add(found.path, 'change');
        return undefined;
      case 'refused':
        this.#known.set(file, { stamp: found.stamp, size: found.size });
        return {
          kind: 'content',
          file,
          content: { documents: before?.documents ?? [], fault: read.finding },
          chunks: [],
        };
      case 'text': {
        if (read.text === '' && this.#justEmptied(file, found.path)) return undefined;
        this.#emptied.delete(file);
        this.#known.set(file, { stamp: read.stamp, size: read.text.length });
        const parsed = await parseText(read.text, file, before, this.#options.defaultNamespace ?? 'default');
        return { kind: 'content', file, content: parsed.content, chunks: parsed.chunks };
      }
    }
  }

  /** A file emptied in place is most likely about to be written. */
  #justEmptied(file: string, path: string): boolean {
    if ((this.#known.get(file)?.size ?? 0) === 0 || this.#emptied.has(file)) return false;
    this.#emptied.add(file);
    this.#queue.later(path);
    return true;
  }

  #commit(outcomes: readonly Outcome[]): void {
    const { changes, locate } = contentsOf(outcomes);
    for (const file of changes.keys()) this.#missing.delete(file);
    const events = this.#claims.update(changes, locate);
    const gone = outcomes.filter((outcome) => outcome.kind === 'missing' && this.#isGone(outcome.file));
    for (const { file } of gone) this.#known.delete(file);
    events.push(...this.#claims.update(new Map(gone.map(({ file }) => [file, undefined])), () => undefined));
    events.push({ kind: 'findings', scope: FOLDER_SCOPE, findings: [] });
    this.#sink?.apply(events);
  }

  /**
   * Editors take a file away for a moment when they save. Its objects stay in force until a second look, unless other
   * files define all of them: then it was renamed.
   */
  #isGone(file: string): boolean {
    if (this.#claims.content(file) === undefined) return false;
    if (this.#missing.delete(file) || this.#claims.redundant(file)) return true;
    this.#missing.add(file);
    this.#queue.later(resolve(this.#dir, file));
    return false;
  }

  /** Without the folder nothing can be said about any object: all of them stay. */
  #reportFolder(): void {
    const finding: Finding = {
      severity: 'error',
      code: 'MEL0011',
      origin: this.#options.dir,
      message: 'the folder is gone or can not be read; what was read last stays in force',
    };
    this.#sink?.apply([{ kind: 'findings', scope: FOLDER_SCOPE, findings: [finding] }]);
  }

  #nameOf(path: string): string {
    return relative(this.#dir, path).split(sep).join('/');
  }

  #maxBytes(): number {
    return this.#options.maxFileBytes ?? MAX_FILE_BYTES;
  }
}
