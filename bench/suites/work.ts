// What the engine counts while it works: the same counters as on the page of metrics.

import { ENCODED } from '../../src/resources/resource.ts';
import { renderRuns } from '../../src/translate/counts.ts';
import type { Lab } from '../../test/plane/lab.ts';

export interface Work {
  /** Results rendered, of all kinds. */
  readonly rendered: number;
  /** Resources encoded and hashed, and their bytes. */
  readonly encoded: number;
  readonly encodedBytes: number;
  /** Classes and workloads that came to see something else. */
  readonly links: number;
  /** Responses to all proxies together. */
  readonly pushes: number;
}

export async function workDone(lab: Lab, work: () => Promise<void>): Promise<Work> {
  const before = countsOf(lab);
  await work();
  const after = countsOf(lab);
  return {
    rendered: after.rendered - before.rendered,
    encoded: after.encoded - before.encoded,
    encodedBytes: after.encodedBytes - before.encodedBytes,
    links: after.links - before.links,
    pushes: after.pushes - before.pushes,
  };
}

function countsOf({ metrics }: Lab): Work {
  const pushes = ['cds', 'eds', 'lds', 'rds'].map((type) => metrics.of(`meltemi_pushes_total{${type}}`));
  return {
    rendered: Object.values(renderRuns()).reduce((sum, runs) => sum + runs, 0),
    encoded: ENCODED.resources,
    encodedBytes: ENCODED.bytes,
    links: metrics.of('meltemi_links_total'),
    pushes: pushes.reduce((sum, count) => sum + count, 0),
  };
}
