// What istiod's own generation benchmarks say of the same shapes. In: what they print, if they were run on this machine.
// Out: times and sizes by shape. Without: those of istiod 1.32-dev, Go 1.26, its cache off, on a quiet machine of two cores,
// which tell no more than what is large and what is small: other machines take half or twice as long.

import { median } from '../stats.ts';
import type { GeneratedType } from './shapes.ts';

type Generated = readonly [ms: number, kb: number, resources: number];

export interface Anchor {
  /** Milliseconds to build the snapshot that is generated from. */
  readonly link?: number;
  /** Milliseconds to generate, thousands of bytes, and how many resources, by type. */
  readonly types: Readonly<Partial<Record<GeneratedType, Generated>>>;
}

export type Anchors = Readonly<Record<string, Anchor>>;

export const ISTIOD: Anchors = {
  http: { link: 0.158, types: { route: [0.486, 41.66, 1], cluster: [0.846, 99.22, 105], listener: [0.068, 14.75, 3] } },
  tcp: { link: 0.196, types: { cluster: [0.83, 100, 105], listener: [0.366, 34.92, 103] } },
  tls: { link: 0.141, types: { cluster: [0.819, 100, 105], listener: [0.398, 35.25, 103] } },
  auto: {
    link: 0.139,
    types: { route: [0.933, 82.03, 101], cluster: [0.917, 114.9, 105], listener: [1.085, 253.1, 103] },
  },
  strict: { link: 0.011, types: { listener: [0.099, 17.54, 6] } },
  disabled: { link: 0.019, types: { listener: [0.067, 14.57, 6] } },
  externalname: {
    link: 0.147,
    types: { route: [0.07, 0.421, 1], cluster: [0.016, 1.877, 5], listener: [0.119, 14.75, 3] },
  },
  'telemetry-api': {
    link: 0.176,
    types: { route: [0.838, 81.15, 2], cluster: [2.416, 231.6, 411], listener: [1.847, 208.8, 6] },
  },
  virtualservice: {
    link: 0.212,
    types: { route: [0.753, 96.13, 1], cluster: [0.596, 54.38, 105], listener: [0.063, 14.75, 3] },
  },
  authorizationpolicy: { link: 0.054, types: { listener: [0.525, 110.6, 4] } },
  'serviceentry-workloadentry': {
    link: 0.431,
    types: { route: [0.811, 81.15, 2], cluster: [3.321, 430.7, 411], listener: [1.06, 50.14, 6] },
  },
  gateways: {
    link: 12.557,
    types: { route: [21.295, 1138, 1001], cluster: [7.263, 536.4, 1003], listener: [7.586, 2296, 2] },
  },
  'gateways-shared': {
    link: 2.918,
    types: { route: [44.15, 5202, 2], cluster: [8.238, 536.4, 1003], listener: [0.017, 4.445, 2] },
  },
  'knative-gateway': {
    link: 0.049,
    types: { route: [1.834, 252, 2], cluster: [0.014, 1.421, 3], listener: [0.018, 3.997, 2] },
  },
  'name table (1,000)': { types: { 'name table': [0.65, 53.45, 1] } },
  'secrets (10)': { types: { secret: [0.172, 30.31, 10] } },
  'secrets (1000)': { types: { secret: [14.04, 3033, 1000] } },
};

const TYPES: Readonly<Record<string, GeneratedType | 'link'>> = {
  InitPushContext: 'link',
  RouteGeneration: 'route',
  ClusterGeneration: 'cluster',
  ListenerGeneration: 'listener',
  NameTableGeneration: 'name table',
  SecretGeneration: 'secret',
};

/** Where a benchmark and the shape have different names. */
const SHAPES_OF: Readonly<Record<string, string>> = { secrets: 'secrets (10)', 'secrets#01': 'secrets (1000)' };
const NAME_TABLE = 'name table (1,000)';

/** `BenchmarkRouteGeneration/http-2   993   880349 ns/op   41.66 kb/msg   1.000 resources/msg` */
const LINE =
  /^Benchmark(\w+)\/(\S+?)(?:-\d+)?\s+\d+\s+([\d.]+) ns\/op(?:\s+([\d.]+) kb\/msg\s+([\d.]+) resources\/msg)?/;

/**
 * Reads what `go test ./pilot/pkg/xds -run none -bench '(InitPushContext|Generation)'` has printed; of several runs (`-count`) the
 * median. Throws an Error when there is nothing of it.
 */
export function anchorsFrom(text: string): Anchors {
  const runs = new Map<string, Map<GeneratedType | 'link', Generated[]>>();
  for (const line of text.split('\n')) {
    const [, benchmark = '', shape = '', ns = '0', kb = '0', resources = '0'] = LINE.exec(line) ?? [];
    const type = TYPES[benchmark];
    if (type === undefined) continue;
    const name = type === 'name table' ? NAME_TABLE : (SHAPES_OF[shape] ?? shape);
    const types = runs.get(name) ?? new Map();
    runs.set(name, types.set(type, [...(types.get(type) ?? []), [Number(ns) / 1e6, Number(kb), Number(resources)]]));
  }
  if (runs.size === 0) throw new Error("expected what `go test -bench` prints of istiod's package pilot/pkg/xds");
  return Object.fromEntries(
    [...runs].map(([name, types]) => {
      const anchor: { link?: number; types: Partial<Record<GeneratedType, Generated>> } = { types: {} };
      for (const [type, values] of types) {
        const ms = median(values.map(([each]) => each));
        const [, kb = 0, resources = 0] = values[0] ?? [];
        if (type === 'link') anchor.link = ms;
        else anchor.types[type] = [ms, kb, resources];
      }
      return [name, anchor];
    }),
  );
}
