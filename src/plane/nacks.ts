// What proxies refused, traced back to the objects behind it, for as long as they are meant to have it.
// In: a session and the resources that it refused. Out: findings on objects. Called by the plane.

import type { Finding, Kind, ObjectRef } from '../config/object.ts';
import type { Origin } from '../ir/draft.ts';
import type { Resource } from '../resources/resource.ts';
import { type View, viewGet } from '../resources/view.ts';

/** A connected proxy, as far as its refusals go. */
export interface Refuser {
  readonly id: string;
  readonly proxy: { readonly instance: string };
  view(typeUrl: string): View | undefined;
}

interface Refused {
  readonly by: Refuser;
  readonly resource: Resource;
  readonly finding: Finding;
}

/** Refusals kept, so that a loop of them can't grow. */
const MAX_REFUSALS = 1000;

export class NackLedger {
  /** The newest of each object and proxy, the newest last. */
  readonly #refused = new Map<string, Refused>();
  #count = 0;

  /** Refusals since the start. */
  get count(): number {
    return this.#count;
  }

  /** `unnamed`: objects behind a resource that it does not name itself. */
  record(
    by: Refuser,
    message: string,
    suspects: readonly Resource[],
    unnamed: (resource: Resource) => readonly Origin[] = () => [],
  ): void {
    this.#count++;
    for (const resource of suspects) {
      const policies = resource.origins.filter((origin) => isUserPolicy(origin.kind));
      const suspected = policies.length > 0 ? policies : [...resource.origins, ...unnamed(resource)];
      for (const { kind, namespace, name, field } of suspected) {
        const text = `proxy ${by.proxy.instance} rejected ${resource.name}: ${message.trim()}`;
        this.#put({ kind, namespace, name }, { by, resource }, text, field);
      }
    }
  }

  /** Its refusals are history: it will say again what it refuses when it comes back. */
  forget(by: Refuser): void {
    for (const [key, refused] of this.#refused) if (refused.by === by) this.#refused.delete(key);
  }

  /** One finding for each object of which a proxy has refused something that it is still meant to have. */
  findings(): readonly Finding[] {
    const found = new Map<string, Finding>();
    for (const [key, { by, resource, finding }] of this.#refused) {
      const view = by.view(resource.typeUrl);
      const wanted = view === undefined ? undefined : viewGet(view, resource.name);
      if (wanted?.version === resource.version) found.set(refText(finding.ref), finding);
      else this.#refused.delete(key);
    }
    return [...found.values()];
  }

  /** By object, the ids of those who refuse something of it that they are still meant to have. */
  refusals(): ReadonlyMap<string, ReadonlySet<string>> {
    this.findings();
    const refusals = new Map<string, Set<string>>();
    for (const { by, finding } of this.#refused.values()) {
      const key = refText(finding.ref);
      const ids = refusals.get(key);
      if (ids === undefined) refusals.set(key, new Set([by.id]));
      else ids.add(by.id);
    }
    return refusals;
  }

  #put(ref: ObjectRef, { by, resource }: Omit<Refused, 'finding'>, message: string, path: string | undefined): void {
    const key = `${refText(ref)} ${by.id}`;
    this.#refused.delete(key);
    this.#refused.set(key, { by, resource, finding: { severity: 'error', code: 'MEL0001', ref, path, message } });
    for (const oldest of this.#refused.keys()) {
      if (this.#refused.size <= MAX_REFUSALS) break;
      this.#refused.delete(oldest);
    }
  }
}

function refText(ref: ObjectRef | undefined): string {
  return `${ref?.kind}/${ref?.namespace}/${ref?.name}`;
}

/** Services stand behind nearly everything; the policy that shapes them is the likelier culprit. */
function isUserPolicy(kind: Kind): boolean {
  return kind !== 'Service' && kind !== 'ServiceEntry' && kind !== 'Pod' && kind !== 'EndpointSlice';
}
