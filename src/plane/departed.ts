// What is known of proxies that were here a moment ago: most that come back are what they were.
// In: proxies that leave, with their links; nodes that connect. Out: the same proxy and its link, when it says the same of
// itself. Called by the linkage. All proxies of a mesh may come back at once: to find out anew what each of them is costs a
// tenth of a millisecond.

import type { Proxy } from '../ir/proxy.ts';
import { deepEqual } from '../lib/equal.ts';
import type { Link } from '../snapshot/index.ts';
import type { NodeInfo } from '../xds/port.ts';

export interface Departure {
  readonly node: NodeInfo;
  readonly proxy: Proxy;
  readonly link: Link;
}

/** Snapshots after which one that hasn't come back is forgotten: a link holds the snapshot that it was last looked at in. */
const SNAPSHOTS = 2;
const MAX = 10_000;

export class Departed {
  readonly #known = new Map<string, Departure & { readonly until: number }>();
  #snapshots = 0;

  get size(): number {
    return this.#known.size;
  }

  left({ node, proxy, link }: Departure): void {
    this.#known.set(node.id, { node, proxy, link, until: this.#snapshots + SNAPSHOTS });
    if (this.#known.size <= MAX) return;
    for (const id of this.#known.keys()) {
      this.#known.delete(id);
      return;
    }
  }

  /** The one that this node was, if it says the same of itself; it isn't departed any more. */
  returning(node: NodeInfo, incremental: boolean): Departure | undefined {
    const departure = this.#known.get(node.id);
    if (departure === undefined) return undefined;
    this.#known.delete(node.id);
    return departure.proxy.incremental === incremental && deepEqual(departure.node, node) ? departure : undefined;
  }

  /** There is another snapshot. */
  advance(): void {
    this.#snapshots++;
    for (const [id, { until }] of this.#known) if (until < this.#snapshots) this.#known.delete(id);
  }
}
