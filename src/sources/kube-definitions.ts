// Which kinds a cluster has definitions of, followed: they are installed and removed while the control plane runs.
// In: an API server. Out: whether a kind is defined, and a call for each that came, changed or went. Called by kubernetes.ts,
// which asks for no kind that the server lacks.

import type { KindInfo } from '../config/kinds.ts';
import type { Log, Timers } from '../lib/ports.ts';
import type { KubeApi } from './kube-api.ts';
import { discover, textOf } from './kube-discovery.ts';
import { ListWatch, type RawObject } from './kube-list-watch.ts';

export interface DefinitionWatchOptions {
  readonly api: KubeApi;
  readonly log: Log;
  readonly timers: Timers;
  readonly random: () => number;
  readonly pollAbsentMs?: number | undefined;
  /** Names of definitions, `PLURAL.GROUP`. */
  readonly onChange: (names: ReadonlySet<string>) => void;
}

const DEFINITIONS = { group: 'apiextensions.k8s.io', versions: ['v1'], plural: 'customresourcedefinitions' };

export class DefinitionWatch {
  readonly #watch: ListWatch;
  readonly #settled: Promise<void>;
  #settle: () => void = () => undefined;
  /** Undefined while it isn't known: not read yet, or not allowed to read. */
  #names: Set<string> | undefined;
  #listing = new Set<string>();

  constructor({ api, log, timers, random, pollAbsentMs, onChange }: DefinitionWatchOptions) {
    this.#settled = new Promise((resolve) => {
      this.#settle = resolve;
    });
    const unknown = (): void => {
      this.#names = undefined;
      this.#settle();
    };
    this.#watch = new ListWatch({
      // Definitions are the largest objects that a cluster has; their names are all that is wanted.
      api: api.metadata ?? api,
      what: 'CustomResourceDefinition',
      discover: (signal) => discover(api, DEFINITIONS, signal),
      sink: {
        begin: () => {
          this.#listing = new Set();
        },
        page: (items) => {
          for (const item of items) this.#listing.add(nameOf(item));
        },
        end: () => {
          const before = this.#names ?? new Set();
          this.#names = this.#listing;
          this.#settle();
          onChange(differing(before, this.#listing));
        },
        events: (events) => {
          const changed = new Set<string>();
          for (const { type, object } of events) {
            const name = nameOf(object);
            if (type === 'DELETED') this.#names?.delete(name);
            else this.#names?.add(name);
            changed.add(name);
          }
          onChange(changed);
        },
        absent: unknown,
        // Kinds are looked for one by one then, now and again.
        refused: unknown,
      },
      log,
      timers,
      random,
      pollAbsentMs,
    });
  }

  run(signal: AbortSignal): Promise<void> {
    return this.#watch.run(signal);
  }

  /** Resolves when it is known what is defined, or that this can't be known. */
  settled(): Promise<void> {
    return this.#settled;
  }

  /** False only where the server certainly lacks the kind. */
  defined(info: KindInfo): boolean {
    return this.#names?.has(`${info.plural}.${info.group}`) ?? true;
  }
}

function differing(one: ReadonlySet<string>, other: ReadonlySet<string>): ReadonlySet<string> {
  return new Set([...one, ...other].filter((name) => one.has(name) !== other.has(name)));
}

function nameOf(raw: RawObject): string {
  return textOf(raw['metadata'], 'name');
}
