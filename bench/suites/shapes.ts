// Generation by the shapes of Istio's own benchmarks: time, bytes and resources for each type, from nothing and after one
// change, beside what istiod needs. V8 compiles what it has seen run for a while: the first runs of each shape count for
// nothing, and every run is given a mesh of new objects, so that no memory of an earlier one answers. Between runs the
// event loop turns, as it does between the changes of a server: what waits for it, and holds a mesh until then, lets go.

import { setImmediate as turn } from 'node:timers/promises';
import type { Notebook } from '../figures.ts';
import { median } from '../stats.ts';
import { objectsOf } from '../../test/plane/lab.ts';
import { type Generated, type Generation, Generator } from '../shapes/generate.ts';
import type { Anchor, Anchors } from '../shapes/istiod.ts';
import { type GeneratedType, SHAPES, type ShapeCase } from '../shapes/shapes.ts';

export interface ShapeOptions {
  /** CPU for each shape, ms; the first half of it warms up. */
  readonly budget: number;
  /** Undefined: all. */
  readonly names: readonly string[] | undefined;
  /** What istiod takes for the same. */
  readonly istiod: Anchors;
}

/** Changes after each cold run. */
const CHANGES = 3;

export async function shapes({ budget, names, istiod }: ShapeOptions, notes: Notebook): Promise<void> {
  for (const shape of SHAPES) {
    if (names !== undefined && !names.includes(shape.name)) continue;
    describe(shape, await runsOf(shape, budget), istiod, notes);
  }
}

interface Runs {
  readonly cold: readonly Generation[];
  readonly warm: readonly Generation[];
}

async function runsOf(shape: ShapeCase, budget: number): Promise<Runs> {
  const runs = { cold: [] as Generation[], warm: [] as Generation[] };
  const started = process.cpuUsage();
  const spent = (): number => {
    const { user, system } = process.cpuUsage(started);
    return (user + system) / 1000;
  };
  let warmUp = true;
  for (let change = 0; runs.cold.length < 2 || spent() < budget; ) {
    await turn();
    if (warmUp && spent() >= budget / 2) {
      warmUp = false;
      runs.cold.length = runs.warm.length = 0;
    }
    const generator = new Generator(shape);
    runs.cold.push(generator.generate());
    for (let i = 0; i < CHANGES; i++) {
      generator.put(objectsOf(shape.change(change++)));
      runs.warm.push(generator.generate());
    }
  }
  return runs;
}

function describe(shape: ShapeCase, { cold, warm }: Runs, istiod: Anchors, notes: Notebook): void {
  const { name } = shape;
  const anchor = istiod[name];
  const compared = shape.types.filter((type) => anchor === undefined || anchor.types[type] !== undefined);
  const last = cold.at(-1)?.types;
  for (const type of shape.types) {
    const made = (runs: readonly Generation[]): readonly number[] => runs.map(({ types }) => types[type]?.ms ?? 0);
    notes.cost(`${name}, ${type}: cold`, 'ms', made(cold));
    notes.cost(`${name}, ${type}: after one change`, 'ms', made(warm));
    const { bytes, resources } = last?.[type] ?? NOTHING;
    notes.note(`${name}, ${type}: size`, 'kB', [bytes / 1000]);
    notes.note(`${name}, ${type}: resources`, '', [resources]);
  }
  const total = ({ types }: Generation): number => compared.reduce((sum, type) => sum + (types[type]?.ms ?? 0), 0);
  notes.cost(
    `${name}: link, cold`,
    'ms',
    cold.map(({ link, scope }) => link + scope),
  );
  notes.cost(
    `${name}: link, after one change`,
    'ms',
    warm.map(({ link, scope }) => link + scope),
  );
  const types = compared.join(' + ');
  notes.cost(`${name}: ${types}, cold`, 'ms', cold.map(total), { chart: 'shapes', series: 'cold', x: name });
  notes.cost(`${name}: ${types}, after one change`, 'ms', warm.map(total), {
    chart: 'shapes',
    series: 'after one change',
    x: name,
  });
  if (anchor === undefined) return;
  const theirs = compared.reduce((sum, type) => sum + (anchor.types[type]?.[0] ?? 0), 0);
  notes.note(`${name}: ${types}, istiod`, 'ms', [theirs], { at: { chart: 'shapes', series: 'istiod', x: name } });
  notes.cost(`${name}: times istiod, cold`, '', [median(cold.map(total)) / theirs]);
  notes.cost(`${name}: times istiod, after one change`, '', [median(warm.map(total)) / theirs]);
  sizesBeside(name, anchor, compared, last, notes);
}

const NOTHING: Generated = { ms: 0, bytes: 0, resources: 0 };

/** A shape that makes something else than istiod would is no shape to compare by. */
function sizesBeside(
  name: string,
  anchor: Anchor,
  types: readonly GeneratedType[],
  made: Generation['types'] | undefined,
  notes: Notebook,
): void {
  for (const type of types) {
    const [, , theirs = 0] = anchor.types[type] ?? [];
    const ours = made?.[type]?.resources ?? 0;
    if (ours !== theirs) notes.remark(`${name}: ${ours} resources of type ${type}, istiod ${theirs}`);
  }
}
