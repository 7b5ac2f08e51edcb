// What a client wants of one type, and what it holds of it: values and rules, no I/O.
// In: the names of requests, the views that responses were made from. Out: selections, and look-ups of what is held.
// Called by the exchange of each type; a selection is shared by all streams that want the same.

import { stamp } from '../lib/stamp.ts';
import { within } from '../lib/within.ts';
import type { Resource } from '../resources/resource.ts';
import { type View, viewGet } from '../resources/view.ts';
import { type NamePool, type NameSet, NO_NAMES } from './names.ts';

/** The name that stands for all resources of a type. */
export const WILDCARD = '*';

/** Which resources of a view a client wants; compared by identity. */
export interface Selection {
  readonly wildcard: boolean;
  /** Names asked for one by one, without `*`. */
  readonly set: NameSet;
}

export const NOTHING: Selection = { wildcard: false, set: NO_NAMES };
export const EVERYTHING: Selection = { wildcard: true, set: NO_NAMES };

const named = stamp<NameSet, Selection>();
const starred = stamp<NameSet, Selection>();

/** The selection of these names, and of everything else too when `wildcard`: one object per content. */
export function selectionOf(wildcard: boolean, set: NameSet): Selection {
  if (set === NO_NAMES) return wildcard ? EVERYTHING : NOTHING;
  const known = wildcard ? starred : named;
  let selection = known.get(set);
  if (selection === undefined) {
    selection = { wildcard, set };
    known.set(set, selection);
  }
  return selection;
}

export function covers(selection: Selection, name: string): boolean {
  return selection.wildcard || selection.set.names.has(name);
}

/** A client's wish, with what decides how its next request is read. */
export interface Wants {
  readonly selection: Selection;
  /** The client has named something (`*` counts): from then on an empty list means nothing, no longer everything. */
  readonly explicit: boolean;
  /** `*` was named, as opposed to an empty first list. */
  readonly star: boolean;
}

/** Before the first request. */
export const UNASKED: Wants = { selection: NOTHING, explicit: false, star: false };

/** State of the world: each request lists all that is wanted. `legacy`: an empty first list means everything. */
export function wantsOfList(before: Wants, set: NameSet, legacy: boolean, pool: NamePool): Wants {
  if (set === NO_NAMES && !before.explicit) {
    return { selection: legacy ? EVERYTHING : NOTHING, explicit: false, star: false };
  }
  const star = set.names.has(WILDCARD);
  const selection = selectionOf(star, star ? pool.change(set, [], [WILDCARD]) : set);
  return { selection, explicit: true, star };
}

/** The wish for all that the view holds as the answer to these names. */
export function wantsOfQuestion(set: NameSet): Wants {
  return { selection: selectionOf(true, set), explicit: true, star: true };
}

/** Delta: requests add and drop names. `first`: no request for this type came before on this stream. */
export function wantsOfChange(
  before: Wants,
  subscribe: NameSet,
  unsubscribe: NameSet,
  request: { readonly first: boolean; readonly legacy: boolean },
  pool: NamePool,
): Wants {
  const named = subscribe !== NO_NAMES;
  const silent = !named && unsubscribe === NO_NAMES;
  if (request.first && silent) {
    return { selection: request.legacy ? EVERYTHING : NOTHING, explicit: false, star: false };
  }
  if (silent) return before;
  const drops = unsubscribe.names.has(WILDCARD);
  const adds = subscribe.names.has(WILDCARD);
  const star = (before.star || adds) && !drops;
  const wildcard = (before.selection.wildcard || adds) && !drops;
  const simple = before.selection.set === NO_NAMES && unsubscribe === NO_NAMES && !adds;
  const set = simple ? subscribe : changedSet(before.selection.set, subscribe, unsubscribe, pool);
  return { selection: selectionOf(wildcard, set), explicit: before.explicit || named, star };
}

function changedSet(base: NameSet, added: NameSet, dropped: NameSet, pool: NamePool): NameSet {
  if (!added.names.has(WILDCARD)) return pool.step(base, added, dropped);
  return pool.change(
    base,
    [...added.names].filter((name) => name !== WILDCARD),
    dropped.names,
  );
}

/** What a client holds under one name: a resource, a version that it told us of, or (undefined) nothing. */
export type HeldItem = Resource | string | undefined;

/** The version of what a client may or may not hold: unlike all others, so it is both replaced and removed. */
export const UNKNOWN = '';

/** Exceptions to "the client holds what the view says". */
export type Odd = ReadonlyMap<string, HeldItem>;

/**
 * What a client holds: the resources of `view` that `selection` covers, except for the names in `odd`. Views and
 * selections are shared, so a connection costs three references, whatever the number of names.
 */
export interface Held {
  readonly view: View | undefined;
  readonly selection: Selection;
  readonly odd: Odd | undefined;
}

export const NOTHING_HELD: Held = { view: undefined, selection: NOTHING, odd: undefined };

const wholes = new WeakMap<View, WeakMap<Selection, Held>>();

/** Without exceptions one object for all who hold the same, so that what follows from it is worked out once. */
export function holding(view: View | undefined, selection: Selection, odd?: Odd): Held {
  const exceptions = odd?.size === 0 ? undefined : odd;
  if (view === undefined || exceptions !== undefined) return { view, selection, odd: exceptions };
  const known = within(wholes, view);
  let held = known.get(selection);
  if (held === undefined) {
    held = { view, selection, odd: undefined };
    known.set(selection, held);
  }
  return held;
}

export function heldItem(held: Held, name: string): HeldItem {
  if (held.odd?.has(name) === true) return held.odd.get(name);
  if (held.view === undefined || !covers(held.selection, name)) return undefined;
  return viewGet(held.view, name);
}

export function versionOfItem(item: HeldItem): string | undefined {
  return item === undefined || typeof item === 'string' ? item : item.version;
}

/** What is left of `held` when the client wants only `wanted`: names it dropped are forgotten at once. */
export function narrowed(held: Held, wanted: Selection, pool: NamePool): Held {
  if (held.selection === wanted) return held;
  const selection = commonSelection(held.selection, wanted, pool);
  if (held.odd === undefined) return selection === held.selection ? held : { ...held, selection };
  const odd = [...held.odd].filter(([name]) => covers(wanted, name));
  if (odd.length === held.odd.size && selection === held.selection) return held;
  return holding(held.view, selection, new Map(odd));
}

/** What both cover, seen from `wanted`: the very same object when `held` covers all of it. */
export function commonSelection(held: Selection, wanted: Selection, pool: NamePool): Selection {
  if (held === wanted || held === NOTHING) return held;
  if (wanted.wildcard) return held.wildcard ? wanted : held;
  const known = latestCommon.get(wanted);
  const before = known?.held.deref() === held ? known.common.deref() : undefined;
  if (before !== undefined) return before;
  const dropped = [...wanted.set.names].filter((name) => !covers(held, name));
  const common = selectionOf(false, pool.change(wanted.set, [], dropped));
  latestCommon.set(wanted, { held: new WeakRef(held), common: new WeakRef(common) });
  return common;
}

/** What was last found in common with each: thousands of clients go from one selection to the next. */
const latestCommon = stamp<Selection, { readonly held: WeakRef<Selection>; readonly common: WeakRef<Selection> }>();
