// Versions of objects that say what the version before said: somebody wrote a status that is of no use here, often this
// control plane itself, and the server sends the whole object again.
// In: raw objects of one kind as they come. Out: whether one repeats what was noted of it. Called by kube-reflector.ts.
// A server counts the versions of a specification (`metadata.generation`); of metadata and status it does not.

import type { Kind } from '../config/object.ts';
import { meaningful } from '../config/parse/index.ts';
import { readsStatus } from '../config/parse/istio.ts';
import { deepEqual } from '../lib/equal.ts';
import { isRecord } from './kube-discovery.ts';
import type { RawObject } from './kube-list-watch.ts';

/** What an object says besides its status. */
interface Said {
  readonly uid: string;
  readonly generation: number;
  readonly apiVersion: string;
  readonly labels: unknown;
  readonly annotations: unknown;
}

export class Repeats {
  readonly #counts: boolean;
  readonly #said = new Map<string, Said>();

  /** Of kinds whose status is read nothing is ever a repetition. */
  constructor(kind: Kind) {
    this.#counts = !readsStatus(kind);
  }

  /** `apiVersion`: in which it is served. */
  note(key: string, object: RawObject, apiVersion: string): void {
    const said = this.#counts ? saidBy(object, apiVersion) : undefined;
    if (said === undefined) this.#said.delete(key);
    else this.#said.set(key, said);
  }

  is(key: string, object: RawObject, apiVersion: string): boolean {
    const before = this.#said.get(key);
    return before !== undefined && deepEqual(before, saidBy(object, apiVersion));
  }

  forget(key: string): void {
    this.#said.delete(key);
  }
}

/** Undefined where the server counts no versions: then nothing but all of the object tells whether it changed. */
function saidBy(object: RawObject, apiVersion: string): Said | undefined {
  const metadata = isRecord(object['metadata']) ? object['metadata'] : {};
  const { uid, generation, labels = {}, annotations = {} } = metadata;
  if (typeof uid !== 'string' || typeof generation !== 'number' || generation < 1) return undefined;
  return { uid, generation, apiVersion, labels, annotations: isRecord(annotations) ? meaningful(annotations) : {} };
}
