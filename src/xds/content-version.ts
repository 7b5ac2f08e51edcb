// The version of a set of resources: a hash over its (name, version) pairs that doesn't depend on their order, so it
// follows a change without looking at what stayed. Two replicas that serve the same resources agree on it.
// In: what a client holds. Out: `version_info` and `system_version_info`. Called by the exchanges.

import { hash } from 'node:crypto';
import { stamp } from '../lib/stamp.ts';
import type { Bucket } from '../lib/table.ts';
import { within } from '../lib/within.ts';
import type { Resource } from '../resources/resource.ts';
import { type ResourceTable, type View, viewDiff, viewGet, viewResources } from '../resources/view.ts';
import { disjointParts } from './step.ts';
import { covers, type Held, type Selection } from './subscription.ts';

/** 96 bits in three lanes, each added modulo 2^32. */
interface Sum {
  readonly a: number;
  readonly b: number;
  readonly c: number;
}

const sumOf = (a: number, b: number, c: number): Sum => ({ a: a >>> 0, b: b >>> 0, c: c >>> 0 });

const ZERO: Sum = sumOf(0, 0, 0);

const ofResource = stamp<Resource, Sum>();
const ofBucket = new WeakMap<Bucket<readonly Resource[]>, Sum>();
const ofTable = new WeakMap<ResourceTable, Sum>();
const ofView = new WeakMap<View, Sum>();
/** Without exceptions, one for all who hold the same. */
const ofHeld = stamp<Held, string>();
const ofNames = new WeakMap<Selection, WeakMap<View, Sum>>();

/** Version of what the client holds; `before` is what it held one step earlier, from which the sum is carried over. */
export function contentVersion(held: Held, before?: Held): string {
  let version = ofHeld.get(held);
  if (version === undefined) {
    version = text(heldSum(held, before));
    ofHeld.set(held, version);
  }
  return version;
}

function heldSum(held: Held, before: Held | undefined): Sum {
  if (held.view === undefined) return ZERO;
  const carry = before?.selection === held.selection ? before.view : undefined;
  let sum = selectionSum(held.selection, held.view, carry);
  for (const [name, item] of held.odd ?? []) {
    const stands = covers(held.selection, name) ? viewGet(held.view, name) : undefined;
    if (stands !== undefined) sum = minus(sum, resourceSum(stands));
    if (item !== undefined) sum = plus(sum, typeof item === 'string' ? pairSum(name, item) : resourceSum(item));
  }
  return sum;
}

function selectionSum(selection: Selection, view: View, carry: View | undefined): Sum {
  if (selection.wildcard) return viewSum(view);
  const sums = within(ofNames, selection);
  let sum = sums.get(view);
  if (sum === undefined) {
    const known = carry === undefined ? undefined : sums.get(carry);
    sum = known === undefined || carry === undefined ? namesSum(selection, view) : moved(known, selection, carry, view);
    sums.set(view, sum);
  }
  return sum;
}

function namesSum(selection: Selection, view: View): Sum {
  let sum = ZERO;
  for (const name of selection.set.names) {
    const resource = viewGet(view, name);
    if (resource !== undefined) sum = plus(sum, resourceSum(resource));
  }
  return sum;
}

function moved(sum: Sum, selection: Selection, from: View, to: View): Sum {
  const diff = viewDiff(from, to);
  let result = sum;
  for (const resource of diff.changed) {
    if (!covers(selection, resource.name)) continue;
    const old = viewGet(from, resource.name);
    if (old !== undefined) result = minus(result, resourceSum(old));
    result = plus(result, resourceSum(resource));
  }
  for (const name of diff.removed) {
    const old = covers(selection, name) ? viewGet(from, name) : undefined;
    if (old !== undefined) result = minus(result, resourceSum(old));
  }
  return result;
}

function viewSum(view: View): Sum {
  let sum = ofView.get(view);
  if (sum !== undefined) return sum;
  sum = ZERO;
  if (disjointParts(view)) for (const part of view.parts) sum = plus(sum, tableSum(part));
  else for (const resource of viewResources(view)) sum = plus(sum, resourceSum(resource));
  ofView.set(view, sum);
  return sum;
}

function tableSum(table: ResourceTable): Sum {
  let sum = ofTable.get(table);
  if (sum === undefined) {
    sum = table.buckets.reduce((total, bucket) => (bucket.size === 0 ? total : plus(total, bucketSum(bucket))), ZERO);
    ofTable.set(table, sum);
  }
  return sum;
}

function bucketSum(bucket: Bucket<readonly Resource[]>): Sum {
  let sum = ofBucket.get(bucket);
  if (sum === undefined) {
    sum = ZERO;
    for (const group of bucket.values()) for (const resource of group) sum = plus(sum, resourceSum(resource));
    ofBucket.set(bucket, sum);
  }
  return sum;
}

function resourceSum(resource: Resource): Sum {
  let sum = ofResource.get(resource);
  if (sum === undefined) {
    sum = pairSum(resource.name, resource.version);
    ofResource.set(resource, sum);
  }
  return sum;
}

function pairSum(name: string, version: string): Sum {
  const digest = hash('sha256', `${name}\0${version}`, 'buffer');
  return sumOf(digest.readUInt32LE(0), digest.readUInt32LE(4), digest.readUInt32LE(8));
}

function plus(x: Sum, y: Sum): Sum {
  return sumOf(x.a + y.a, x.b + y.b, x.c + y.c);
}

function minus(x: Sum, y: Sum): Sum {
  return sumOf(x.a - y.a, x.b - y.b, x.c - y.c);
}

function text(sum: Sum): string {
  return [sum.a, sum.b, sum.c].map((lane) => lane.toString(16).padStart(8, '0')).join('');
}
