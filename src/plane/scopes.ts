// The scopes of classes, each brought from snapshot to snapshot; and those that a change doesn't concern carried along as they are.
// In: snapshots as they are built, classes. Out: scopes. Called by the linkage, for every class in use after each change.

import type { ProxyClass } from '../ir/proxy.ts';
import { memo } from '../lib/memo.ts';
import {
  type LinkedScope,
  type LinkedSnapshot,
  mayConcern,
  type SmallChange,
  scopeOf,
  smallChange,
} from '../snapshot/index.ts';

/**
 * A scope keeps the tables that it was made from. It is carried no further than this, and then looked at in full, so that no
 * class of which nothing ever changes keeps a mesh of long ago.
 */
const MAX_CARRIED = 64;

interface Known {
  readonly scope: WeakRef<LinkedScope>;
  at: WeakRef<LinkedSnapshot>;
  /** Snapshots since it was last made, or looked at in full. */
  carried: number;
}

/** The step to the newest snapshot. */
interface Step {
  readonly from: WeakRef<LinkedSnapshot>;
  readonly to: WeakRef<LinkedSnapshot>;
  readonly change: SmallChange;
}

export class Scopes {
  readonly #known = new WeakMap<ProxyClass, Known>();
  readonly #looked: () => void;
  readonly #origin: (proxyClass: ProxyClass) => LinkedScope | undefined;
  #step: Step | undefined;

  /**
   * `looked`: called for each that is made, or compared with all that it is made of. `origin`: the scope from which a class
   * starts that has none here.
   */
  constructor(looked: () => void, origin: (proxyClass: ProxyClass) => LinkedScope | undefined = () => undefined) {
    this.#looked = looked;
    this.#origin = origin;
  }

  /** A snapshot was built from another one. */
  follow(from: LinkedSnapshot | undefined, to: LinkedSnapshot): void {
    const change = from === undefined ? undefined : smallChange(from, to);
    this.#step =
      from === undefined || change === undefined ? undefined : { from: new WeakRef(from), to: new WeakRef(to), change };
  }

  /** What the class sees: the same object while it is the same. One for all classes that differ in their place alone. */
  of(snapshot: LinkedSnapshot, proxyClass: ProxyClass): LinkedScope {
    const { placeless } = proxyClass;
    return placeless === undefined
      ? this.#brought(snapshot, proxyClass)
      : placedScope(this.#brought(snapshot, placeless), proxyClass);
  }

  /** While somebody has it. */
  latest(proxyClass: ProxyClass): LinkedScope | undefined {
    return this.#known.get(proxyClass)?.scope.deref() ?? this.#origin(proxyClass);
  }

  #brought(snapshot: LinkedSnapshot, proxyClass: ProxyClass): LinkedScope {
    const known = this.#known.get(proxyClass);
    const scope = known?.scope.deref();
    if (known !== undefined && scope !== undefined) {
      if (known.at.deref() === snapshot) return scope;
      if (this.#carries(known, scope, snapshot)) return scope;
    }
    this.#looked();
    const next = scopeOf(snapshot, proxyClass, scope ?? this.#origin(proxyClass));
    this.#known.set(proxyClass, { at: new WeakRef(snapshot), scope: new WeakRef(next), carried: 0 });
    return next;
  }

  /** True where it is known without a look that the scope is the same in the snapshot. */
  #carries(known: Known, scope: LinkedScope, snapshot: LinkedSnapshot): boolean {
    const step = this.#step;
    if (step === undefined || known.carried >= MAX_CARRIED || step.to.deref() !== snapshot) return false;
    const from = step.from.deref();
    if (from === undefined || known.at.deref() !== from || mayConcern(step.change, scope)) return false;
    known.at = step.to;
    known.carried++;
    return true;
  }
}

const placedScope = memo(
  (placeless: LinkedScope, proxyClass: ProxyClass): LinkedScope => ({ placeless, ...placeless, proxyClass }),
);
