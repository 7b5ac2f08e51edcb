// Equal tables are one object, tables that differ in anything are not.

import { describe, expect, it } from 'vitest';
import { tableFrom, tableWith } from '../../src/lib/table.ts';
import { TablePool } from '../../src/plane/table-pool.ts';
import type { Resource } from '../../src/resources/resource.ts';
import { CLUSTER, ENDPOINT, resource } from '../xds/support.ts';

const ALL = Array.from({ length: 300 }, (_, i) => resource(CLUSTER, `c-${i}`, 'x'));
const tableOf = (resources: readonly Resource[]) => tableFrom(resources.map((each) => [each.name, [each]] as const));

describe('tables of one pool', () => {
  it('are one object when they hold the same resources', () => {
    const pool = new TablePool();
    const first = tableOf(ALL);
    expect(pool.shared(CLUSTER, first)).toBe(first);
    expect(pool.shared(CLUSTER, tableOf(ALL))).toBe(first);
    const changed = resource(CLUSTER, 'c-7', 'y');
    const second = tableWith(first, [['c-7', [changed]]]);
    expect(pool.shared(CLUSTER, second)).toBe(second);
    expect(pool.shared(CLUSTER, tableWith(tableOf(ALL), [['c-7', [changed]]]))).toBe(second);
    expect(pool.shared(CLUSTER, tableOf(ALL))).toBe(first);
  });

  it('stay apart by type, size and content', () => {
    const pool = new TablePool();
    const first = pool.shared(CLUSTER, tableOf(ALL));
    for (const other of [tableOf(ALL.slice(1)), tableOf([...ALL.slice(1), resource(CLUSTER, 'c-0', 'x')])])
      expect(pool.shared(CLUSTER, other)).toBe(other);
    const endpoints = tableOf(ALL);
    expect(pool.shared(ENDPOINT, endpoints)).toBe(endpoints);
    expect(first).not.toBe(endpoints);
  });
});
