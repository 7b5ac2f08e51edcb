import { type FSWatcher, watch } from 'node:fs';
import type { Timers } from '../lib/ports.ts';

/** Mounted Secrets swap a symlink and touch several names at once: wait until it is quiet. */
const DEBOUNCE_MS = 100;
/** Network file systems give no events; what events miss is seen at the latest after this. */
const POLL_MS = 60_000;

/** Calls back after anything in the directory changed (or might have); the callee compares contents. Returns the stop. */
export function watchDirectory(directory: string, timers: Timers, changed: () => void): () => void {
  let cancelDebounce: (() => void) | undefined;
  let cancelPoll: () => void = () => undefined;
  let watcher: FSWatcher | undefined;

  const arm = (): void => {
    try {
      watcher = watch(directory, () => {
        cancelDebounce?.();
        cancelDebounce = timers.setTimeout(changed, DEBOUNCE_MS);
      });
      watcher.on('error', () => {
        watcher?.close();
        watcher = undefined;
      });
    } catch {
      watcher = undefined;
    }
  };
  const poll = (): void => {
    if (watcher === undefined) arm();
    changed();
    cancelPoll = timers.setTimeout(poll, POLL_MS);
  };

  arm();
  cancelPoll = timers.setTimeout(poll, POLL_MS);
  return () => {
    cancelDebounce?.();
    cancelPoll();
    watcher?.close();
  };
}
