// Views as a worker knows them, put together from what it is told: the same objects for all of its streams, and the same
// buckets in two tables that share them. In: definitions. Out: views by number. Called by the worker's port.

import type { Bucket } from '../lib/table.ts';
import type { Resource } from '../resources/resource.ts';
import type { ResourceTable, View } from '../resources/view.ts';
import type { Definitions, Id, ResourceDefinition } from './messages.ts';

type ResourceBucket = Bucket<readonly Resource[]>;

/** Who explains asks the process that translates. */
const NONE: Resource['origins'] = [];

const EMPTY: ResourceBucket = new Map<string, readonly Resource[]>();

export class Importer {
  readonly #resources = new Map<Id, Resource>();
  readonly #buckets = new Map<Id, ResourceBucket>([[0, EMPTY]]);
  readonly #tables = new Map<Id, ResourceTable>();
  readonly #views = new Map<Id, View>();
  readonly #ids = new WeakMap<View, Id>();
  readonly #types = new Map<string, string>();

  /** What is known, for tests that nothing stays. */
  get size(): number {
    return this.#resources.size + this.#buckets.size - 1 + this.#tables.size + this.#views.size;
  }

  take({ resources, buckets, tables, views, gone }: Definitions): void {
    for (const definition of resources) this.#add(definition);
    for (const [id, groups] of buckets) this.#buckets.set(id, this.#bucket(groups));
    for (const [id, size, ids] of tables) {
      this.#tables.set(id, { buckets: Array.from(ids, (bucket) => known(this.#buckets, bucket)), size });
    }
    for (const [id, typeUrl, parts] of views) {
      const view = { typeUrl: this.#type(typeUrl), parts: parts.map((part) => known(this.#tables, part)) };
      this.#views.set(id, view);
      this.#ids.set(view, id);
    }
    // Last: what came and went between two messages is among both.
    for (const id of gone.views) this.#views.delete(id);
    for (const id of gone.tables) this.#tables.delete(id);
    for (const id of gone.buckets) this.#buckets.delete(id);
    for (const id of gone.resources) this.#resources.delete(id);
  }

  view(id: Id): View {
    return known(this.#views, id);
  }

  /** The number of a view; 0 for what is not of the other side. */
  idOf(view: View): Id {
    return this.#ids.get(view) ?? 0;
  }

  #bucket(groups: ReadonlyMap<string, readonly Id[]>): ResourceBucket {
    return new Map([...groups].map(([key, ids]) => [key, ids.map((id) => known(this.#resources, id))]));
  }

  #add({ id, typeUrl, name, version, bytes }: ResourceDefinition): void {
    // The bytes lie in the message, which would stay for as long as one of them.
    const size = bytes.length;
    const resource = { typeUrl: this.#type(typeUrl), name, version, bytes: new Uint8Array(bytes), size, origins: NONE };
    this.#resources.set(id, resource);
  }

  #type(typeUrl: string): string {
    const type = this.#types.get(typeUrl) ?? typeUrl;
    this.#types.set(type, type);
    return type;
  }
}

function known<T>(objects: ReadonlyMap<Id, T>, id: Id): T {
  const object = objects.get(id);
  if (object === undefined) throw new Error(`number ${id} was not told of`);
  return object;
}
