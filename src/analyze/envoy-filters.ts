// EnvoyFilters: operations that are ignored where they stand, and those that depend on what else is there.

import type { EnvoyFilterSpec } from '../config/generated/types.ts';
import type { Finding } from '../config/object.ts';
import { type Analysis, on } from './analysis.ts';

const RELATIVE: ReadonlySet<string> = new Set(['INSERT_BEFORE', 'INSERT_AFTER', 'REPLACE', 'MERGE', 'REMOVE']);
const FILTERS: ReadonlySet<string> = new Set(['HTTP_FILTER', 'NETWORK_FILTER']);
const FIXED: ReadonlySet<string> = new Set(['ROUTE_CONFIGURATION', 'HTTP_ROUTE']);

export function* filterOperations(analysis: Analysis): Iterable<Finding> {
  for (const filter of analysis.list<EnvoyFilterSpec>('EnvoyFilter')) {
    for (const [index, { applyTo = '', patch, match }] of (filter.spec.configPatches ?? []).entries()) {
      const operation = patch?.operation ?? '';
      const path = `spec.configPatches[${index}].patch.operation`;
      if (operation === 'REPLACE' && !FILTERS.has(applyTo))
        yield on(filter, 'IST0152', path, `REPLACE is ignored for ${applyTo}`, 'HTTP_FILTER or NETWORK_FILTER');
      if (operation === 'ADD' && FIXED.has(applyTo)) yield on(filter, 'IST0153', path, `ADD is ignored for ${applyTo}`);
      if (operation === 'REMOVE' && FIXED.has(applyTo))
        yield on(filter, 'IST0154', path, `REMOVE is ignored for ${applyTo}`);
      if (!RELATIVE.has(operation) || !FILTERS.has(applyTo) || (filter.spec.priority ?? 0) !== 0) continue;
      const versioned = match?.proxy?.proxyVersion !== undefined;
      yield on(
        filter,
        versioned ? 'IST0155' : 'IST0151',
        path,
        `${operation} depends on filters that others add${versioned ? ', and on the version of the proxy' : ''}: it does nothing where they are missing`,
        'a priority, or INSERT_FIRST or ADD',
      );
    }
  }
}
