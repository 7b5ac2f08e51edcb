// What every source of objects looks like to the store: a folder of YAML now, Kubernetes informers likewise.

import type { ObjectEvent } from '../config/object.ts';

export interface SourceSink {
  /** One batch is one atomic change: it becomes visible as a whole or not at all. */
  apply(events: readonly ObjectEvent[]): void;
  /** The source has handed over everything that was there at its start. Called once. */
  synced(): void;
}

/** A source of configuration objects. It never throws after start: what it can't read becomes `invalid` events. */
export interface Source {
  readonly name: string;
  /** Begins to deliver. Rejects only if the source can't exist at all (folder missing, kubeconfig unreadable). */
  start(sink: SourceSink): Promise<void>;
  stop(): Promise<void>;
}
