// What clients state that they hold: however it is written, and however it is compared with a view, it means the same.

import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { smallTable, tableFrom } from '../../src/lib/table.ts';
import type { Resource } from '../../src/resources/resource.ts';
import { shardKey, type View } from '../../src/resources/view.ts';
import { NamePool } from '../../src/xds/names.ts';
import { readDeltaRequest } from '../../src/xds/requests.ts';
import { reported } from '../../src/xds/sent.ts';
import { Stated } from '../../src/xds/stated.ts';
import { EVERYTHING, heldItem, selectionOf, versionOfItem } from '../../src/xds/subscription.ts';
import { bytesField, stringField, WireReader } from '../../src/xds/wire.ts';
import { CLUSTER, resource } from './support.ts';

const NAMES = ['a', 'b', 'c', 'é', `long-${'x'.repeat(130)}`, 'outbound|80||svc.ns.svc.cluster.local'];

/** Entries with the fields in either order, as encoders may write them. */
function entry(name: string, version: string, swapped: boolean): Buffer {
  const fields = [stringField(1, name), stringField(2, version)];
  return bytesField(5, Buffer.concat(swapped ? fields.reverse() : fields));
}

function statedOf(entries: readonly Buffer[]): Stated {
  const stated = new Stated();
  const reader = new WireReader(Buffer.concat(entries));
  while (reader.next()) stated.add(reader);
  return stated;
}

function viewOf(resources: readonly Resource[], own: readonly Resource[] = []): View {
  const groups = (list: readonly Resource[]) => list.map((each) => [shardKey(each.name), [each]] as const);
  const parts = [
    tableFrom<readonly Resource[]>(groups(resources)),
    ...(own.length > 0 ? [smallTable(groups(own))] : []),
  ];
  return { typeUrl: CLUSTER, parts };
}

const claim = fc.record({
  name: fc.constantFrom(...NAMES, 'gone'),
  version: fc.constantFrom('current', 'old', '', 'another'),
  swapped: fc.boolean(),
});

describe('what a client states that it holds', () => {
  it('is what the same entries say as text', () => {
    const all = NAMES.map((name) => resource(CLUSTER, name, 'now'));
    const shared = viewOf(all);
    const split = viewOf(all.slice(2), all.slice(0, 2));
    fc.assert(
      fc.property(
        fc.array(claim, { maxLength: 10 }),
        fc.constantFrom(shared, split),
        fc.option(fc.subarray([...NAMES, 'gone'])),
        (claims, view, wanted) => {
          const versions = claims.map(({ name, version }) =>
            version === 'current' ? (all.find((each) => each.name === name)?.version ?? 'x') : version,
          );
          const pool = new NamePool();
          const wants = wanted === null ? EVERYTHING : selectionOf(false, pool.of(wanted));
          const stated = statedOf(claims.map(({ name, swapped }, i) => entry(name, versions[i] ?? '', swapped)));
          const held = reported(stated, wants, view, pool);
          const said = new Map(claims.map(({ name }, i) => [name, versions[i] ?? '']));
          expect(stated.read()).toEqual(said);
          for (const name of [...NAMES, 'gone']) {
            const covered = wants.wildcard || wants.set.names.has(name);
            const expected = covered ? said.get(name) : undefined;
            expect(versionOfItem(heldItem(held, name)), name).toBe(expected);
          }
        },
      ),
      { numRuns: 500 },
    );
  });

  it('takes no text to read when it is as the view says', () => {
    const all = NAMES.slice(0, 3).map((name) => resource(CLUSTER, name, 'now'));
    const read: string[] = [];
    const stated = statedOf(all.map(({ name, version }) => entry(name, version, false)));
    const same: Resource[] = [];
    expect(
      stated.compare(
        viewOf(all),
        (each) => same.push(each),
        (name) => read.push(name),
      ),
    ).toBe(true);
    expect([same.length, read]).toEqual([3, []]);
  });

  it('is recognised as a whole when it is all that the view says, in any order, and only then', () => {
    const all = ['a', 'b', 'c'].map((name) => resource(CLUSTER, name, 'now'));
    const old = resource(CLUSTER, 'a', 'before');
    const pool = new NamePool();
    const wants = selectionOf(false, pool.of(['a', 'b']));
    const said = (list: readonly Resource[]): Stated =>
      statedOf(list.map(({ name, version }) => entry(name, version, false)));
    const [a, b, c] = all as [Resource, Resource, Resource];
    for (const view of [viewOf(all), viewOf([a, c], [b])]) {
      expect(said([c, a, b]).isAll(EVERYTHING, view)).toBe(true);
      expect(said([b, a]).isAll(wants, view)).toBe(true);
      for (const list of [[], [a], [a, b, b], [a, c], [old, b]]) {
        expect(said(list).isAll(EVERYTHING, view)).toBe(false);
        expect(said(list).isAll(wants, view)).toBe(false);
      }
      expect(said([a, b, c]).isAll(wants, view)).toBe(false);
    }
    const longer = statedOf([entry('a', `x${a.version}`, false), entry('b', b.version, false)]);
    expect(longer.isAll(wants, viewOf(all))).toBe(false);
  });
});

describe('a list of names', () => {
  const request = (names: readonly string[]): Buffer =>
    Buffer.concat([stringField(2, CLUSTER), ...names.map((name) => bytesField(3, Buffer.from(name)))]);

  it('is the same set in whatever order a client lists it', () => {
    const pool = new NamePool();
    const first = readDeltaRequest(request(NAMES), pool).subscribe;
    for (let turn = 0; turn < 5; turn++) {
      const turned = [...NAMES.slice(turn), ...NAMES.slice(0, turn)];
      expect(readDeltaRequest(request(turned), pool).subscribe).toBe(first);
    }
    const short = NAMES.slice(0, 3);
    const set = readDeltaRequest(request(short), pool).subscribe;
    expect(readDeltaRequest(request([...short].reverse()), pool).subscribe).toBe(set);
    expect([...readDeltaRequest(request(['a', 'a', 'b']), pool).subscribe.names]).toEqual(['a', 'b']);
  });
});
