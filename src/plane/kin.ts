// Classes that differ in little: namespaces mostly see the same services, under other short names. One that is new starts from
// what another was given, as it would from its own before a change, so that a namespace costs what it has of its own.
// In: views that were made. Out: those whose scope is most like another. Whatever is returned is right to start from.

import type { ProxyClass } from '../ir/proxy.ts';
import type { Scope } from '../ir/snapshot.ts';
import type { ClassViews } from './class-views.ts';

/** Views remembered, the newest last: enough that namespaces with a Sidecar don't hide those without. */
const MAX_RECENT = 16;

/** Places of which the newest views are remembered as well: most of a mesh is in a few zones. */
const MAX_PLACES = 32;

export class Kinship {
  readonly #recent = new Set<WeakRef<ClassViews>>();
  readonly #byPlace = new Map<string, WeakRef<ClassViews>>();

  remember(views: ClassViews): void {
    const ref = new WeakRef(views);
    this.#recent.add(ref);
    const place = placeOf(views.scope.proxyClass);
    this.#byPlace.delete(place);
    this.#byPlace.set(place, ref);
    dropOldest(this.#recent, MAX_RECENT);
    dropOldest(this.#byPlace, MAX_PLACES);
  }

  /**
   * Of those that somebody still has, the one that shares the most services with the scope, and of several one in the same
   * place; undefined when none shares any.
   */
  closest(scope: Scope): ClassViews | undefined {
    const { proxyClass } = scope;
    const near = this.#byPlace.get(placeOf(proxyClass))?.deref();
    let found: ClassViews | undefined;
    let most = 0;
    const look = (views: ClassViews | undefined): void => {
      const shared =
        views !== undefined && isKin(views.scope.proxyClass, proxyClass) ? inCommon(views.scope, scope) : 0;
      if (shared <= most) return;
      most = shared;
      found = views;
    };
    look(near);
    for (const ref of this.#recent) look(ref.deref());
    return found;
  }
}

function placeOf({ locality, nodeName, clusterId, network }: ProxyClass): string {
  return [locality, nodeName, clusterId, network].join('\n');
}

function dropOldest<T>(
  of: { readonly size: number; keys(): Iterable<T>; delete(key: T): boolean },
  most: number,
): void {
  for (const oldest of of.keys()) {
    if (of.size <= most) return;
    of.delete(oldest);
  }
}

/** Alike in all that shows in most of what a class is given. */
function isKin(a: ProxyClass, b: ProxyClass): boolean {
  return a.type === b.type && a.dialect === b.dialect && a.family === b.family && a.clusterId === b.clusterId;
}

/** Buckets of services that are the same in both. */
function inCommon(a: Scope, b: Scope): number {
  const others = b.services.buckets;
  return a.services.buckets.reduce(
    (count, bucket, at) => count + (bucket.size > 0 && bucket === others[at] ? 1 : 0),
    0,
  );
}
