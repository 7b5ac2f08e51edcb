// `status.conditions` of the user's objects, by server-side apply. In: the reports of all replicas, the store. Out: one
// condition for each object, written when it says something else, and taken back from objects that are ours no longer.
// Runs on the leader of the revision. Writes of statuses change nothing that proxies are given.

import { KINDS, OWN_GROUPS } from '../config/kinds.ts';
import type { ConfigObject, Finding, Kind, ObjectRef } from '../config/object.ts';
import { refKey } from '../config/object.ts';
import { deepEqual } from '../lib/equal.ts';
import { tableDiff, tableValues } from '../lib/table.ts';
import { KubeError } from '../sources/kube-api.ts';
import { isRecord, orMissing } from '../sources/kube-discovery.ts';
import { objectIn, type StoreState } from '../store/state.ts';
import type { Store } from '../store/store.ts';
import { type Condition, conditionOf, sumOf } from './conditions.ts';
import { Reconciler } from './reconciler.ts';
import { ReportReader, type ReportsOptions } from './reports.ts';
import { type WrittenStatus, writtenStatuses } from './written-statuses.ts';

export interface StatusOptions extends ReportsOptions {
  readonly store: Store;
  /** What was wrong with proxies' answers, by object. */
  readonly rejections: () => readonly Finding[];
  /** Of several revisions that serve an object, one writes its status. */
  readonly ownerOf: (namespace: string, labels: Readonly<Record<string, string>>) => 'own' | 'other' | 'nobody';
}

/** Conditions of these are inputs: others write them. Or they shape proxies only through other objects. */
const SKIPPED: ReadonlySet<Kind> = new Set<Kind>(['WorkloadEntry', 'WorkloadGroup', 'ProxyConfig']);
const REPORTED = KINDS.filter(({ group, kind }) => OWN_GROUPS.includes(group) && !SKIPPED.has(kind));
const INFO = new Map(REPORTED.map((info) => [info.kind, info]));

const STATUS_MANAGER = 'meltemi-status';
/** Statuses a second, and the least time between two of one object, ms. */
const PER_SECOND = 20;
const SPACING_MS = 5_000;
/** The same of what nobody waits for: proxies came or went, or the object was there before the control plane. */
const QUIET_PER_SECOND = 4;
/** Counts that never stand still are written all the same after this, ms. */
const UNREST_MS = 30_000;
/** Reports and changes are gathered for this long, ms. */
const GATHER_MS = 1_000;

export function statusController(options: StatusOptions, signal: AbortSignal): void {
  const { store, timers } = options;
  /** What stands in the cluster. */
  const written = new Map<string, WrittenStatus>();
  const unrest = new Unrest();
  const refs = new Map<string, ObjectRef>();
  /** Objects that were there before this controller, as long as they are. */
  const found = new Set<string>();
  let conditions: ReadonlyMap<string, Condition> = new Map();
  let due: (() => void) | undefined;

  const reconcile = async (key: string, during: AbortSignal): Promise<void> => {
    const ref = refs.get(key);
    if (ref === undefined) return;
    const condition = conditions.get(key);
    const generation = store.generation(ref);
    const before = written.get(key);
    if (condition !== undefined && saysTheSame(before, condition, generation)) return;
    if (condition === undefined && (await isOthers(options, ref, during))) return forget(key);
    const at = before?.condition.status === condition?.status ? (before?.time ?? '') : '';
    const time = at === '' ? new Date(options.clock.now()).toISOString() : at;
    await write(options, { ref, condition, generation, time }, during);
    if (condition === undefined) return forget(key);
    unrest.delete(key);
    written.set(key, { condition, generation, time });
  };
  const queueOf = (perSecond: number): Reconciler =>
    new Reconciler({ ...options, name: 'status', perSecond, spacing: SPACING_MS, reconcile }, signal);
  const news = queueOf(PER_SECOND);
  const quiet = queueOf(QUIET_PER_SECOND);
  const forget = (key: string): void => {
    written.delete(key);
    unrest.delete(key);
    refs.delete(key);
    found.delete(key);
    news.forget(key);
    quiet.forget(key);
  };
  const reports = new ReportReader(options, () => soon());
  const compute = (): void => {
    const state = store.state();
    const next = conditionsOf(options, state, sumOf(reports.living(signal)));
    conditions = new Map([...next].map(([key, { condition }]) => [key, condition]));
    const now = options.clock.now();
    for (const [key, { ref, condition }] of next) {
      refs.set(key, ref);
      const generation = store.generation(ref);
      const before = written.get(key);
      if (saysTheSame(before, condition, generation)) unrest.delete(key);
      else if (before === undefined ? isBad(condition) || !found.has(key) : isNews(condition, generation, before))
        news.add(key);
      else if (before === undefined || unrest.settled(key, JSON.stringify([condition, generation]), now))
        quiet.add(key);
    }
    for (const key of refs.keys()) if (!conditions.has(key)) news.add(key);
  };
  const soon = (): void => {
    if (signal.aborted || !begun) return;
    due ??= timers.setTimeout(() => {
      due = undefined;
      compute();
    }, GATHER_MS);
  };
  let begun = false;
  const begin = async (): Promise<void> => {
    await reports.synced();
    const state = store.state();
    for (const { kind } of REPORTED) for (const object of tableValues(state.byKind[kind])) found.add(refKey(object));
    const statuses = await writtenStatuses(options.api, REPORTED, state, signal).catch(() => NONE_WRITTEN);
    for (const [key, status] of statuses) written.set(key, status);
    begun = true;
    soon();
  };
  void reports.run(signal);
  void begin();
  const unfollow = store.onChange((state, before) => {
    if (concerned(state, before)) soon();
  });
  const tick = (): void => {
    cancelTick = timers.setTimeout(() => {
      soon();
      tick();
    }, SPACING_MS);
  };
  let cancelTick: () => void = () => undefined;
  tick();
  signal.addEventListener(
    'abort',
    () => {
      unfollow();
      cancelTick();
      due?.();
    },
    { once: true },
  );
}

const NONE_WRITTEN: ReadonlyMap<string, WrittenStatus> = new Map();

function saysTheSame(before: WrittenStatus | undefined, condition: Condition, generation: number | undefined): boolean {
  return before !== undefined && before.generation === generation && deepEqual(before.condition, condition);
}

function isBad({ reason }: Condition): boolean {
  return reason === 'Rejected' || reason === 'Invalid';
}

/** A new version, or bad news; all else are proxies that come, go, and catch up with something. */
function isNews(condition: Condition, generation: number | undefined, before: WrittenStatus): boolean {
  const { reason } = before.condition;
  return (
    before.generation !== generation || (condition.reason !== reason && (isBad(condition) || reason === 'Progressing'))
  );
}

/**
 * Conditions that differ from what is written. While thousands of proxies connect, or endpoints never rest, the counts of every
 * object are others all the time: they are written once they stand still.
 */
class Unrest {
  readonly #states = new Map<string, { readonly from: number; text: string; since: number }>();

  /** True when the condition has been the same for a while, or has gone on changing for long. */
  settled(key: string, text: string, now: number): boolean {
    const state = this.#states.get(key);
    if (state === undefined) {
      this.#states.set(key, { from: now, text, since: now });
      return false;
    }
    if (state.text !== text) Object.assign(state, { text, since: now });
    return now - state.since >= SPACING_MS || now - state.from >= UNREST_MS;
  }

  delete(key: string): void {
    this.#states.delete(key);
  }
}

function concerned(state: StoreState, before: StoreState): boolean {
  if (state.findings !== before.findings) return true;
  return REPORTED.some(({ kind }) => {
    if (state.byKind[kind] === before.byKind[kind]) return false;
    for (const _ of tableDiff(before.byKind[kind], state.byKind[kind])) return true;
    return false;
  });
}

function conditionsOf(
  { rejections, ownerOf }: StatusOptions,
  state: StoreState,
  reach: ReturnType<typeof sumOf>,
): ReadonlyMap<string, { readonly ref: ObjectRef; readonly condition: Condition }> {
  const refused = new Map<string, Finding>();
  for (const finding of state.findings)
    if (finding.ref !== undefined && finding.severity === 'error') refused.set(refKey(finding.ref), finding);
  const rejected = new Map(
    rejections().flatMap((finding) =>
      finding.ref === undefined ? [] : [[refKey(finding.ref), finding.message] as const],
    ),
  );
  const held = new Set(state.held.map(refKey));
  const conditions = new Map<string, { readonly ref: ObjectRef; readonly condition: Condition }>();
  const add = (ref: ObjectRef): void => {
    if (ownerOf(ref.namespace, objectIn(state, ref)?.labels ?? {}) !== 'own') return;
    const key = refKey(ref);
    const condition = conditionOf({
      reach: reach.get(key),
      refused: held.has(key) ? refused.get(key) : undefined,
      rejection: rejected.get(key),
    });
    conditions.set(key, { ref, condition });
  };
  for (const { kind } of REPORTED) for (const object of tableValues(state.byKind[kind])) add(object);
  for (const ref of state.held) if (INFO.has(ref.kind)) add(ref);
  return conditions;
}

interface Writing {
  readonly ref: ObjectRef;
  /** Undefined takes back what was written. */
  readonly condition: Condition | undefined;
  readonly generation: number | undefined;
  /** Of the last transition. */
  readonly time: string;
}

/** Whether another revision writes what is to be taken back here: it has one field manager with us, and may have been first. */
async function isOthers({ api, store, ownerOf }: StatusOptions, ref: ObjectRef, signal: AbortSignal): Promise<boolean> {
  const info = INFO.get(ref.kind);
  if (info === undefined) return true;
  const served = objectIn(store.state(), ref);
  if (served !== undefined) return ownerOf(ref.namespace, served.labels) === 'other';
  const path = `/apis/${info.group}/${info.versions[0]}/namespaces/${ref.namespace}/${info.plural}/${ref.name}`;
  const object = await orMissing(api.get(path, {}, signal));
  const metadata = isRecord(object) ? object['metadata'] : undefined;
  const labels = (isRecord(metadata) ? metadata['labels'] : undefined) as Readonly<Record<string, string>> | undefined;
  return ownerOf(ref.namespace, labels ?? {}) === 'other';
}

async function write(
  { api, store }: StatusOptions,
  { ref, condition, generation, time }: Writing,
  signal: AbortSignal,
): Promise<void> {
  const info = INFO.get(ref.kind);
  if (info === undefined) return;
  const object: ConfigObject | undefined = objectIn(store.state(), ref);
  const apiVersion = object?.apiVersion ?? `${info.group}/${info.versions[0]}`;
  const path = `/apis/${apiVersion}/namespaces/${ref.namespace}/${info.plural}/${ref.name}/status`;
  const status =
    condition === undefined
      ? {}
      : {
          conditions: [{ ...condition, lastTransitionTime: time }],
          ...(generation === undefined || generation === 0 ? {} : { observedGeneration: generation }),
        };
  const body = { apiVersion, kind: ref.kind, metadata: { name: ref.name, namespace: ref.namespace }, status };
  const query = { fieldManager: STATUS_MANAGER, force: true };
  try {
    await api.send({ method: 'PATCH', patch: 'apply-patch', path, query, body, unread: true }, signal);
  } catch (error) {
    // It went meanwhile, or its kind has no status here: nothing to be said.
    if (!(error instanceof KubeError) || error.status !== 404) throw error;
  }
}
