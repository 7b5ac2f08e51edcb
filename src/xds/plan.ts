// What one stream lacks of one type, now: the shared step, corrected by what is peculiar to the stream.
// In: what the client holds and wants, the view, rejections, names to be answered again. Out: what to send, and which
// exceptions remain once it is sent. Called by the exchanges; pure. Without peculiarities it costs a look-up.

import { within } from '../lib/within.ts';
import type { Resource } from '../resources/resource.ts';
import { type View, viewGet } from '../resources/view.ts';
import type { Rejected } from './rejections.ts';
import { type Chunk, counterpart, ownChunk, type Step, selectedChunks, stepBetween } from './step.ts';
import {
  covers,
  type Held,
  type HeldItem,
  heldItem,
  holding,
  type Odd,
  type Selection,
  versionOfItem,
} from './subscription.ts';

export interface PlanInput {
  readonly held: Held;
  readonly wants: Selection;
  readonly view: View;
  /** Names that must be answered although nothing about them changed. */
  readonly asked: ReadonlySet<string> | undefined;
  /** All that is wanted must be sent, held or not. */
  readonly everything: boolean;
  /** Resources of another type whose namesakes must be sent again: endpoints of clusters that are warming. */
  readonly again: readonly Chunk[];
  readonly rejected: Rejected | undefined;
}

export interface Plan extends Step {
  /** What the client will hold otherwise than the view says, after it has got all of this. */
  readonly leftover: Odd | undefined;
}

export function planFor(input: PlanInput): Plan {
  const { held, wants, view, again, rejected } = input;
  const plain = held.odd === undefined && input.asked === undefined && !input.everything;
  if (plain && again.length === 0 && held.selection === wants) {
    const plan = planOfAll(held, view);
    if (rejected === undefined || !plan.chunks.some((chunk) => hasRejected(chunk, rejected))) return plan;
  }
  const step = stepBetween(held.view, held.selection, view, wants);
  if (plain) {
    const chunks = sharedChunks(step, again, held.selection, view);
    if (chunks !== undefined && !(rejected !== undefined && chunks.some((chunk) => hasRejected(chunk, rejected))))
      return withChunks(step, chunks);
  }
  return detailed(input, step);
}

const plans = new WeakMap<View, WeakMap<Held, Plan>>();

/** Of all who hold the same and about whom nothing is peculiar. */
function planOfAll(held: Held, view: View): Plan {
  const known = within(plans, view);
  let plan = known.get(held);
  if (plan === undefined) {
    const step = stepBetween(held.view, held.selection, view, held.selection);
    plan = withChunks(step, step.chunks);
    known.set(held, plan);
  }
  return plan;
}

function withChunks({ removed, missing, fresh }: Step, chunks: readonly Chunk[]): Plan {
  return { chunks, removed, missing, fresh, leftover: undefined };
}

/** The chunks to send when nothing is peculiar to this stream; undefined when they would overlap. */
function sharedChunks(step: Step, again: readonly Chunk[], had: Selection, view: View): readonly Chunk[] | undefined {
  const [first, second] = again;
  if (first === undefined) return step.chunks;
  if (second !== undefined || step.chunks.length > 0) return undefined;
  const chunk = counterpart(first, had, view);
  return chunk.resources.length === 0 ? [] : [chunk];
}

function hasRejected(chunk: Chunk, rejected: Rejected): boolean {
  return chunk.resources.some((resource) => rejected.has(resource));
}

function detailed(input: PlanInput, step: Step): Plan {
  const { held, wants, view } = input;
  const changed = new Map<string, Resource>();
  for (const chunk of step.chunks) for (const resource of chunk.resources) changed.set(resource.name, resource);
  const removed = new Set(step.removed);
  const missing = new Set(step.missing);
  for (const [name, item] of held.odd ?? []) {
    changed.delete(name);
    removed.delete(name);
    if (!covers(wants, name)) continue;
    const stands = viewGet(view, name);
    if (stands === undefined) {
      if (item !== undefined) removed.add(name);
    } else if (versionOfItem(item) !== stands.version) changed.set(name, stands);
  }
  for (const name of input.asked ?? []) {
    const stands = viewGet(view, name);
    if (stands !== undefined) changed.set(name, stands);
    else missing.add(name);
  }
  for (const chunk of input.everything ? selectedChunks(wants, view) : []) {
    for (const resource of chunk.resources) changed.set(resource.name, resource);
  }
  for (const chunk of input.again) {
    for (const resource of counterpart(chunk, held.selection, view).resources) changed.set(resource.name, resource);
  }
  const leftover = withoutRejected(changed, input.rejected, held);
  const chunks = changed.size === 0 ? [] : sameAs(step, changed) ? step.chunks : [ownChunk([...changed.values()])];
  return { chunks, removed: [...removed], missing: [...missing], fresh: step.fresh, leftover };
}

/** Takes out what the client has rejected; it keeps whatever it holds under those names. */
function withoutRejected(changed: Map<string, Resource>, rejected: Rejected | undefined, held: Held): Odd | undefined {
  if (rejected === undefined) return undefined;
  const leftover = new Map<string, HeldItem>();
  for (const [name, resource] of changed) {
    if (!rejected.has(resource)) continue;
    changed.delete(name);
    leftover.set(name, heldItem(held, name));
  }
  return leftover.size === 0 ? undefined : leftover;
}

function sameAs(step: Step, changed: ReadonlyMap<string, Resource>): boolean {
  const count = step.chunks.reduce((total, chunk) => total + chunk.resources.length, 0);
  if (count !== changed.size) return false;
  return step.chunks.every((chunk) => chunk.resources.every((resource) => changed.get(resource.name) === resource));
}

/** All resources that a client will hold, for a response that states the whole world. */
export function wholeWorld(held: Held): readonly Chunk[] {
  if (held.view === undefined) return [];
  const { view, odd } = held;
  const chunks = selectedChunks(held.selection, view);
  if (odd === undefined) return chunks;
  const extra = [...odd.values()].filter((item) => typeof item === 'object');
  const replaces = [...odd.keys()].some((name) => covers(held.selection, name) && viewGet(view, name) !== undefined);
  if (!replaces) return extra.length === 0 ? chunks : [...chunks, ownChunk(extra)];
  const kept = chunks.flatMap((chunk) => chunk.resources.filter((resource) => !odd.has(resource.name)));
  return [ownChunk([...kept, ...extra])];
}

/** The answer to newly asked names alone, for a moment at which nothing else may be sent. */
export function askedPlan(input: PlanInput): { readonly plan: Plan; readonly held: Held } {
  const { held, wants, view } = input;
  const names = new Set([...wants.set.names].filter((name) => !covers(held.selection, name)));
  for (const name of input.asked ?? []) names.add(name);
  const odd = new Map(held.odd);
  const changed: Resource[] = [];
  const missing: string[] = [];
  for (const name of names) {
    const stands = viewGet(view, name);
    if (stands === undefined) missing.push(name);
    if (stands !== undefined && input.rejected?.has(stands) === true) {
      odd.set(name, heldItem(held, name));
      continue;
    }
    if (stands !== undefined) changed.push(stands);
    odd.set(name, stands);
  }
  const chunks = changed.length === 0 ? [] : [ownChunk(changed)];
  return {
    plan: { chunks, removed: [], missing, fresh: true, leftover: undefined },
    held: holding(held.view, wants, odd),
  };
}
