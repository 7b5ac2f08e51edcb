// Views on their way to one worker: what it has to be told so that it knows them, and what it may forget.
// In: views that its sessions have, or have no longer. Out: numbers, and definitions of what is new. Called by the sessions.
// Everything is told once: a table is its buckets, a bucket its resources, and what the next table shares with the last one
// has a number already.

import type { Counter, Meter } from '../lib/ports.ts';
import type { Bucket } from '../lib/table.ts';
import type { Resource } from '../resources/resource.ts';
import type { ResourceTable, View } from '../resources/view.ts';
import type { Definitions, Id, ObjectKind, ResourceDefinition } from './messages.ts';
import { Numbers } from './numbers.ts';

type ResourceBucket = Bucket<readonly Resource[]>;

type Growing = { readonly [Key in Exclude<keyof Definitions, 'gone'>]: Definitions[Key][number][] } & {
  readonly gone: Readonly<Record<ObjectKind, Id[]>>;
};

export class Exporter {
  readonly #resources: Numbers<Resource>;
  readonly #buckets: Numbers<ResourceBucket>;
  readonly #tables: Numbers<ResourceTable>;
  readonly #views: Numbers<View>;
  readonly #counts: { readonly resources: Counter; readonly bytes: Counter };
  #growing = nothing();

  constructor(meter: Meter) {
    this.#counts = {
      resources: meter.counter('meltemi_worker_resources_total', 'Resources passed to workers.'),
      bytes: meter.counter('meltemi_worker_resource_bytes_total', 'Bytes of resources passed to workers.'),
    };
    this.#resources = new Numbers(
      (resource, id) => this.#growing.resources.push(this.#defined(resource, id)),
      (_, id) => this.#growing.gone.resources.push(id),
    );
    this.#buckets = new Numbers(
      (bucket, id) => {
        const groups = [...bucket].map(
          ([key, group]) => [key, group.map((each) => this.#resources.hold(each))] as const,
        );
        this.#growing.buckets.push([id, new Map(groups)]);
      },
      (bucket, id) => {
        for (const group of bucket.values()) for (const each of group) this.#resources.release(each);
        this.#growing.gone.buckets.push(id);
      },
    );
    this.#tables = new Numbers(
      ({ buckets, size }, id) => {
        const ids = Uint32Array.from(buckets, (bucket) => (bucket.size === 0 ? 0 : this.#buckets.hold(bucket)));
        this.#growing.tables.push([id, size, ids]);
      },
      ({ buckets }, id) => {
        for (const bucket of buckets) if (bucket.size > 0) this.#buckets.release(bucket);
        this.#growing.gone.tables.push(id);
      },
    );
    this.#views = new Numbers(
      ({ typeUrl, parts }, id) => {
        this.#growing.views.push([id, typeUrl, parts.map((part) => this.#tables.hold(part))]);
      },
      ({ parts }, id) => {
        for (const part of parts) this.#tables.release(part);
        this.#growing.gone.views.push(id);
      },
    );
  }

  /** Objects that the worker knows; for tests that nothing stays. */
  get size(): number {
    return this.#resources.size + this.#buckets.size + this.#tables.size + this.#views.size;
  }

  /** Holds a view once more. */
  hold(view: View): Id {
    return this.#views.hold(view);
  }

  release(view: View): void {
    this.#views.release(view);
  }

  view(id: Id): View | undefined {
    return this.#views.at(id);
  }

  /** What has come and gone since the last time. */
  take(): Definitions {
    const definitions = this.#growing;
    this.#growing = nothing();
    return definitions;
  }

  #defined({ typeUrl, name, version, bytes }: Resource, id: Id): ResourceDefinition {
    this.#counts.resources.inc();
    this.#counts.bytes.inc(undefined, bytes.length);
    return { id, typeUrl, name, version, bytes };
  }
}

function nothing(): Growing {
  const gone = { resources: [], buckets: [], tables: [], views: [] };
  return { resources: [], buckets: [], tables: [], views: [], gone };
}
