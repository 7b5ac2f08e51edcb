// Linking: from configuration objects and the registry to what each proxy sees, with nothing left to look up.
// In: the store's tables, the registry, mesh settings; a proxy's node. Out: snapshots, links of proxies to their class and
// workload, scopes of classes. Called by the plane:
//
//   parseProxy   once per connection;
//   buildSnapshot  once per settled change;
//   concernedBy  once per settled change: whose links may be different;
//   relink       for each of those, and for every connection: class and workload, or the same link when nothing differs;
//   smallChange  once per settled change: what it is about, where that is little; mayConcern asks it for every class;
//   scopeOf      for the classes that it may concern: the same scope when nothing differs.
//
// All of it is pure but for the Linker, the tables of classes and workloads in use, which the plane owns.

export { type Concerned, concernedBy } from './concerned.ts';
export {
  isCurrent,
  isKept,
  keysOf,
  type Link,
  partLink,
  peculiarities,
  relink,
} from './link.ts';
export { carryLinks, forkLinker, holdLink, type Linker, type LinkKeys, newLinker, releaseLink } from './linker.ts';
export { type NodeInfo, type ProxyError, parseProxy } from './proxy.ts';
export { type LinkedScope, sameScopes, scopeOf } from './scope.ts';
export { DEFAULT_SNAPSHOT_OPTIONS, type SnapshotOptions } from './settings.ts';
export { shapingObjects } from './shaping.ts';
export { mayConcern, type SmallChange, smallChange } from './small-change.ts';
export { buildSnapshot, type LinkedSnapshot, type SnapshotInput } from './snapshot.ts';
