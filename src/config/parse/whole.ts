// Kinds of which nothing is made: the spec is kept as it is written.
// In: the raw object. Out: its spec, or the one problem that it can have. Called by parse/index.ts.

import type { Body } from './core.ts';

/** The API server has checked it against its own definition, and drops what it does not know. */
export function wholeSpec({ spec = {} }: { readonly spec?: unknown }): Body {
  if (typeof spec === 'object' && spec !== null && !Array.isArray(spec)) return { spec, problems: [] };
  const message = `is ${Array.isArray(spec) ? 'a list' : spec === null ? 'null' : `a ${typeof spec}`}`;
  return { spec: {}, problems: [{ kind: 'wrong', path: 'spec', message, expected: 'an object' }] };
}
