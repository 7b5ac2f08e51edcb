// The table of fields is whole and true: every field of a schema is in it, what it calls supported does something, and what
// it calls ignored does nothing. `npm run compatibility` brings it up to date.

import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { page, PAGE_FILE, readRows, type Row, STATUSES, TABLED } from '../../scripts/compatibility.ts';
import { istioSchema } from '../../src/config/parse/istio.ts';
import { KINDS } from '../../src/config/kinds.ts';
import { schemaFields } from './fields.ts';
import { SETTINGS, settingEffects, settingFields } from './settings.ts';
import { admissible, type Effect, examplesOf, fieldEffects } from './flip.ts';

const rows = readRows();

describe('the table of fields', () => {
  it('has every kind that has a schema', () => {
    expect([...TABLED].sort()).toEqual(
      KINDS.map(({ kind }) => kind)
        .filter((kind) => istioSchema(kind) !== undefined)
        .sort(),
    );
  });

  it.each(TABLED)('has every field of %s, and no other', (kind) => {
    expect(Object.keys(rows[kind] ?? {}).sort()).toEqual([...schemaFields(kind)].sort());
  });

  it.each(SETTINGS)('has every field of %s, and no other', (of) => {
    expect(Object.keys(rows[of] ?? {}).sort()).toEqual([...settingFields(of)].sort());
  });

  it('says why wherever something is not supported', () => {
    const all = Object.entries(rows).flatMap(([kind, fields]) =>
      Object.entries(fields).map(([field, row]) => ({ field: `${kind} ${field}`, ...row })),
    );
    expect(all.filter(({ status }) => !STATUSES.includes(status))).toEqual([]);
    expect(all.filter(({ status, why }) => status !== 'supported' && !/^[^A-Z]/.test(why ?? 'A'))).toEqual([]);
  });

  it('is what the page shows', () => {
    expect(readFileSync(PAGE_FILE, 'utf8')).toBe(page(rows));
  });
});

/** What a row promises, as far as looking can tell. */
function broken({ status }: Row, effect: Effect | undefined): boolean {
  switch (status) {
    case 'supported':
      return effect === undefined || effect === 'none';
    case 'ignored':
    case 'elsewhere':
      return effect === 'resource';
    case 'refused':
    case 'deviates':
      return false;
  }
}

describe('what the table says', () => {
  it.each(TABLED)(
    'is so, for %s',
    async (kind) => {
      const bad = examplesOf(kind).filter(({ spec }) => admissible(kind, spec) === undefined);
      expect(bad.length, 'examples that are refused').toBe(0);
      const effects = await fieldEffects(kind);
      const wrong = Object.entries(rows[kind] ?? {}).filter(([field, row]) => broken(row, effects.get(field)));
      expect(
        wrong.map(([field, { status }]) => `${field} is ${status}, yet: ${effects.get(field) ?? 'in no example'}`),
      ).toEqual([]);
    },
    120_000,
  );

  it.each(SETTINGS)(
    'is so, for what %s is said to support',
    async (of) => {
      const fields = Object.entries(rows[of] ?? {});
      const supported = new Set(fields.flatMap(([field, { status }]) => (status === 'supported' ? [field] : [])));
      const effects = await settingEffects(of, (field) => supported.has(field));
      expect([...supported].filter((field) => broken({ status: 'supported' }, effects.get(field)))).toEqual([]);
    },
    120_000,
  );
});
