// Classes that differ in little: namespaces mostly see the same services, under other short names. One that is new starts from
// what another was given, as it would from its own before a change, so that a namespace costs what it has of its own.
// In: views that were made. Out: those whose scope is most like another. Whatever is returned is right to start from.

import type { ProxyClass } from '../ir/proxy.ts';
import type { Scope } from '../ir/snapshot.ts';
import type { ClassViews } from './class-views.ts';

/** Views remembered, the newest last: enough that namespaces with a Sidecar don't hide those without. */
const MAX_KIN = 16;

export class Kinship {
  #known: readonly WeakRef<ClassViews>[] = [];

  remember(views: ClassViews): void {
    this.#known = [...this.#known.slice(1 - MAX_KIN), new WeakRef(views)];
  }

  /** Of those that somebody still has, the newest that shares the most services with the scope; undefined when none shares any. */
  closest(scope: Scope): ClassViews | undefined {
    let found: ClassViews | undefined;
    let most = 0;
    for (const ref of this.#known) {
      const views = ref.deref();
      const shared =
        views !== undefined && isKin(views.scope.proxyClass, scope.proxyClass) ? inCommon(views.scope, scope) : 0;
      if (shared === 0 || shared < most) continue;
      most = shared;
      found = views;
    }
    return found;
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
