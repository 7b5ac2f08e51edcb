// How far each object of the user's has come: how many proxies it shapes, and how many of them have taken it.
// In: sessions, and what their streams say they hold. Out: counts by object. Called by the status writers, in steps.
//
// An object shapes a proxy when it stands among the origins of a resource of a type that the proxy asks for. The proxy has
// taken it when it holds the newest of all those types, and has refused nothing that comes from the object.

import { type Kind, type ObjectRef, refKey } from '../config/object.ts';
import type { Origin } from '../ir/draft.ts';
import { memo } from '../lib/memo.ts';
import type { Steps } from '../lib/steps.ts';
import type { Bucket } from '../lib/table.ts';
import type { Resource } from '../resources/resource.ts';
import type { ResourceTable, View } from '../resources/view.ts';
import type { PlaneSession } from './proxy-session.ts';

/** What a proxy holds of a type, as its stream knows. */
export type Progress = 'taken' | 'under-way' | 'refused';

/** What one stream says of itself. */
export interface StreamProgress {
  readonly connectionId: string;
  readonly types: readonly { readonly typeUrl: string; readonly progress: Progress }[];
}

export interface Reach {
  /** Proxies that the object shapes. */
  total: number;
  /** Those that have taken it. */
  programmed: number;
  /** Those that refuse something of it. */
  refused: number;
}

export interface ReachInput {
  readonly sessions: Iterable<PlaneSession>;
  readonly streams: readonly StreamProgress[];
  /** By object (refKey), the ids of the sessions that refuse something of it. */
  readonly refusals: ReadonlyMap<string, ReadonlySet<string>>;
  /** Generation in force of an object; a resource made of an older one is not what is meant. */
  readonly generation: (key: string) => number | undefined;
}

/** Sessions for which all that counts here is the same. */
interface Group {
  readonly views: readonly (readonly [View, Progress])[];
  readonly sidecar: ObjectRef | undefined;
  readonly members: string[];
}

/** Kubernetes' own objects have statuses of their own. */
const NOT_REPORTED: ReadonlySet<Kind> = new Set<Kind>([
  ...(['Namespace', 'Node', 'Pod', 'Service', 'ServiceAccount', 'Secret', 'ConfigMap', 'EndpointSlice'] as const),
]);

export function* reachOf(input: ReachInput): Steps<ReadonlyMap<string, Reach>> {
  const reach = new Map<string, Reach>();
  for (const group of groupsOf(input)) {
    count(group, input, reach);
    yield;
  }
  return reach;
}

function groupsOf({ sessions, streams }: ReachInput): Iterable<Group> {
  const progress = new Map(streams.map(({ connectionId, types }) => [connectionId, types]));
  const groups = new Map<string, Group>();
  for (const session of sessions) {
    const views = (progress.get(session.connectionId) ?? []).flatMap(({ typeUrl, progress: how }) => {
      const view = session.view(typeUrl);
      return view === undefined ? [] : [[view, how] as const];
    });
    const sidecar = session.workload?.sidecar;
    const key = [
      ...views.map(([view, how]) => `${idOf(view)} ${how}`),
      sidecar === undefined ? '' : refKey(sidecar),
    ].join();
    const group = groups.get(key);
    if (group === undefined) groups.set(key, { views, sidecar, members: [session.id] });
    else group.members.push(session.id);
  }
  return groups.values();
}

function count({ views, sidecar, members }: Group, input: ReachInput, reach: Map<string, Reach>): void {
  const shaped = new Map<string, boolean>();
  for (const [view, progress] of views) {
    // A type that was refused in part is held but for what is refused.
    const held = progress !== 'under-way';
    for (const part of view.parts) {
      for (const [key, generation] of originsOf(part)) {
        const newest = generation >= (input.generation(key) ?? generation);
        shaped.set(key, (shaped.get(key) ?? true) && held && newest);
      }
    }
  }
  if (sidecar !== undefined)
    shaped.set(
      refKey(sidecar),
      views.every(([, progress]) => progress !== 'under-way'),
    );
  for (const [key, taken] of shaped) {
    let entry = reach.get(key);
    if (entry === undefined) {
      entry = { total: 0, programmed: 0, refused: 0 };
      reach.set(key, entry);
    }
    const refusers = input.refusals.get(key);
    const refused = refusers === undefined ? 0 : members.filter((member) => refusers.has(member)).length;
    entry.total += members.length;
    entry.refused += refused;
    entry.programmed += taken ? members.length - refused : 0;
  }
}

const ids = new WeakMap<object, number>();
let lastId = 0;

function idOf(object: object): number {
  let id = ids.get(object);
  if (id === undefined) {
    id = ++lastId;
    ids.set(object, id);
  }
  return id;
}

/** By object, the oldest generation of it in a table. */
type Generations = ReadonlyMap<string, number>;

const ofTable = new WeakMap<ResourceTable, Generations>();
const ofBucket = new WeakMap<Bucket<readonly Resource[]>, Generations>();

function originsOf(table: ResourceTable): Generations {
  let known = ofTable.get(table);
  if (known === undefined) {
    known = united(table.buckets.filter((bucket) => bucket.size > 0).map(originsIn));
    ofTable.set(table, known);
  }
  return known;
}

function originsIn(bucket: Bucket<readonly Resource[]>): Generations {
  let known = ofBucket.get(bucket);
  if (known === undefined) {
    known = united([...bucket.values()].flatMap((group) => group.map(({ origins }) => generationsOf(origins))));
    ofBucket.set(bucket, known);
  }
  return known;
}

/** Of one list of origins, which many resources may have. */
const generationsOf = memo((origins: readonly Origin[]): Generations => {
  const all = new Map<string, number>();
  for (const origin of origins) if (!NOT_REPORTED.has(origin.kind)) merge(all, [[refKey(origin), origin.generation]]);
  return all.size === 0 ? NO_GENERATIONS : all;
});

const NO_GENERATIONS: Generations = new Map();

/** Where it is one list, that list: most workloads have the same. */
function united(all: Iterable<Generations>): Generations {
  const lists = new Set(all);
  lists.delete(NO_GENERATIONS);
  if (lists.size < 2) return [...lists][0] ?? NO_GENERATIONS;
  return merged(lists);
}

function merged(lists: Iterable<Generations>): Generations {
  const all = new Map<string, number>();
  for (const list of lists) merge(all, list);
  return all;
}

function merge(into: Map<string, number>, from: Iterable<readonly [string, number]>): void {
  for (const [key, generation] of from) into.set(key, Math.min(into.get(key) ?? generation, generation));
}
