// A view: all resources of one type that one proxy is meant to have, at one moment. Immutable.
// In: tables of resources (one shared by a class of proxies, small ones of a proxy's own). Out: look-ups, a version, diffs.
// Called by the streams; made by the plane. Two proxies of a class hold the same tables, so a diff is computed once.

import { emptyTable, type Table, tableDiff, tableGet, tableValues } from '../lib/table.ts';
import { within } from '../lib/within.ts';
import type { Resource } from './resource.ts';

/** Resources grouped by the key of `shardKey(resource.name)`; a group is small (ports times subsets of one host). */
export type ResourceTable = Table<readonly Resource[]>;

export interface View {
  readonly typeUrl: string;
  /** Later parts win over earlier ones where a name stands in both. */
  readonly parts: readonly ResourceTable[];
}

export interface ViewDiff {
  /** New resources and those with another version, in no particular order. */
  readonly changed: readonly Resource[];
  /** Names that are gone. */
  readonly removed: readonly string[];
}

/** The host of an outbound or SNI-DNAT cluster name, or the whole name: what groups the resources of one service. */
export function shardKey(name: string): string {
  if (name.startsWith('outbound|')) return name.slice(name.lastIndexOf('|') + 1);
  if (name.startsWith('outbound_.')) return name.slice(name.lastIndexOf('_.') + 2);
  return name;
}

export function viewGet(view: View, name: string): Resource | undefined {
  const key = shardKey(name);
  for (let i = view.parts.length - 1; i >= 0; i--) {
    const part = view.parts[i];
    const group = part === undefined ? undefined : tableGet(part, key);
    if (group === undefined) continue;
    for (const resource of group) if (resource.name === name) return resource;
  }
  return undefined;
}

/** As `viewGet`, for many look-ups in one table: the first one builds an index of all its names. */
export function viewIndexed(view: View, name: string): Resource | undefined {
  for (let i = view.parts.length - 1; i >= 0; i--) {
    const part = view.parts[i];
    const found = part === undefined ? undefined : indexOf(part).get(name);
    if (found !== undefined) return found;
  }
  return undefined;
}

/** How many resources the parts hold; a name that stands in two parts counts twice. */
export function viewSize(view: View): number {
  return view.parts.reduce((sum, part) => sum + countOf(part), 0);
}

const counts = new WeakMap<ResourceTable, number>();

function countOf(table: ResourceTable): number {
  let count = counts.get(table);
  if (count === undefined) {
    count = 0;
    for (const group of tableValues(table)) count += group.length;
    counts.set(table, count);
  }
  return count;
}

const indexes = new WeakMap<ResourceTable, ReadonlyMap<string, Resource>>();

function indexOf(table: ResourceTable): ReadonlyMap<string, Resource> {
  let index = indexes.get(table);
  if (index === undefined) {
    const made = new Map<string, Resource>();
    for (const group of tableValues(table)) for (const resource of group) made.set(resource.name, resource);
    index = made;
    indexes.set(table, index);
  }
  return index;
}

/** Every resource of the view, each name once. */
export function* viewResources(view: View): Generator<Resource> {
  const several = view.parts.length > 1;
  for (const part of view.parts) {
    for (const group of tableValues(part)) {
      for (const resource of group) if (!several || viewGet(view, resource.name) === resource) yield resource;
    }
  }
}

const diffs = new WeakMap<ResourceTable, WeakMap<ResourceTable, ViewDiff>>();

/** What leads from one view to another of the same type; from undefined, everything is new. */
export function viewDiff(from: View | undefined, to: View): ViewDiff {
  if (from === to) return { changed: [], removed: [] };
  if (from === undefined) return { changed: [...viewResources(to)], removed: [] };
  if (from.parts.length === to.parts.length) {
    const moved = to.parts.flatMap((part, i) =>
      part === from.parts[i] ? [] : [[from.parts[i] as ResourceTable, part] as const],
    );
    if (moved.length === 0) return { changed: [], removed: [] };
    if (moved.length === 1 && moved[0] !== undefined && to.parts.length === 1)
      return partDiff(moved[0][0], moved[0][1]);
    return mergeDiffs(
      moved.map(([a, b]) => partDiff(a, b)),
      from,
      to,
    );
  }
  return slowDiff(from, to);
}

/** Diff of two tables, computed once for all the streams that take the same step. */
export function partDiff(from: ResourceTable, to: ResourceTable): ViewDiff {
  const known = within(diffs, from);
  let diff = known.get(to);
  if (diff === undefined) {
    diff = computeDiff(from, to);
    known.set(to, diff);
  }
  return diff;
}

function computeDiff(from: ResourceTable, to: ResourceTable): ViewDiff {
  const changed: Resource[] = [];
  const removed: string[] = [];
  for (const [, before = [], now = []] of tableDiff(from, to)) {
    for (const resource of now) {
      const old = before.find((candidate) => candidate.name === resource.name);
      if (old?.version !== resource.version) changed.push(resource);
    }
    for (const resource of before)
      if (!now.some((candidate) => candidate.name === resource.name)) removed.push(resource.name);
  }
  return { changed, removed };
}

/** A name may move between parts: what one part adds and another loses is settled against the whole views. */
function mergeDiffs(parts: readonly ViewDiff[], from: View, to: View): ViewDiff {
  const changed = parts
    .flatMap((diff) => diff.changed)
    .filter(
      (resource) =>
        viewGet(to, resource.name) === resource && viewGet(from, resource.name)?.version !== resource.version,
    );
  const removed = parts.flatMap((diff) => diff.removed).filter((name) => viewGet(to, name) === undefined);
  return { changed, removed };
}

function slowDiff(from: View, to: View): ViewDiff {
  const changed = [...viewResources(to)].filter(
    (resource) => viewGet(from, resource.name)?.version !== resource.version,
  );
  const removed = [...viewResources(from)]
    .map((resource) => resource.name)
    .filter((name) => viewGet(to, name) === undefined);
  return { changed, removed };
}

export function emptyView(typeUrl: string): View {
  return { typeUrl, parts: [emptyTable<readonly Resource[]>()] };
}
