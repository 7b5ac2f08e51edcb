// Every suite by its name: what it measures, and with which sizes.

import { readFileSync } from 'node:fs';
import type { Notebook } from './figures.ts';
import type { Options } from './options.ts';
import { type Anchors, anchorsFrom, ISTIOD } from './shapes/istiod.ts';
import { boot } from './suites/boot.ts';
import { certificates } from './suites/certificates.ts';
import { churn } from './suites/churn.ts';
import { codec } from './suites/codec.ts';
import { engine } from './suites/engine.ts';
import { FULL_SIZES, growth, QUICK_SIZES, USUAL_SIZES } from './suites/growth.ts';
import { memory } from './suites/memory.ts';
import { onDemand } from './suites/on-demand.ts';
import { propagation } from './suites/propagation.ts';
import { reconnect } from './suites/reconnect.ts';
import type { SessionOptions } from './suites/session.ts';
import { shapes } from './suites/shapes.ts';
import { soak } from './suites/soak.ts';
import { sync } from './suites/sync.ts';

export interface Suite {
  readonly name: string;
  readonly about: string;
  /** Part of a run that names no suites. */
  readonly usual: boolean;
  /** False: the run fails, whatever else was measured. */
  readonly run: (options: Options, notes: Notebook) => Promise<boolean | void> | boolean | void;
}

export const SUITES: readonly Suite[] = [
  {
    name: 'boot',
    about: 'from nothing to ready: the sample mesh, and meshes from files',
    usual: true,
    run: ({ shape, rounds, quick }, notes) =>
      boot({ shape, sizes: quick ? [shape.services] : [shape.services / 10, shape.services], rounds }, notes),
  },
  {
    name: 'codec',
    about: 'encoding and decoding of one cluster',
    usual: true,
    run: ({ rounds }, notes) => codec(rounds, notes),
  },
  {
    name: 'shapes',
    about: "generation by the shapes of Istio's own benchmarks, beside istiod's figures; --shape NAME for one",
    usual: true,
    run: ({ quick, shapes: names, istiod }, notes) =>
      shapes({ budget: quick ? 300 : 8000, names, istiod: anchorsIn(istiod) }, notes),
  },
  {
    name: 'engine',
    about: 'first sync, changes and reconnects without a network: CPU and counters',
    usual: true,
    run: ({ shape, proxies, rounds }, notes) => engine({ shape, proxies, rounds }, notes),
  },
  {
    name: 'sync',
    about: 'proxies that connect at once, to a cold server and as fresh ones after others',
    usual: true,
    run: (options, notes) => eachMode(options, (session) => sync(session, notes)),
  },
  {
    name: 'propagation',
    about: 'from a changed file to every proxy: endpoint, scale, weight, service, authorization, destination rule',
    usual: true,
    run: (options, notes) => eachMode(options, (session) => propagation(session, notes)),
  },
  {
    name: 'churn',
    about: 'endpoints that change at a steady rate: --rate, --seconds',
    usual: true,
    run: (options, notes) =>
      eachMode(options, (session) => churn({ ...session, rate: options.rate, seconds: options.seconds }, notes)),
  },
  {
    name: 'reconnect',
    about: 'all proxies come back at once, to the same server and to a restarted one',
    usual: true,
    run: (options, notes) => eachMode(options, (session) => reconnect(session, notes)),
  },
  {
    name: 'memory',
    about: 'what a proxy and a service take: heap after a collection, and RSS',
    usual: true,
    run: ({ shape, proxies, rounds, tls }, notes) => memory({ shape, proxies, rounds, tls, mode: 'delta' }, notes),
  },
  {
    name: 'certificates',
    about: 'certificates signed a second, for EC and RSA keys',
    usual: true,
    run: ({ quick }, notes) => certificates({ requests: quick ? 200 : 2000 }, notes),
  },
  {
    name: 'growth',
    about: 'how one change grows with services, proxies and endpoints, as a power; --full for 10,000 services',
    usual: true,
    run: ({ full, quick, rounds }, notes) =>
      growth({ sizes: full ? FULL_SIZES : quick ? QUICK_SIZES : USUAL_SIZES, rounds: quick ? 1 : rounds }, notes),
  },
  {
    name: 'soak',
    about: 'churn and reconnects for --minutes; fails when memory does not come back to its floor',
    usual: false,
    run: ({ shape, proxies, rounds, rate, minutes, tls }, notes) =>
      soak(
        { shape, proxies, rounds, rate, minutes, tls, mode: 'delta', progress: (text) => console.error(text) },
        notes,
      ),
  },
  {
    name: 'ondemand',
    about: 'a real Envoy with everything and on demand; needs Envoy 1.40.0 and 1.36.4',
    usual: false,
    run: ({ shape }, notes) => onDemand({ ...shape, endpoints: 2, flavour: 'entries' }, notes),
  },
];

function anchorsIn(file: string | undefined): Anchors {
  if (file === undefined) return ISTIOD;
  try {
    return anchorsFrom(readFileSync(file, 'utf8'));
  } catch (error) {
    throw new Error(`--istiod ${file}: ${error instanceof Error ? error.message : String(error)}`);
  }
}

/** Delta, and the state of the world unless it has to be quick. */
async function eachMode(
  { shape, proxies, rounds, modes, tls }: Options,
  run: (session: SessionOptions) => Promise<void>,
): Promise<void> {
  for (const mode of modes) await run({ shape, proxies, rounds, mode, tls });
}
