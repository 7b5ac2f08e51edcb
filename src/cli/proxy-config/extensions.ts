// `proxy-config ecds`.

import { compareStrings, orderBy } from '../../lib/order.ts';
import { type Dump, resourcesOf } from './dump.ts';
import { type Json, textAt } from './json.ts';

/** The extension configurations of a dump, by type and name. */
export function extensions(dump: Dump): readonly Json[] {
  return [...resourcesOf(dump, 'EcdsConfigDump', [['ecdsFilters', 'ecdsFilter']])].sort(byType);
}

const byType = orderBy<Json>(
  (a, b) => compareStrings(typeOf(a), typeOf(b)),
  (a, b) => compareStrings(textAt(a, 'name'), textAt(b, 'name')),
);

function typeOf(extension: Json): string {
  return textAt(extension, 'typedConfig', '@type').replace(/^type\.googleapis\.com\//, '');
}

export function extensionTable(found: readonly Json[]): readonly (readonly string[])[] {
  return [['ECDS NAME', 'TYPE'], ...found.map((extension) => [textAt(extension, 'name'), typeOf(extension)])];
}
