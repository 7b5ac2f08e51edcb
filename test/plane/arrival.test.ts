// Objects of every kind that arrive one after another, in any order, some of them in another form first or taken away in
// between: proxies that were there all the time have what they have where everything was there before them.

import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { parse, parseAllDocuments } from 'yaml';
import { TABLED } from '../../scripts/compatibility.ts';
import type { ConfigObject } from '../../src/config/object.ts';
import { exampleObject, examplesOf, FEW_NODES } from '../compatibility/flip.ts';
import { Lab, objectsOf } from './lab.ts';
import { given } from './mesh-steps.ts';

const FOLDER = join(import.meta.dirname, '../compatibility');
const mesh = parse(readFileSync(join(FOLDER, 'mesh.yaml'), 'utf8')) as Readonly<Record<string, unknown>>;
const base = parseAllDocuments(readFileSync(join(FOLDER, 'base.yaml'), 'utf8')).map((each) => each.toJS() as unknown);
const OBJECTS = objectsOf([
  ...base,
  ...TABLED.flatMap((kind) => examplesOf(kind).map((each) => exampleObject(kind, each.spec))),
]).map((object, at): ConfigObject => (at < base.length ? object : { ...object, name: `${object.name}-${at}` }));
const nodes = FEW_NODES();

interface Arrival {
  readonly at: number;
  /** What happens to it before it is there for good. */
  readonly first: 'nothing' | 'other' | 'gone';
}

const arrivals: fc.Arbitrary<readonly Arrival[]> = fc
  .tuple(
    fc.shuffledSubarray(
      OBJECTS.map((_, at) => at),
      { minLength: OBJECTS.length },
    ),
    fc.array(fc.constantFrom<Arrival['first']>('nothing', 'nothing', 'other', 'gone'), {
      minLength: OBJECTS.length,
      maxLength: OBJECTS.length,
    }),
  )
  .map(([order, firsts]) => order.map((at): Arrival => ({ at, first: firsts[at] ?? 'nothing' })));

/** The same object with the contents of another of its kind. */
function otherForm(object: ConfigObject, at: number): ConfigObject {
  const other = OBJECTS.find((each, index) => index > at && each.kind === object.kind) ?? object;
  return { ...other, name: object.name, namespace: object.namespace } as ConfigObject;
}

describe('objects that arrive one after another', () => {
  it('lead to the same resources in any order', async () => {
    const cold = new Lab({ mesh }).apply(OBJECTS);
    await cold.settle();
    for (const node of nodes) cold.connect(node);
    await cold.settle();
    const expected = given(cold, nodes);
    await fc.assert(
      fc.asyncProperty(arrivals, fc.integer({ min: 1, max: 12 }), async (order, stride) => {
        const warm = new Lab({ mesh });
        await warm.settle();
        for (const node of nodes) warm.connect(node);
        await warm.settle();
        const passes = [order.filter(({ first }) => first !== 'nothing'), order];
        for (const [pass, list] of passes.entries()) {
          for (let start = 0; start < list.length; start += stride) {
            for (const { at, first } of list.slice(start, start + stride)) {
              const object = OBJECTS[at];
              if (object === undefined) continue;
              warm.apply([pass === 0 && first === 'other' ? otherForm(object, at) : object]);
            }
            await warm.settle();
          }
          if (pass > 0) continue;
          warm.apply(
            [],
            list.flatMap(({ at, first }) => (first === 'gone' ? (OBJECTS[at] ?? []) : [])),
          );
          await warm.settle();
        }
        expect(given(warm, nodes)).toEqual(expected);
      }),
      { numRuns: 3 },
    );
  }, 120_000);
});
