// The last valid version of every object, from all sources, as one immutable value.
// In: batches of events from sources. Out: a new StoreState for each batch that changed something, sharing the rest.
// Called by sources through their sink; read by registry, snapshot and console through state() and onChange().
// A batch becomes visible as a whole. Nothing that a source says can throw out of here.

import {
  type ConfigObject,
  type Finding,
  type Kind,
  type ObjectEvent,
  type ObjectRef,
  refKey,
} from '../config/object.ts';
import { deepEqual, deepFreeze } from '../lib/equal.ts';
import { compareStrings, orderBy } from '../lib/order.ts';
import type { Counter, Gauge, Log, Meter } from '../lib/ports.ts';
import { tableWith } from '../lib/table.ts';
import { admit, type Claim, refusalsOf, refuse, type Validate } from './claims.ts';
import { emptyState, type StoreState, tableKey } from './state.ts';

/** What a source writes to: the same shape as the sources' port. */
export interface StoreSink {
  apply(events: readonly ObjectEvent[]): void;
  synced(): void;
}

export interface StoreOptions {
  readonly validators: Validate;
  readonly log: Log;
  readonly meter: Meter;
  /** Tests freeze every object, to prove that nothing downstream writes into them. */
  readonly freeze?: boolean | undefined;
}

export interface Store {
  /** A sink for one source. Sources that were given theirs earlier win where several have the same object. */
  sink(source: string): StoreSink;
  state(): StoreState;
  /** Called after every change, with the state before it. The result unsubscribes. */
  onChange(listener: (state: StoreState, before: StoreState) => void): () => void;
  /** The newest generation of an object that was seen, which may say the same as the one in force, or be refused. */
  generation(ref: ObjectRef): number | undefined;
  /** True once every source has handed over what was there at its start. */
  synced(): boolean;
  /** Resolves then. */
  ready(): Promise<void>;
}

interface SourceState {
  readonly name: string;
  readonly claims: Map<string, Claim>;
  readonly scopes: Map<string, readonly Finding[]>;
  synced: boolean;
}

export function createStore(options: StoreOptions): Store {
  return new ObjectStore(options);
}

class ObjectStore implements Store {
  readonly #options: StoreOptions;
  readonly #sources: SourceState[] = [];
  readonly #listeners = new Set<(state: StoreState, before: StoreState) => void>();
  readonly #waiting: (() => void)[] = [];
  readonly #metrics: StoreMetrics;
  #state: StoreState = emptyState();

  constructor(options: StoreOptions) {
    this.#options = options;
    this.#metrics = storeMetrics(options.meter);
  }

  sink(name: string): StoreSink {
    const source: SourceState = { name, claims: new Map(), scopes: new Map(), synced: false };
    this.#sources.push(source);
    return { apply: (events) => this.#apply(source, events), synced: () => this.#markSynced(source) };
  }

  state(): StoreState {
    return this.#state;
  }

  onChange(listener: (state: StoreState, before: StoreState) => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  generation(ref: ObjectRef): number | undefined {
    const key = refKey(ref);
    for (const source of this.#sources) {
      const claim = source.claims.get(key);
      if (claim !== undefined) return claim.generation;
    }
    return undefined;
  }

  synced(): boolean {
    return this.#sources.length > 0 && this.#sources.every((source) => source.synced);
  }

  ready(): Promise<void> {
    if (this.synced()) return Promise.resolve();
    return new Promise((resolve) => this.#waiting.push(resolve));
  }

  #markSynced(source: SourceState): void {
    source.synced = true;
    if (!this.synced()) return;
    for (const resolve of this.#waiting.splice(0)) resolve();
  }

  #apply(source: SourceState, events: readonly ObjectEvent[]): void {
    const touched = new Map<string, ObjectRef>();
    let findingsChanged = false;
    for (const event of events) {
      if (event.kind === 'findings') {
        findingsChanged = setScope(source, event.scope, event.findings) || findingsChanged;
      } else if (event.kind === 'invalid' && event.ref === undefined) {
        const scope = `invalid:${event.finding.origin ?? ''}`;
        findingsChanged =
          setScope(source, scope, [...(source.scopes.get(scope) ?? []), event.finding]) || findingsChanged;
      } else if (event.kind !== 'invalid') {
        const ref = event.kind === 'delete' ? event.ref : event.object;
        findingsChanged = this.#claim(source, refKey(ref), event) || findingsChanged;
        touched.set(refKey(ref), ref);
      }
    }
    for (const [key, { ref, findings }] of refusalsOf(events)) {
      const before = source.claims.get(key);
      if (deepEqual(before?.refused, findings)) continue;
      source.claims.set(key, refuse(before, ref, findings));
      touched.set(key, ref);
      findingsChanged = true;
      this.#metrics.rejected.inc({ kind: ref.kind });
    }
    this.#publish(source, touched, findingsChanged);
  }

  /** True when the findings about the object changed. */
  #claim(source: SourceState, key: string, event: Extract<ObjectEvent, { kind: 'upsert' | 'delete' }>): boolean {
    const before = source.claims.get(key);
    if (event.kind === 'delete') {
      source.claims.delete(key);
      return before !== undefined && before.refused.length + before.warnings.length > 0;
    }
    const after = admit(before, event, this.#options.validators);
    if (after === before) return false;
    if (this.#options.freeze === true && after.accepted !== undefined) deepFreeze(after.accepted);
    source.claims.set(key, after);
    if (after.refused.length > 0) {
      this.#metrics.rejected.inc({ kind: event.object.kind });
      const { origin: at, code, path: field, message: reason, expected } = after.refused[0] ?? {};
      this.#options.log.warn(
        { object: key, source: source.name, at, code, field, reason, expected },
        'object refused, the last good version stays in force',
      );
    }
    return !deepEqual(before?.refused ?? [], after.refused) || !deepEqual(before?.warnings ?? [], after.warnings);
  }

  #publish(source: SourceState, touched: ReadonlyMap<string, ObjectRef>, findingsChanged: boolean): void {
    const before = this.#state;
    const byKind = this.#tablesWith(touched);
    const recount = findingsChanged || this.#contested(source, touched);
    const about = recount ? this.#findings() : { findings: before.findings, held: before.held };
    const news = recount && !(deepEqual(about.findings, before.findings) && deepEqual(about.held, before.held));
    if (byKind === before.byKind && !news) return;
    this.#state = { sequence: before.sequence + 1, byKind, ...about };
    this.#metrics.update(this.#state, new Set([...touched.values()].map((ref) => ref.kind)));
    for (const listener of this.#listeners) {
      try {
        listener(this.#state, before);
      } catch (error) {
        this.#options.log.error({ err: error }, 'a listener of the store failed');
      }
    }
  }

  #tablesWith(touched: ReadonlyMap<string, ObjectRef>): StoreState['byKind'] {
    const changes = new Map<Kind, [string, ConfigObject | undefined][]>();
    for (const [key, ref] of touched) {
      const list = changes.get(ref.kind) ?? [];
      list.push([tableKey(ref), this.#inForce(key)]);
      changes.set(ref.kind, list);
    }
    let byKind = this.#state.byKind;
    for (const [kind, list] of changes) {
      const table = tableWith(byKind[kind], list);
      if (table !== byKind[kind]) byKind = { ...byKind, [kind]: table };
    }
    return byKind;
  }

  /** True when another source has one of the objects as well: which one wins is a finding. */
  #contested(source: SourceState, touched: ReadonlyMap<string, ObjectRef>): boolean {
    const others = this.#sources.filter((other) => other !== source);
    if (others.length === 0) return false;
    for (const key of touched.keys()) if (others.some((other) => other.claims.has(key))) return true;
    return false;
  }

  #inForce(key: string): ConfigObject | undefined {
    for (const source of this.#sources) {
      const accepted = source.claims.get(key)?.accepted;
      if (accepted !== undefined) return accepted;
    }
    return undefined;
  }

  #findings(): Pick<StoreState, 'findings' | 'held'> {
    const findings: Finding[] = [];
    const held = new Map<string, ObjectRef>();
    for (const [index, source] of this.#sources.entries()) {
      for (const list of source.scopes.values()) findings.push(...list);
      for (const [key, claim] of source.claims) {
        findings.push(...claim.refused, ...claim.warnings);
        if (claim.refused.length > 0) held.set(key, claim.ref);
        const winner = this.#sources.slice(0, index).find((other) => other.claims.get(key)?.accepted !== undefined);
        if (winner !== undefined) findings.push(shadowed(claim, source.name, winner.name));
      }
    }
    findings.sort(findingOrder);
    const byKey = [...held].sort((a, b) => compareStrings(a[0], b[0]));
    return { findings, held: byKey.map(([, ref]) => ref) };
  }
}

/** True when the findings of the scope changed. */
function setScope(source: SourceState, scope: string, findings: readonly Finding[]): boolean {
  const before = source.scopes.get(scope) ?? [];
  if (findings.length === 0) source.scopes.delete(scope);
  else source.scopes.set(scope, findings);
  return !deepEqual(before, findings);
}

function shadowed(claim: Claim, source: string, winner: string): Finding {
  const origin = claim.accepted?.origin;
  return {
    severity: 'warning',
    code: 'MEL0012',
    ref: claim.ref,
    ...(origin === undefined ? {} : { origin }),
    message: `the object of source ${source} is not used: source ${winner} has it as well`,
  };
}

const findingOrder = orderBy<Finding>(
  (a, b) => compareStrings(a.ref === undefined ? '' : refKey(a.ref), b.ref === undefined ? '' : refKey(b.ref)),
  (a, b) => compareStrings(a.origin ?? '', b.origin ?? ''),
  (a, b) => compareStrings(a.path ?? '', b.path ?? ''),
  (a, b) => compareStrings(a.code, b.code),
  (a, b) => compareStrings(a.message, b.message),
);

interface StoreMetrics {
  readonly rejected: Counter;
  update(state: StoreState, kinds: ReadonlySet<Kind>): void;
}

function storeMetrics(meter: Meter): StoreMetrics {
  const objects: Gauge = meter.gauge('meltemi_config_objects', 'Objects in force, by kind.', ['kind']);
  const findings: Gauge = meter.gauge('meltemi_config_findings', 'Findings about the configuration, by severity.', [
    'severity',
  ]);
  const held: Gauge = meter.gauge('meltemi_config_held_objects', 'Objects whose newest version is refused.');
  const rejected = meter.counter('meltemi_config_rejected_total', 'Object versions refused, by kind.', ['kind']);
  return {
    rejected,
    update: (state, kinds) => {
      for (const kind of kinds) objects.set(state.byKind[kind].size, { kind });
      for (const severity of ['error', 'warning', 'info'] as const) {
        findings.set(state.findings.filter((finding) => finding.severity === severity).length, { severity });
      }
      held.set(state.held.length);
    },
  };
}
