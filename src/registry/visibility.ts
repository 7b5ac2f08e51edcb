// exportTo of services.

import type { Visibility } from '../ir/service.ts';
import { compareStrings } from '../lib/order.ts';

const NOBODY: ReadonlySet<string> = new Set();

/**
 * `*` is everywhere, `.` the object's own namespace, `~` nobody, all else a namespace. An empty list falls to the mesh's
 * default and that to everywhere.
 */
export function visibilityOf(
  exportTo: readonly string[] | undefined,
  namespace: string,
  meshDefault: readonly string[],
): Visibility {
  const chosen = exportTo !== undefined && exportTo.length > 0 ? exportTo : meshDefault;
  if (chosen.length === 0 || chosen.includes('*')) return '*';
  const namespaces = chosen.filter((each) => each !== '~' && each !== '');
  if (namespaces.length === 0) return NOBODY;
  return new Set(namespaces.map((each) => (each === '.' ? namespace : each)).sort(compareStrings));
}

/** The annotation `networking.istio.io/exportTo`: a comma-separated list. */
export function exportToAnnotation(text: string | undefined): readonly string[] | undefined {
  const parts = text?.split(',').map((part) => part.trim());
  return parts?.filter((part) => part !== '');
}

export function sameVisibility(a: Visibility, b: Visibility): boolean {
  if (typeof a === 'string' || typeof b === 'string') return a === b;
  return a.size === b.size && [...a].every((namespace) => b.has(namespace));
}
