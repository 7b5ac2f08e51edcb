// What the registry has to say about objects. Findings are collected per host, so that one change looks at one host.

import { FINDING_CODES, type FindingCode } from '../config/codes.ts';
import type { Finding, ObjectRef } from '../config/object.ts';
import { deepEqual } from '../lib/equal.ts';
import { compareStrings } from '../lib/order.ts';
import { type Table, tableEntries } from '../lib/table.ts';

/** Where findings go while one host is built. */
export interface Findings {
  add(
    code: FindingCode,
    object: ObjectRef & { readonly origin?: string | undefined },
    path: string | undefined,
    message: string,
  ): void;
}

export interface FindingList extends Findings {
  /** In order of discovery, each once. */
  readonly list: readonly Finding[];
}

export function newFindings(): FindingList {
  const list: Finding[] = [];
  const seen = new Set<string>();
  return {
    list,
    add(code, object, path, message) {
      const { kind, namespace, name, origin } = object;
      const key = `${code} ${kind}/${namespace}/${name} ${path ?? ''} ${message}`;
      if (seen.has(key)) return;
      seen.add(key);
      list.push({
        severity: FINDING_CODES[code].severity,
        code,
        ref: { kind, namespace, name },
        message,
        ...(path === undefined ? {} : { path }),
        ...(origin === undefined ? {} : { origin }),
      });
    },
  };
}

/** All findings of several tables, in the order of their keys. */
export function flattenFindings(tables: readonly Table<readonly Finding[]>[]): readonly Finding[] {
  return tables.flatMap((table) =>
    [...tableEntries(table)].sort((a, b) => compareStrings(a[0], b[0])).flatMap((entry) => entry[1]),
  );
}

/** Undefined for none, so that hosts without findings are not in the table. */
export function keepFindings(
  before: readonly Finding[] | undefined,
  list: readonly Finding[],
): readonly Finding[] | undefined {
  if (list.length === 0) return undefined;
  return before !== undefined && deepEqual(before, list) ? before : list;
}
