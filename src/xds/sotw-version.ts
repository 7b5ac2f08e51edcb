// What a state-of-the-world version says beside its content: which response of the parent type came before.
// In: content versions, marks. Out: `version_info`, and what one that comes back tells. Called by exchanges and streams; pure.
//
// An Envoy that reconnects reports, for each type, the version that it took last and the names that it wants. For endpoints
// and routes that isn't enough to know what it holds: a name that it dropped and wants again, or a cluster that changed and
// waits for its endpoints, report the same version as if nothing had happened. But all of that begins with a response of
// another type that it took: of clusters for endpoints, of listeners for routes. So each response of a parent is marked with
// its nonce, which never comes twice, and each response of a child with the mark of the parent's last one. If on the new
// stream the child's mark is that of the version reported for the parent, the client has taken no parent since the child.

import { CLUSTER, ENDPOINT, LISTENER, ROUTE, SCOPED_ROUTE } from './types.ts';

const SEPARATOR = '-';

const PARENTS: ReadonlyMap<string, string> = new Map([
  [ENDPOINT, CLUSTER],
  [ROUTE, LISTENER],
]);

const ALL_PARENTS: ReadonlySet<string> = new Set(PARENTS.values());

/** What is sent of this type decides what its child has to be sent. */
export function isParent(typeUrl: string): boolean {
  return ALL_PARENTS.has(typeUrl);
}

export function markedVersion(content: string, mark = ''): string {
  return mark === '' ? content : `${content}${SEPARATOR}${mark}`;
}

export function readVersion(version: string): { readonly content: string; readonly mark: string } {
  const at = version.indexOf(SEPARATOR);
  return at < 0 ? { content: version, mark: '' } : { content: version.slice(0, at), mark: version.slice(at + 1) };
}

/** One type's part in this. */
export interface Marked {
  readonly mark: string;
  readonly active: boolean;
}

/** The mark for responses of a child; empty when there is none that says enough. */
export function parentMark(typeUrl: string, find: (typeUrl: string) => Marked | undefined): string {
  const parent = PARENTS.get(typeUrl);
  // Scoped routes ask for routes as well, and are no whole world.
  if (parent === undefined || (typeUrl === ROUTE && find(SCOPED_ROUTE)?.active === true)) return '';
  return find(parent)?.mark ?? '';
}
