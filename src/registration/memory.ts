// Where registered entries are kept when configuration is a folder of files: in memory, as one more source of objects. They
// go with the process; proxies that reconnect register again.
// In: changes of the registrar. Out: events for the store. Called by server/registration.ts.

import type { ObjectEvent } from '../config/object.ts';
import type { EntryChange, EntryWriter, WorkloadEntry } from './port.ts';

/** As sources have it. */
interface Sink {
  apply(events: readonly ObjectEvent[]): void;
  synced(): void;
}

export interface MemoryEntries extends EntryWriter {
  readonly name: string;
  start(sink: Sink): Promise<void>;
  stop(): Promise<void>;
}

export function memoryEntries(): MemoryEntries {
  const entries = new Map<string, WorkloadEntry>();
  let sink: Sink | undefined;
  const keyOf = ({ namespace, name }: WorkloadEntry): string => `${namespace}/${name}`;
  const put = (entry: WorkloadEntry): void => {
    entries.set(keyOf(entry), entry);
    sink?.apply([{ kind: 'upsert', object: entry }]);
  };
  return {
    name: 'registration',
    start: async (given) => {
      sink = given;
      given.synced();
    },
    stop: async () => {
      sink = undefined;
    },
    create: async (entry) => put(entry),
    change: async (entry, change) => {
      const own = entries.get(keyOf(entry));
      // Entries that users wrote are theirs: nothing is put into their files.
      if (own !== undefined) put(changed(own, change));
    },
    remove: async (entry) => {
      if (!entries.delete(keyOf(entry))) return;
      const { kind, namespace, name } = entry;
      sink?.apply([{ kind: 'delete', ref: { kind, namespace, name } }]);
    },
  };
}

function changed(entry: WorkloadEntry, { annotations = {}, health }: EntryChange): WorkloadEntry {
  const kept = Object.entries({ ...entry.annotations, ...annotations }).filter(
    (pair): pair is [string, string] => pair[1] !== undefined,
  );
  const others = (entry.status?.conditions ?? []).filter(({ type }) => type !== 'Healthy');
  const conditions = health === 'none' ? others : health === undefined ? undefined : [...others, health];
  return {
    ...entry,
    annotations: Object.fromEntries(kept),
    ...(conditions === undefined ? {} : { status: { conditions } }),
  };
}
