// What this replica reports of its own proxies: how far each object of the user's has come with them.
// In: the plane, its streams, the store. Out: the report, counted anew when what it rests on has moved. Called by leadership.
//
// A count looks at every proxy. Pods and their endpoints come and go all the time, and shape no object's standing but for the
// moment of their push: for them alone it is counted twice a minute at most, once all had been taken.

import type { Kind } from '../config/object.ts';
import type { Clock, Timers } from '../lib/ports.ts';
import { inSlices } from '../lib/slices.ts';
import { sameList, tableGet } from '../lib/table.ts';
import type { Plane } from '../plane/plane.ts';
import { reachOf, type StreamProgress } from '../plane/reach.ts';
import { wait } from '../sources/wait.ts';
import type { Store } from '../store/store.ts';
import type { Report } from './reports.ts';

export interface OwnReportOptions {
  readonly plane: Plane;
  readonly store: Store;
  readonly streams: () => Promise<readonly StreamProgress[]>;
  /** Lets waiting events be handled. */
  readonly yieldLoop: () => Promise<void>;
  readonly clock: Clock;
  readonly timers: Timers;
}

/** It waits until nothing has moved for so long, ms; at most for so long. */
const CALM_MS = 100;
const MAX_CALM_MS = 1_000;

/** Between counts when nothing moved but what moves all the time, ms. */
const PASSING_MS = 30_000;

const PASSING: ReadonlySet<string> = new Set<Kind>(['Pod', 'EndpointSlice', 'Node', 'Secret', 'ServiceAccount']);

interface Counted {
  readonly at: number;
  readonly activity: number;
  readonly state: unknown;
  readonly basis: readonly unknown[];
  /** All proxies have taken all that they don't refuse. */
  readonly settled: boolean;
  readonly report: Report;
}

export class OwnReport {
  readonly #options: OwnReportOptions;
  #counted: Counted | undefined;
  /** How often it was counted. */
  counts = 0;

  constructor(options: OwnReportOptions) {
    this.#options = options;
  }

  /** As it is now, as far as it matters: a mesh at rest costs nothing. */
  async current(signal: AbortSignal): Promise<Report> {
    const known = this.#counted;
    if (known !== undefined && this.#stands(known)) return known.report;
    await this.#calm(signal);
    const { plane, store, clock } = this.#options;
    const [at, activity, state, basis] = [clock.now(), plane.activity, store.state(), this.#basis()];
    const report = await this.#count();
    const settled = [...report.values()].every(({ total, programmed, refused }) => programmed + refused === total);
    this.#counted = { at, activity, state, basis, settled, report };
    return report;
  }

  #stands({ at, activity, state, basis, settled }: Counted): boolean {
    const { plane, store, clock } = this.#options;
    if (activity === plane.activity && state === store.state()) return true;
    if (!settled || clock.now() - at >= PASSING_MS) return false;
    return sameList(basis, this.#basis());
  }

  /** What decides which objects shape whom, but for what moves all the time. */
  #basis(): readonly unknown[] {
    const { plane, store } = this.#options;
    const tables = Object.entries(store.state().byKind).flatMap(([kind, table]) => (PASSING.has(kind) ? [] : [table]));
    return [plane.population, plane.nacks.count, ...tables];
  }

  /** While changes are on their way counting would hold them up, and find what is out of date in a moment. */
  async #calm(signal: AbortSignal): Promise<void> {
    const { timers, plane } = this.#options;
    for (let waited = 0; waited < MAX_CALM_MS && !signal.aborted; waited += CALM_MS) {
      const before = plane.activity;
      await wait(timers, CALM_MS, signal);
      if (plane.activity === before) return;
    }
  }

  async #count(): Promise<Report> {
    const { plane, streams, yieldLoop, clock } = this.#options;
    this.counts++;
    const steps = reachOf({
      streams: await streams(),
      sessions: plane.sessions,
      refusals: plane.nacks.refusals(),
      generation: (key) => this.#accepted(key),
    });
    // Nobody waits for it: after each step it is somebody else's turn.
    return inSlices(steps, { clock, yieldLoop, slice: 0 });
  }

  /** The generation of which the object in force is made. */
  #accepted(key: string): number | undefined {
    const [kind = '', namespace = '', name = ''] = key.split('/');
    const table = this.#options.store.state().byKind[kind as Kind];
    return tableGet(table, `${namespace}/${name}`)?.generation;
  }
}
