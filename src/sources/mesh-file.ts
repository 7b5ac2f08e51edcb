// The mesh-wide settings: `--meshConfig` and `--networksConfig`, read again as they change.
// In: two files, plain or wrapped in a ConfigMap as `istioctl` and the charts write it. Out: parsed values over defaults.
// Called by server.ts. A file that is absent means defaults; one that can't be read keeps what was read last.

import type { Log, Timers } from '../lib/ports.ts';
import type { WatchDirectory } from './folder-watch.ts';
import {
  DEFAULT_SETTINGS,
  type MeshSettings,
  type MeshSource,
  NOTHING,
  type Reading,
  readingOf,
  settingsOf,
} from './mesh-reading.ts';
import { WatchedFiles } from './watched-files.ts';

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

export function meshFiles(options: MeshFilesOptions): MeshSource {
  const { meshFile = '', networksFile = '', log } = options;
  const files = new WatchedFiles({ ...options, files: [meshFile, networksFile].filter((file) => file !== ''), reload });
  let settings: MeshSettings = DEFAULT_SETTINGS;
  let started = false;

  async function reload(): Promise<void> {
    const mesh = await read(meshFile);
    const networks = await read(networksFile);
    if (mesh === undefined || networks === undefined || files.stopped) return;
    const next = settingsOf(mesh, networks, settings);
    if (next.mesh === settings.mesh && next.networks === settings.networks && next.findings === settings.findings)
      return;
    settings = next;
    for (const finding of next.findings) log.warn({ finding }, 'mesh configuration');
    if (started) options.onChange(next);
  }

  /** Undefined where it is too early to tell. */
  async function read(path: string): Promise<Reading | undefined> {
    if (path === '') return NOTHING;
    const found = await files.read(path);
    switch (found.kind) {
      case 'text':
        return readingOf(found.text, path);
      case 'absent':
        return NOTHING;
      case 'refused':
        return { ...NOTHING, findings: [found.finding], failed: true };
      case 'unsettled':
        return undefined;
    }
  }

  return {
    start: async () => {
      await files.start();
      started = true;
      return settings;
    },
    current: () => settings,
    stop: () => files.stop(),
  };
}
