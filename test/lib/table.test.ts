// Tables that come of each other: where they differ is known without comparing, and must be what comparing finds.
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  changedPlaces,
  type Derived,
  type Derived2,
  deriveTable,
  deriveTable2,
  emptyTable,
  placesApart,
  type Table,
  tableEntries,
  tableFrom,
  tableWith,
} from '../../src/lib/table.ts';

const key = fc.integer({ min: 0, max: 40 }).map((n) => `key-${n}`);
const changes = fc.array(fc.tuple(key, fc.option(fc.integer({ min: 0, max: 3 }), { nil: undefined })), {
  maxLength: 6,
});
const history = fc.array(changes, { minLength: 1, maxLength: 8 });

function compared(from: Table<unknown>, to: Table<unknown>): number[] {
  return to.buckets.flatMap((bucket, index) => (from.buckets[index] === bucket ? [] : [index]));
}

const sorted = <V>(table: Table<V>): [string, V][] => [...tableEntries(table)].sort(([a], [b]) => (a < b ? -1 : 1));

/** The table after each of the changes, the first one empty. */
function tablesOf(steps: readonly (readonly (readonly [string, number | undefined])[])[]): Table<number>[] {
  const tables = [tableWith(emptyTable<number>(), [['always', 1]])];
  for (const step of steps) tables.push(tableWith(tables.at(-1) as Table<number>, step));
  return tables;
}

const twice = (value: number): number | undefined => (value === 3 ? undefined : value * 2);

describe('where tables differ', () => {
  it('is the same as comparing finds, whatever came of what', () => {
    fc.assert(
      fc.property(history, history, (steps, others) => {
        const tables = [...tablesOf(steps), ...tablesOf(others)];
        tables.push(...tables.map((table) => tableFrom(tableEntries(table), tables[0])));
        let derived: Derived<number, number> | undefined;
        for (const table of [...tables]) {
          derived = deriveTable(derived, table, [], twice);
          tables.push(derived.output);
        }
        for (const from of tables) {
          for (const to of tables) {
            const apart = placesApart(from, to);
            const found = compared(from, to);
            if (apart !== undefined) expect(apart).toEqual(expect.arrayContaining(found));
            expect(changedPlaces(from, to)).toEqual(found);
          }
        }
      }),
      { numRuns: 15 },
    );
  });

  it('lets a table be derived from another by what has changed alone', () => {
    fc.assert(
      fc.property(history, (steps) => {
        let derived: Derived<number, number> | undefined;
        for (const table of tablesOf(steps)) {
          const before = derived;
          let runs = 0;
          derived = deriveTable(before, table, [], (value) => (runs++, twice(value)));
          expect(sorted(derived.output)).toEqual(sorted(deriveTable(undefined, table, [], twice).output));
          const changed = before === undefined ? table.size : changedEntries(before.input, table);
          expect(runs).toBe(changed);
        }
      }),
    );
  });

  it('the same of two tables', () => {
    fc.assert(
      fc.property(history, history, (lefts, rights) => {
        const both = (left: number, right: number | undefined): number => left * 10 + (right ?? 7);
        const [left, right] = [tablesOf(lefts), tablesOf(rights)];
        let derived: Derived2<number, number, number> | undefined;
        for (let i = 0; i < Math.max(left.length, right.length); i++) {
          const a = left[Math.min(i, left.length - 1)] as Table<number>;
          const b = right[Math.min(i, right.length - 1)] as Table<number>;
          derived = deriveTable2(derived, a, b, [], both);
          expect(sorted(derived.output)).toEqual(sorted(deriveTable2(undefined, a, b, [], both).output));
        }
      }),
    );
  });
});

/** Entries of `to` that `from` has not, or has otherwise. */
function changedEntries(from: Table<number>, to: Table<number>): number {
  const before = new Map(tableEntries(from));
  return [...tableEntries(to)].filter(([name, value]) => before.get(name) !== value).length;
}
