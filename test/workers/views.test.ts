// What crosses to a worker: each object once, the same objects on the other side, and nothing that stays.
import { deserialize, serialize } from 'node:v8';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { Resource } from '../../src/resources/resource.ts';
import { shardKey, type View, viewResources } from '../../src/resources/view.ts';
import { emptyTable, smallTable, type Table, tableWith } from '../../src/lib/table.ts';
import { Exporter } from '../../src/workers/exporter.ts';
import { Importer } from '../../src/workers/importer.ts';
import type { Definitions } from '../../src/workers/messages.ts';
import { CLUSTER, Metrics, resource } from '../xds/support.ts';

type Resources = Table<readonly Resource[]>;

class Line {
  readonly metrics = new Metrics();
  readonly exporter = new Exporter(this.metrics);
  readonly importer = new Importer();

  pass(view: View): View {
    const id = this.exporter.hold(view);
    this.cross();
    return this.importer.view(id);
  }

  cross(): void {
    this.importer.take(deserialize(serialize(this.exporter.take())) as Definitions);
  }

  get passed(): number {
    return this.metrics.of('meltemi_worker_resources_total');
  }
}

const content = (view: View) => [...viewResources(view)].map(({ name, version, bytes }) => [name, version, [...bytes]]);

function withResources(table: Resources, contents: Readonly<Record<string, string>>): Resources {
  return tableWith(
    table,
    Object.entries(contents).map(([name, text]) => [shardKey(name), [resource(CLUSTER, name, text)]] as const),
  );
}

describe('views of a worker', () => {
  it('share what the views of the other side share, and a change is one resource', () => {
    const line = new Line();
    const names = Array.from({ length: 500 }, (_, i) => [`svc-${i}`, 'first'] as const);
    const table = withResources(emptyTable(), Object.fromEntries(names));
    const own = smallTable([['own', [resource(CLUSTER, 'own', '1')]] as const]);
    const before = line.pass({ typeUrl: CLUSTER, parts: [table, own] });
    expect(line.passed).toBe(501);
    const next = withResources(table, { 'svc-7': 'second' });
    const after = line.pass({ typeUrl: CLUSTER, parts: [next, own] });
    expect(line.passed).toBe(502);
    expect(after.parts[1]).toBe(before.parts[1]);
    const changed = after.parts[0]?.buckets.filter((bucket, i) => bucket !== before.parts[0]?.buckets[i]);
    expect(changed).toHaveLength(1);
    // Of another class, with the same table.
    const other = line.pass({ typeUrl: CLUSTER, parts: [next] });
    expect([line.passed, other.parts[0]]).toEqual([502, after.parts[0]]);
    expect(other.parts[0]).toBe(after.parts[0]);
  });

  it('are forgotten when nobody has them any more, on both sides', () => {
    const change = fc.record({
      keep: fc.boolean(),
      early: fc.boolean(),
      contents: fc.dictionary(fc.constantFrom('a', 'b', 'c', 'd'), fc.constantFrom('1', '2'), { minKeys: 1 }),
    });
    fc.assert(
      fc.property(fc.array(change, { maxLength: 20 }), (changes) => {
        const line = new Line();
        let table: Resources = emptyTable();
        const held: View[] = [];
        for (const { keep, early, contents } of changes) {
          table = withResources(table, contents);
          const view = { typeUrl: CLUSTER, parts: [table] };
          const id = line.exporter.hold(view);
          // It may be gone before it was told of.
          if (early) line.cross();
          if (early) expect(content(line.importer.view(id))).toEqual(content(view));
          if (keep) held.push(view);
          else line.exporter.release(view);
        }
        line.cross();
        expect(line.importer.size).toBe(line.exporter.size);
        for (const view of held) line.exporter.release(view);
        line.cross();
        expect([line.exporter.size, line.importer.size]).toEqual([0, 0]);
      }),
      { numRuns: 100 },
    );
  });
});
