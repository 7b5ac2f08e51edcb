// The links of connected proxies, and who of them a change may concern.
// In: links as they are made; what is different in the next snapshot. Out: sessions to be linked anew. Called by the linkage.
// The rest are not even looked at: of a Pod that comes or goes a few proxies learn, however many there are.

import type { Proxy } from '../ir/proxy.ts';
import {
  type Concerned,
  holdLink,
  keysOf,
  type Link,
  type Linker,
  type LinkKeys,
  peculiarities,
  releaseLink,
} from '../snapshot/index.ts';

interface Entry {
  readonly link: Link;
  readonly keys: LinkKeys;
  readonly namespace: string;
  readonly nodeName: string;
}

export class Links<S extends object> {
  /** How often a session was linked to something else, or left. */
  changes = 0;
  readonly #linker: Linker;
  readonly #entries = new Map<S, Entry>();
  readonly #named = new Groups<number, S>();
  readonly #addressed = new Groups<number, S>();
  readonly #onNodes = new Groups<string, S>();
  readonly #namespaces = new Groups<string, S>();
  readonly #loose = new Set<S>();

  constructor(linker: Linker) {
    this.#linker = linker;
  }

  get(session: S): Link | undefined {
    return this.#entries.get(session)?.link;
  }

  /** Namespaces of the linked sessions. */
  get namespaces(): Iterable<string> {
    return this.#namespaces.keys;
  }

  set(session: S, { namespace }: Proxy, link: Link): void {
    const before = this.#entries.get(session);
    const { places, loose, configKey, nodeName } = peculiarities(link);
    const same = before?.link === link && before.nodeName === nodeName && before.keys.config === configKey;
    if (same && this.#loose.has(session) === loose) return;
    const keys = keysOf(link);
    holdLink(this.#linker, keys);
    if (before !== undefined) releaseLink(this.#linker, before.keys);
    if (before?.link !== link) this.changes++;
    this.#entries.set(session, { link, keys, namespace, nodeName });
    if (before !== undefined) this.#onNodes.delete(before.nodeName, session);
    this.#onNodes.add(nodeName, session);
    this.#named.add(places.named, session);
    for (const place of places.addressed) this.#addressed.add(place, session);
    this.#namespaces.add(namespace, session);
    if (loose) this.#loose.add(session);
    else this.#loose.delete(session);
  }

  delete(session: S): Link | undefined {
    const entry = this.#entries.get(session);
    if (entry === undefined) return undefined;
    const { link, keys, namespace, nodeName } = entry;
    this.changes++;
    const { places } = peculiarities(link);
    releaseLink(this.#linker, keys);
    this.#entries.delete(session);
    this.#named.delete(places.named, session);
    for (const place of places.addressed) this.#addressed.delete(place, session);
    this.#onNodes.delete(nodeName, session);
    this.#namespaces.delete(namespace, session);
    this.#loose.delete(session);
    return link;
  }

  /** Those of the linked sessions whose links may be different. */
  concerned(by: Concerned): ReadonlySet<S> {
    if (by === 'all') return new Set(this.#entries.keys());
    const { places, nodes, namespaces, loose } = by;
    return new Set([
      ...places.named.flatMap((place) => [...this.#named.of(place)]),
      ...places.addressed.flatMap((place) => [...this.#addressed.of(place)]),
      ...nodes.flatMap((name) => [...this.#onNodes.of(name)]),
      ...namespaces.flatMap((namespace) => [...this.#namespaces.of(namespace)]),
      ...(loose ? this.#loose : []),
    ]);
  }
}

class Groups<K, S> {
  readonly #groups = new Map<K, Set<S>>();

  get keys(): Iterable<K> {
    return this.#groups.keys();
  }

  of(key: K): Iterable<S> {
    return this.#groups.get(key) ?? [];
  }

  add(key: K, member: S): void {
    const group = this.#groups.get(key);
    if (group === undefined) this.#groups.set(key, new Set([member]));
    else group.add(member);
  }

  delete(key: K, member: S): void {
    const group = this.#groups.get(key);
    if (group?.delete(member) === true && group.size === 0) this.#groups.delete(key);
  }
}
