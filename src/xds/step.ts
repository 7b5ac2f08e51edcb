// The step from what a client holds to what it should hold, shared by all streams that take the same one.
// In: two views and two selections. Out: chunks of resources (encoded once, by identity), names removed and missing.
// Called by the exchanges; what is peculiar to one stream (rejections, exceptions) is applied there.

import { tableGet, tableValues } from '../lib/table.ts';
import { within } from '../lib/within.ts';
import type { Resource } from '../resources/resource.ts';
import {
  partDiff,
  type ResourceTable,
  shardKey,
  type View,
  viewDiff,
  viewGet,
  viewResources,
} from '../resources/view.ts';
import { covers, EVERYTHING, type Selection } from './subscription.ts';

/** Resources that are sent together. */
export interface Chunk {
  readonly resources: readonly Resource[];
  /** Made for several streams: worth encoding as one piece. */
  readonly shared: boolean;
}

export interface Step {
  readonly chunks: readonly Chunk[];
  /** Names that the client holds and that are gone. */
  readonly removed: readonly string[];
  /** Newly wanted names for which there is nothing. */
  readonly missing: readonly string[];
  /** Something is wanted now that wasn't before. */
  readonly fresh: boolean;
}

export const NO_STEP: Step = { chunks: [], removed: [], missing: [], fresh: false };

/** A chunk for one stream only. */
export function ownChunk(resources: readonly Resource[]): Chunk {
  return { resources, shared: false };
}

/** True when the resources together have less than so many bytes. */
export function lighterThan(limit: number, chunks: readonly Chunk[]): boolean {
  let size = 0;
  for (const { resources } of chunks) {
    for (const resource of resources) {
      size += resource.size;
      if (size >= limit) return false;
    }
  }
  return true;
}

/** What is left of `chunks` when what bears these names is out of it. */
export function withoutNames(chunks: readonly Chunk[], named: readonly Chunk[]): readonly Chunk[] {
  if (chunks.length === 0 || named.length === 0) return chunks;
  const names = new Set(named.flatMap(({ resources }) => resources.map(({ name }) => name)));
  return chunks.flatMap((chunk) => {
    const rest = chunk.resources.filter(({ name }) => !names.has(name));
    return rest.length === chunk.resources.length ? [chunk] : rest.length === 0 ? [] : [ownChunk(rest)];
  });
}

const disjoint = new WeakMap<View, boolean>();

/** True when no name stands in two parts: then the parts can be treated one by one. */
export function disjointParts(view: View): boolean {
  if (view.parts.length < 2) return true;
  let known = disjoint.get(view);
  if (known === undefined) {
    known = view.parts.every((part, i) => view.parts.every((other, j) => j <= i || apart(part, other)));
    disjoint.set(view, known);
  }
  return known;
}

function apart(a: ResourceTable, b: ResourceTable): boolean {
  const [small, large] = a.size < b.size ? [a, b] : [b, a];
  for (const group of tableValues(small)) {
    for (const { name } of group) {
      if (tableGet(large, shardKey(name))?.some((resource) => resource.name === name) === true) return false;
    }
  }
  return true;
}

/** What leads from (view, selection) to (view, selection). */
export function stepBetween(from: View | undefined, had: Selection, to: View, wants: Selection): Step {
  if (from === to && had === wants) return NO_STEP;
  if (wants === EVERYTHING && (from === undefined || had === EVERYTHING)) {
    const step = wholeStep(from, to);
    if (step !== undefined) return step;
  }
  return selectedStep(from, had, to, wants);
}

/** The step between whole views, part by part; undefined when the parts can't be treated one by one. */
function wholeStep(from: View | undefined, to: View): Step | undefined {
  if (!disjointParts(to)) return undefined;
  if (from === undefined) return { chunks: wholeChunks(to), removed: [], missing: [], fresh: true };
  if (from.parts.length !== to.parts.length || !disjointParts(from)) return undefined;
  const chunks: Chunk[] = [];
  const removed: string[] = [];
  for (const [i, part] of to.parts.entries()) {
    const before = from.parts[i];
    if (before === undefined || before === part) continue;
    const diff = partDiff(before, part);
    // A name that moved between parts is neither new nor gone.
    if (diff.removed.some((name) => viewGet(to, name) !== undefined)) return undefined;
    if (diff.changed.length > 0) chunks.push(chunkOf(diff.changed));
    removed.push(...diff.removed);
  }
  return { chunks, removed, missing: [], fresh: false };
}

const chunksOfLists = new WeakMap<readonly Resource[], Chunk>();
const chunksOfTables = new WeakMap<ResourceTable, Chunk>();

/** The chunk of a list that is itself shared. */
function chunkOf(resources: readonly Resource[]): Chunk {
  let chunk = chunksOfLists.get(resources);
  if (chunk === undefined) {
    chunk = { resources, shared: true };
    chunksOfLists.set(resources, chunk);
  }
  return chunk;
}

function wholeChunks(view: View): readonly Chunk[] {
  return view.parts.filter((part) => part.size > 0).map(tableChunk);
}

function tableChunk(table: ResourceTable): Chunk {
  let chunk = chunksOfTables.get(table);
  if (chunk === undefined) {
    chunk = { resources: [...tableValues(table)].flat(), shared: true };
    chunksOfTables.set(table, chunk);
  }
  return chunk;
}

const noView: View = { typeUrl: '', parts: [] };
type ByWants = WeakMap<Selection, Step>;
const steps = new WeakMap<View, WeakMap<View, WeakMap<Selection, ByWants>>>();

function selectedStep(from: View | undefined, had: Selection, to: View, wants: Selection): Step {
  const known = within(within(within(steps, to), from ?? noView), had);
  let step = known.get(wants);
  if (step === undefined) {
    step = computeStep(from, had, to, wants);
    known.set(wants, step);
  }
  return step;
}

function computeStep(from: View | undefined, had: Selection, to: View, wants: Selection): Step {
  const changed: Resource[] = [];
  const removed: string[] = [];
  const missing: string[] = [];
  if (from !== undefined && from !== to) {
    const diff = viewDiff(from, to);
    const kept = (name: string): boolean => covers(had, name) && covers(wants, name);
    for (const resource of diff.changed) if (kept(resource.name)) changed.push(resource);
    for (const name of diff.removed) if (kept(name)) removed.push(name);
  }
  const known = (name: string): boolean => from !== undefined && covers(had, name);
  let fresh = false;
  if (wants.wildcard && (from === undefined || !had.wildcard)) {
    fresh = true;
    for (const resource of viewResources(to)) if (!known(resource.name)) changed.push(resource);
  }
  for (const name of had === wants && from !== undefined ? [] : wants.set.names) {
    if (known(name)) continue;
    fresh = true;
    const resource = viewGet(to, name);
    if (resource === undefined) missing.push(name);
    else if (!wants.wildcard) changed.push(resource);
  }
  return { chunks: changed.length === 0 ? [] : [{ resources: changed, shared: true }], removed, missing, fresh };
}

const wholes = new WeakMap<Selection, WeakMap<View, Chunk>>();

/** All that a selection covers, for responses that must state the whole world. */
export function selectedChunks(selection: Selection, view: View): readonly Chunk[] {
  if (selection.wildcard && disjointParts(view)) return wholeChunks(view);
  const known = within(wholes, selection);
  let chunk = known.get(view);
  if (chunk === undefined) {
    const resources = selection.wildcard
      ? [...viewResources(view)]
      : [...selection.set.names].flatMap((name) => viewGet(view, name) ?? []);
    chunk = { resources, shared: true };
    known.set(view, chunk);
  }
  return chunk.resources.length === 0 ? [] : [chunk];
}

const counterparts = new WeakMap<Chunk, WeakMap<Selection, WeakMap<View, Chunk>>>();

/** The resources of `view` that bear the names of `chunk` (the endpoints of clusters) and that the selection covers. */
export function counterpart(chunk: Chunk, selection: Selection, view: View): Chunk {
  const known = within(within(counterparts, chunk), selection);
  let found = known.get(view);
  if (found === undefined) {
    const names = chunk.resources.map((resource) => resource.name).filter((name) => covers(selection, name));
    found = { resources: names.flatMap((name) => viewGet(view, name) ?? []), shared: chunk.shared };
    known.set(view, found);
  }
  return found;
}
