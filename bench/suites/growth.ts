// How the cost of one change grows with the mesh: services, proxies, endpoints and namespaces are swept one after the other while
// the rest stays small, and a power law is fitted to each counter and to CPU. Without a network: see engine.ts.
// A counter on the path of one change that grows is said to grow.

import { CHANGES } from '../changes.ts';
import type { Notebook } from '../figures.ts';
import { type MeshShape, meshManifests, proxyNode, SMALL_MESH } from '../mesh.ts';
import { growthExponent, median } from '../stats.ts';
import { cpuMs } from '../clock.ts';
import { Lab, objectsOf } from '../../test/plane/lab.ts';
import { type Work, workDone } from './work.ts';

export interface Sizes {
  readonly services: readonly number[];
  readonly proxies: readonly number[];
  readonly endpoints: readonly number[];
  readonly namespaces: readonly number[];
}

export const QUICK_SIZES: Sizes = {
  services: [50, 100, 200],
  proxies: [10, 40],
  endpoints: [1, 10, 100],
  namespaces: [2, 20],
};
export const USUAL_SIZES: Sizes = {
  services: [50, 200, 800],
  proxies: [10, 40, 160, 640],
  endpoints: [1, 10, 100],
  namespaces: [2, 20, 200],
};
export const FULL_SIZES: Sizes = {
  services: [100, 300, 1000, 3000, 10_000],
  proxies: [10, 30, 100, 300, 1000, 5000],
  endpoints: [1, 10, 100, 1000],
  namespaces: [2, 10, 50, 200],
};

export interface GrowthOptions {
  readonly sizes: Sizes;
  readonly rounds: number;
}

interface Sweep {
  readonly axis: keyof Sizes;
  readonly fixed: string;
  readonly at: (value: number) => { readonly shape: MeshShape; readonly proxies: number };
}

const BASE: MeshShape = { ...SMALL_MESH, namespaces: 2, endpoints: 2, flavour: 'entries' };

const SWEEPS: readonly Sweep[] = [
  {
    axis: 'services',
    fixed: '20 proxies, 2 endpoints',
    at: (services) => ({ shape: { ...BASE, services }, proxies: 20 }),
  },
  {
    axis: 'proxies',
    fixed: '50 services, 20 endpoints',
    // Each beside an endpoint of its own as far as they go, and one endpoint of each service that nobody stands beside.
    at: (proxies) => ({ shape: { ...BASE, services: 50, endpoints: 20 }, proxies }),
  },
  {
    axis: 'endpoints',
    fixed: '40 services, 20 proxies',
    at: (endpoints) => ({ shape: { ...BASE, services: 40, endpoints }, proxies: 20 }),
  },
  {
    axis: 'namespaces',
    fixed: '200 services, 200 proxies',
    // As many classes as namespaces: each has proxies.
    at: (namespaces) => ({ shape: { ...BASE, services: 200, namespaces }, proxies: 200 }),
  },
];

/** From this exponent on something grows: noise and rounding stay below. */
const GROWS = 0.15;

/** In the order of the notes; `pushes` are per proxy. */
const COUNTERS = ['rendered', 'encoded', 'links', 'pushes per proxy', 'encoded bytes'] as const;

type Counter = (typeof COUNTERS)[number];

interface Measured {
  readonly x: number;
  readonly cpu: number;
  readonly counters: Readonly<Record<Counter, number>>;
}

export async function growth({ sizes, rounds }: GrowthOptions, notes: Notebook): Promise<void> {
  for (const sweep of SWEEPS) {
    const byChange = new Map<string, Measured[]>();
    for (const x of sizes[sweep.axis]) {
      for (const [name, measured] of await changesAt(sweep, x, rounds))
        byChange.set(name, [...(byChange.get(name) ?? []), measured]);
    }
    for (const [name, points] of byChange) describe(sweep, name, points, notes);
  }
}

async function changesAt(sweep: Sweep, x: number, rounds: number): Promise<readonly (readonly [string, Measured])[]> {
  const { shape, proxies } = sweep.at(x);
  const lab = new Lab({ lean: true });
  const before = CHANGES.flatMap((kind) => kind.before?.(shape).manifests ?? []);
  lab.apply(objectsOf([...meshManifests(shape), ...before]));
  await lab.settle();
  for (let i = 0; i < proxies; i++) lab.connect(proxyNode(shape, i));
  await lab.settle();
  const results: (readonly [string, Measured])[] = [];
  for (const { name, make, undo } of CHANGES) {
    const costs: number[] = [];
    const works: Work[] = [];
    // One more than is counted: the first is slower than all that follow.
    for (let round = 0; round <= rounds; round++) {
      const objects = objectsOf(make(shape, round).manifests);
      const work = await workDone(lab, async () => {
        const from = cpuMs();
        lab.apply(objects);
        await lab.settle();
        costs.push(cpuMs() - from);
      });
      works.push(work);
      const undone = undo?.(shape, round);
      if (undone === undefined) continue;
      lab.apply(objectsOf(undone.manifests));
      await lab.settle();
    }
    const middle = (pick: (work: Work) => number): number => median(works.slice(1).map(pick));
    const counters = {
      rendered: middle((work) => work.rendered),
      encoded: middle((work) => work.encoded),
      links: middle((work) => work.links),
      'pushes per proxy': middle((work) => work.pushes) / proxies,
      'encoded bytes': middle((work) => work.encodedBytes),
    };
    results.push([name, { x, cpu: median(costs.slice(1)), counters }]);
  }
  return results;
}

function describe({ axis, fixed }: Sweep, name: string, points: readonly Measured[], notes: Notebook): void {
  const chart = `growth, by ${axis}`;
  for (const { x, cpu } of points)
    notes.cost(`${name}, ${x} ${axis} (${fixed}): CPU`, 'ms', [cpu], { chart, series: name, x });
  const fit = (pick: (point: Measured) => number): number =>
    growthExponent(points.map((point) => ({ x: point.x, y: pick(point) }))) ?? 0;
  notes.cost(`${name}, by ${axis}: exponent of CPU`, '', [fit(({ cpu }) => cpu)]);
  for (const counter of COUNTERS) {
    const exponent = fit(({ counters }) => counters[counter]);
    notes.cost(`${name}, by ${axis}: exponent of ${counter}`, '', [exponent]);
    if (exponent < GROWS) continue;
    const course = points.map(({ x, counters }) => `${x}: ${Math.round(counters[counter])}`).join(', ');
    notes.remark(`${name}: ${counter} grow with ${axis}, by a power of ${exponent.toFixed(2)} (${course})`);
  }
}
