// A few files as text, read again as they change: for what is neither objects nor mesh settings.
// In: paths. Out: their texts, undefined for files that are absent. Called by server/webhooks.ts.
// One that can't be read keeps what was read last.

import type { Log, Timers } from '../lib/ports.ts';
import { WatchedFiles } from './watched-files.ts';

export interface TextFilesOptions {
  readonly files: readonly string[];
  readonly log: Log;
  readonly timers: Timers;
  /** Called after each change of at least one text, the first reading included. */
  readonly onChange: () => void;
}

export interface TextFiles {
  /** Reads all; never rejects. */
  start(): Promise<void>;
  text(file: string): string | undefined;
  stop(): Promise<void>;
}

export function textFiles({ files, log, timers, onChange }: TextFilesOptions): TextFiles {
  const texts = new Map<string, string>();
  const watched = new WatchedFiles({ files, log, timers, reload });

  async function reload(): Promise<void> {
    let changed = false;
    for (const file of files) changed = (await readAgain(file)) || changed;
    if (changed && !watched.stopped) onChange();
  }

  async function readAgain(file: string): Promise<boolean> {
    const read = await watched.read(file);
    if (read.kind === 'refused') log.error({ file, finding: read.finding }, 'file can not be read');
    if (read.kind === 'refused' || read.kind === 'unsettled') return false;
    const text = read.kind === 'text' ? read.text : undefined;
    if (texts.get(file) === text) return false;
    if (text === undefined) texts.delete(file);
    else texts.set(file, text);
    return true;
  }

  return {
    start: () => watched.start(),
    text: (file) => texts.get(file),
    stop: () => watched.stop(),
  };
}
