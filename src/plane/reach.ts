// How far each object of the user's has come: how many proxies it shapes, and how many of them have taken it.
// In: sessions, and what their streams say they hold. Out: counts by object. Called by the status writers, in steps.
//
// An object shapes a proxy when it stands among the origins of a resource of a type that the proxy asks for. The proxy has
// taken it when it holds the newest of all those types, and has refused nothing that comes from the object.

import { type Kind, type ObjectRef, refKey } from '../config/object.ts';
import type { Origin } from '../ir/draft.ts';
import { memo } from '../lib/memo.ts';
import { stamp } from '../lib/stamp.ts';
import type { Steps } from '../lib/steps.ts';
import type { Bucket } from '../lib/table.ts';
import type { Resource } from '../resources/resource.ts';
import type { ResourceTable } from '../resources/view.ts';
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

/** Sessions that hold the same of what classes share. */
interface Group {
  readonly parts: readonly Part[];
  readonly members: Member[];
}

/** What one of them has of its own. */
interface Member {
  readonly id: string;
  readonly parts: readonly Part[];
  readonly sidecar: ObjectRef | undefined;
  /** It holds the newest of every type. */
  readonly settled: boolean;
}

interface Part {
  readonly table: ResourceTable;
  readonly progress: Progress;
}

/** Kubernetes' own objects have statuses of their own. */
const NOT_REPORTED: ReadonlySet<Kind> = new Set<Kind>([
  ...(['Namespace', 'Node', 'Pod', 'Service', 'ServiceAccount', 'Secret', 'ConfigMap', 'EndpointSlice'] as const),
]);

/** Sessions looked at in one step. */
const STRIDE = 64;

/** In steps: what classes share is looked at once for each class, and not for each proxy. */
export function* reachOf(input: ReachInput): Steps<ReadonlyMap<string, Reach>> {
  const reach = new Map<string, Reach>();
  const groups = yield* groupsOf(input);
  yield;
  const newest = newestOf(input.generation);
  for (const { parts, members } of groups) {
    const shared = shapedBy(parts, newest);
    countShared(shared, members, input.refusals, reach);
    for (const [index, member] of members.entries()) {
      if (index % STRIDE === 0) yield;
      countOwn(member, shared, newest, input.refusals, reach);
    }
  }
  return reach;
}

/** Generations are looked up once, however many tables an object stands in. */
function newestOf(generation: ReachInput['generation']): ReachInput['generation'] {
  const known = new Map<string, number | undefined>();
  return (key) => {
    if (!known.has(key)) known.set(key, generation(key));
    return known.get(key);
  };
}

function* groupsOf({ sessions, streams }: ReachInput): Steps<Iterable<Group>> {
  const progress = new Map(streams.map(({ connectionId, types }) => [connectionId, types]));
  const groups = new Map<string, Group>();
  let looked = 0;
  for (const session of sessions) {
    if (++looked % STRIDE === 0) yield;
    const parts: Part[] = [];
    const own: Part[] = [];
    let [key, settled] = ['', true];
    for (const { typeUrl, progress: how } of progress.get(session.connectionId) ?? []) {
      for (const table of session.view(typeUrl)?.parts ?? []) {
        if (how === 'under-way') settled = false;
        if (isShared(table)) {
          parts.push({ table, progress: how });
          key += `${idOf(table)} ${how},`;
        } else if (originsOf(table).size > 0) own.push({ table, progress: how });
      }
    }
    const member: Member = { id: session.id, parts: own, sidecar: session.workload?.sidecar, settled };
    const group = groups.get(key);
    if (group === undefined) groups.set(key, { parts, members: [member] });
    else group.members.push(member);
  }
  return groups.values();
}

/** A workload's own tables are of one bucket. */
function isShared({ buckets }: ResourceTable): boolean {
  return buckets.length > 1;
}

type Refusals = ReachInput['refusals'];

/** The objects that shape the parts, and whether the newest of each is held. */
function shapedBy(parts: readonly Part[], newest: ReachInput['generation']): Map<string, boolean> {
  const shaped = new Map<string, boolean>();
  for (const { table, progress } of parts) {
    // A type that was refused in part is held but for what is refused.
    const held = progress !== 'under-way';
    for (const [key, generation] of originsOf(table)) {
      const taken = held && generation >= (newest(key) ?? generation);
      shaped.set(key, (shaped.get(key) ?? true) && taken);
    }
  }
  return shaped;
}

function countShared(
  shared: ReadonlyMap<string, boolean>,
  members: readonly Member[],
  refusals: Refusals,
  reach: Map<string, Reach>,
): void {
  for (const [key, taken] of shared) {
    const entry = entryOf(reach, key);
    const refusers = refusals.get(key);
    const refused = refusers === undefined ? 0 : members.filter(({ id }) => refusers.has(id)).length;
    entry.total += members.length;
    entry.refused += refused;
    entry.programmed += taken ? members.length - refused : 0;
  }
}

/** Corrects what was counted for its group by what is peculiar to the member. */
function countOwn(
  { id, parts, sidecar, settled }: Member,
  shared: ReadonlyMap<string, boolean>,
  newest: ReachInput['generation'],
  refusals: Refusals,
  reach: Map<string, Reach>,
): void {
  if (parts.length === 0 && sidecar === undefined) return;
  const shaped = shapedBy(parts, newest);
  if (sidecar !== undefined) shaped.set(refKey(sidecar), settled);
  for (const [key, taken] of shaped) {
    const entry = entryOf(reach, key);
    const refuses = refusals.get(key)?.has(id) === true;
    const counted = shared.get(key);
    if (counted === undefined) {
      entry.total++;
      entry.refused += refuses ? 1 : 0;
      entry.programmed += taken && !refuses ? 1 : 0;
    } else if (counted && !taken && !refuses) entry.programmed--;
  }
}

function entryOf(reach: Map<string, Reach>, key: string): Reach {
  let entry = reach.get(key);
  if (entry === undefined) {
    entry = { total: 0, programmed: 0, refused: 0 };
    reach.set(key, entry);
  }
  return entry;
}

const ids = stamp<object, number>();
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

const ofTable = stamp<ResourceTable, Generations>();
const ofBucket = stamp<Bucket<readonly Resource[]>, Generations>();

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
