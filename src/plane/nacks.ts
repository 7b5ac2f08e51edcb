// What proxies refused, traced back to the objects behind it.

import type { Finding, Kind, ObjectRef } from '../config/object.ts';
import type { Resource } from '../resources/resource.ts';

/** Refusals kept: the newest of each object, so that a loop of them can't grow. */
const MAX_OBJECTS = 1000;

export class NackLedger {
  readonly #byObject = new Map<string, Finding>();
  #count = 0;

  /** Refusals since the start. */
  get count(): number {
    return this.#count;
  }

  record(proxy: string, message: string, suspects: readonly Resource[]): void {
    this.#count++;
    for (const resource of suspects) {
      const origins = resource.origins.filter((origin) => isUserPolicy(origin.kind));
      for (const origin of origins.length > 0 ? origins : resource.origins) {
        this.#put(
          { kind: origin.kind, namespace: origin.namespace, name: origin.name },
          proxy,
          resource.name,
          message,
          origin.field,
        );
      }
    }
  }

  /** A refusal is history once the object it was about has changed: the snapshot's own findings take over. */
  forget(ref: ObjectRef): void {
    this.#byObject.delete(`${ref.kind}/${ref.namespace}/${ref.name}`);
  }

  findings(): readonly Finding[] {
    return [...this.#byObject.values()];
  }

  #put(ref: ObjectRef, proxy: string, resource: string, message: string, path: string | undefined): void {
    const key = `${ref.kind}/${ref.namespace}/${ref.name}`;
    this.#byObject.delete(key);
    this.#byObject.set(key, {
      severity: 'error',
      code: 'MEL0001',
      ref,
      path,
      message: `proxy ${proxy} rejected ${resource}: ${message}`,
    });
    for (const oldest of this.#byObject.keys()) {
      if (this.#byObject.size <= MAX_OBJECTS) break;
      this.#byObject.delete(oldest);
    }
  }
}

/** Services stand behind nearly everything; the policy that shapes them is the likelier culprit. */
function isUserPolicy(kind: Kind): boolean {
  return kind !== 'Service' && kind !== 'ServiceEntry' && kind !== 'Pod' && kind !== 'EndpointSlice';
}
