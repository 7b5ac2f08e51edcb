// Responses under way, and what a client holds when one of them was rejected.
// In: records of what was sent. Out: what the client holds then. Called by the exchanges; pure.

import type { Resource } from '../resources/resource.ts';
import { type View, viewIndexed, viewSize } from '../resources/view.ts';
import type { NamePool } from './names.ts';
import type { Stated } from './stated.ts';
import { type Chunk, disjointParts } from './step.ts';
import {
  commonSelection,
  covers,
  EVERYTHING,
  type Held,
  type HeldItem,
  heldItem,
  holding,
  NOTHING_HELD,
  narrowed,
  type Odd,
  type Selection,
  selectionOf,
  UNKNOWN,
} from './subscription.ts';

/** A response that isn't answered yet. */
export interface Sent {
  readonly nonce: string;
  readonly version: string;
  /** What the client held before, and what it holds if it takes this. */
  readonly from: Held;
  readonly to: Held;
  /** What the client wanted then, and has not dropped since. */
  readonly kept: Selection;
  /** All that is in it. */
  readonly chunks: readonly Chunk[];
  /** The resources that the client didn't have. */
  readonly fresh: readonly Chunk[];
  readonly removed: readonly string[];
  /** Wake of the oldest change in it. */
  readonly since: number;
}

export function countOf(chunks: readonly Chunk[]): number {
  return chunks.reduce((total, chunk) => total + chunk.resources.length, 0);
}

function namesOf(sent: Sent): string[] {
  return [...sent.fresh.flatMap((chunk) => chunk.resources.map((resource) => resource.name)), ...sent.removed];
}

interface State {
  readonly held: Held;
  readonly wants: Selection;
  /** The client may hold something from an earlier stream, nobody knows what. */
  readonly blind: boolean;
  /** Responses sent after the rejected one. */
  readonly later: readonly Sent[];
}

/**
 * The state if the client rejected `sent`: of the suspects it holds what it held before; of the others nobody knows
 * whether it took them.
 */
export function withoutSent(
  sent: Sent,
  suspects: readonly Resource[],
  state: State,
  pool: NamePool,
): { readonly held: Held; readonly later: readonly Sent[] } {
  const simple = state.held === sent.to ? simplestWithout(sent, suspects, state, pool) : undefined;
  if (simple !== undefined) return { held: simple, later: state.later };
  const blamed = new Set(suspects.map((resource) => resource.name));
  const nothing = state.blind ? UNKNOWN : undefined;
  const items = new Map<string, HeldItem>();
  for (const name of sent.removed) items.set(name, itemBefore(sent, name) === undefined ? nothing : UNKNOWN);
  for (const { resources } of sent.fresh) {
    for (const { name } of resources) {
      items.set(name, blamed.has(name) ? (itemBefore(sent, name) ?? nothing) : UNKNOWN);
    }
  }
  for (const name of blamed) if (!items.has(name)) items.set(name, itemBefore(sent, name) ?? nothing);
  // Later responses were made in the belief that this one is taken; where they bring the same name, they prevail.
  const later = state.later.map((next) => {
    const from = corrected(next.from, items, state.wants);
    for (const name of namesOf(next)) items.delete(name);
    return { ...next, from };
  });
  return { held: corrected(state.held, items, state.wants), later };
}

/** The client wants other names now. */
export function narrowedSent(unanswered: readonly Sent[], wants: Selection, pool: NamePool): readonly Sent[] {
  return unanswered.map((sent) => {
    const kept = commonSelection(sent.kept, wants, pool);
    return kept === sent.kept ? sent : { ...sent, kept };
  });
}

/** What the client holds of a name if it rejects the response. */
function itemBefore({ from, kept }: Sent, name: string): HeldItem {
  const item = heldItem(from, name);
  // What it dropped it doesn't hold, unless a response from before has brought it again.
  return item === undefined || covers(kept, name) ? item : UNKNOWN;
}

function simplestWithout(
  sent: Sent,
  suspects: readonly Resource[],
  { blind, wants, later }: State,
  pool: NamePool,
): Held | undefined {
  if (!blind) return simplyWithout(sent, suspects, wants, pool);
  return later.length === 0 ? blindlyWithout(sent, suspects) : undefined;
}

/** The common cases, in which streams go on sharing what they share: all is suspected, or one shared chunk was sent. */
function simplyWithout(sent: Sent, suspects: readonly Resource[], wants: Selection, pool: NamePool): Held | undefined {
  if (sent.removed.length > 0) return undefined;
  const before = narrowed(sent.from, wants, pool);
  const fresh = new Set(sent.fresh.flatMap((chunk) => chunk.resources));
  if (suspects.some((resource) => !fresh.has(resource))) return undefined;
  if (suspects.length === fresh.size) return before;
  const [chunk, ...more] = sent.fresh;
  if (before.odd !== undefined || chunk === undefined || more.length > 0) return undefined;
  return holding(before.view, before.selection, doubts(chunk, suspects));
}

/** The same for the first response of a stream to a client of which nobody knows what it had. */
function blindlyWithout({ from, to, fresh, removed }: Sent, suspects: readonly Resource[]): Held | undefined {
  const [chunk, ...more] = fresh;
  if (from.view !== undefined || from.odd !== undefined || removed.length > 0) return undefined;
  if (to.odd !== undefined || chunk === undefined || more.length > 0) return undefined;
  const sent = new Set(chunk.resources);
  return suspects.every((resource) => sent.has(resource))
    ? holding(to.view, to.selection, doubts(chunk, []))
    : undefined;
}

const knownDoubts = new WeakMap<Chunk, Map<string, Odd>>();

/** All of a chunk but the suspects, as unknown. When a thousand clients reject the same, they share one map. */
function doubts(chunk: Chunk, suspects: readonly Resource[]): Odd {
  let known = knownDoubts.get(chunk);
  if (known === undefined) {
    known = new Map();
    knownDoubts.set(chunk, known);
  }
  const key = suspects.map((resource) => resource.version).join();
  let odd = known.get(key);
  if (odd === undefined) {
    const blamed = new Set(suspects);
    const rest = chunk.resources.filter((resource) => !blamed.has(resource));
    odd = new Map<string, HeldItem>(rest.map((resource) => [resource.name, UNKNOWN]));
    known.set(key, odd);
  }
  return odd;
}

/** `held` with other items under some names, as far as they are wanted. */
function corrected(held: Held, items: ReadonlyMap<string, HeldItem>, wants: Selection): Held {
  const odd = new Map<string, HeldItem>(held.odd);
  for (const [name, item] of items) if (covers(wants, name)) odd.set(name, item);
  return holding(held.view, held.selection, odd);
}

/** What was wanted, dropped, and is wanted again may still arrive: the client will hold it, whatever became of it. */
export function withDoubts(held: Held, unanswered: readonly Sent[], wants: Selection): Held {
  if (unanswered.length === 0) return held;
  const arriving = unanswered.flatMap(namesOf).filter((name) => !covers(held.selection, name) && covers(wants, name));
  if (arriving.length === 0) return held;
  return holding(
    held.view,
    held.selection,
    new Map([...(held.odd ?? []), ...arriving.map((name) => [name, UNKNOWN] as const)]),
  );
}

/** What a client holds according to `initial_resource_versions`. */
export function reported(stated: Stated, wants: Selection, view: View, pool: NamePool): Held {
  if (!disjointParts(view)) return read(stated, wants, view, pool);
  if (stated.isAll(wants, view)) return holding(view, wants);
  return compared(stated, wants, view, pool) ?? read(stated, wants, view, pool);
}

/** Nearly all that a client states is what the view says: only the rest becomes text. */
function compared(stated: Stated, wants: Selection, view: View, pool: NamePool): Held | undefined {
  const standing: Resource[] = [];
  const odd = new Map<string, HeldItem>();
  let stale = 0;
  let twice = false;
  const other = (name: string, version: string): void => {
    if (!covers(wants, name)) return;
    if (odd.has(name)) twice = true;
    if (viewIndexed(view, name) !== undefined) stale++;
    odd.set(name, version);
  };
  const same = (resource: Resource): void => {
    if (covers(wants, resource.name)) standing.push(resource);
  };
  if (!stated.compare(view, same, other)) return undefined;
  if (stale > 0 && standing.some((resource) => odd.has(resource.name))) twice = true;
  if (twice) return undefined;
  const covered = standing.length + odd.size;
  const names = (): Iterable<string> => [...standing.map((resource) => resource.name), ...odd.keys()];
  return heldOf({ covered, standing: standing.length + stale, names, odd }, wants, view, pool);
}

function read(stated: Stated, wants: Selection, view: View, pool: NamePool): Held {
  const odd = new Map<string, HeldItem>();
  const names: string[] = [];
  let standing = 0;
  for (const [name, version] of stated.read()) {
    if (!covers(wants, name)) continue;
    names.push(name);
    const stands = viewIndexed(view, name);
    if (stands !== undefined) standing++;
    if (stands?.version !== version) odd.set(name, version);
  }
  return heldOf({ covered: names.length, standing, names: () => names, odd }, wants, view, pool);
}

interface Findings {
  /** Names stated that are wanted; those of them that stand in the view; those that don't stand there as stated. */
  readonly covered: number;
  readonly standing: number;
  readonly names: () => Iterable<string>;
  readonly odd: Odd;
}

function heldOf({ covered, standing, names, odd }: Findings, wants: Selection, view: View, pool: NamePool): Held {
  if (covered === 0) return NOTHING_HELD;
  // Who has something of all that it wants is treated like those who were sent it, and shares with them what follows.
  const all =
    wants === EVERYTHING
      ? disjointParts(view) && standing === viewSize(view)
      : !wants.wildcard && covered === wants.set.names.size;
  const selection = all ? wants : selectionOf(false, pool.of(names()));
  return holding(view, selection, odd);
}
