// Long work is put aside: nobody is answered before there is an answer, and newcomers are not kept waiting by the rest.

import { describe, expect, it } from 'vitest';
import { type MeshShape, meshManifests, proxyNode, serviceManifests } from '../../bench/mesh.ts';
import type { Steps } from '../../src/lib/steps.ts';
import { WorkQueue } from '../../src/plane/work-queue.ts';
import { manualTime } from '../ca/support.ts';
import { CLUSTER, Lab, objectsOf } from './lab.ts';

const SHAPE: MeshShape = { services: 30, endpoints: 1, namespaces: 3, routed: 0, flavour: 'kubernetes' };

/** A queue whose clock stands, moved by the work, and whose slices begin when the test says so. */
class Bench {
  now = 0;
  readonly log: string[] = [];
  readonly failures: string[] = [];
  readonly queue: WorkQueue<{ readonly name: string; readonly steps: number }>;
  #slices: (() => void)[] = [];

  constructor() {
    this.queue = new WorkQueue({
      clock: { now: () => this.now },
      yieldLoop: () => new Promise((resolve) => this.#slices.push(resolve)),
      slice: 10,
      glance: ({ name }) => {
        if (name.startsWith('same')) this.log.push(name);
        return name.startsWith('same');
      },
      bring: (session) => this.#bring(session),
      failed: (session, error) => this.failures.push(`${session.name}: ${String(error)}`),
    });
  }

  *#bring({ name, steps }: { readonly name: string; readonly steps: number }): Steps<void> {
    for (let step = 0; step < steps; step++) {
      this.now += 4;
      yield;
    }
    if (name.startsWith('bad')) throw new Error('of this one');
    this.log.push(name);
  }

  async slice(): Promise<void> {
    for (const resolve of this.#slices.splice(0)) resolve();
    await Promise.resolve();
    await Promise.resolve();
  }
}

const session = (name: string, steps: number): { readonly name: string; readonly steps: number } => ({ name, steps });

describe('the work queue', () => {
  it('does short work before join returns', () => {
    const bench = new Bench();
    bench.queue.join(session('a', 1));
    expect(bench.log).toEqual(['a']);
  });

  it('puts long work aside when its slice is over, and goes on later', async () => {
    const bench = new Bench();
    bench.queue.join(session('a', 5));
    expect([bench.log, bench.now]).toEqual([[], 12]);
    let idle = false;
    const done = bench.queue.idle().then(() => {
      idle = true;
    });
    expect(idle).toBe(false);
    await bench.slice();
    await done;
    expect([bench.log, idle]).toEqual([['a'], true]);
  });

  it('takes newcomers and followers in turn', async () => {
    const bench = new Bench();
    bench.queue.follow(['f1', 'f2', 'f3', 'f4'].map((name) => session(name, 3)));
    bench.queue.join(session('new', 3));
    while (bench.log.length < 5) await bench.slice();
    expect(bench.log.indexOf('new')).toBeLessThanOrEqual(2);
  });

  it('begins no work where a glance is enough', async () => {
    const bench = new Bench();
    bench.queue.follow([session('same', 5), session('a', 1), session('same too', 5)]);
    await bench.queue.idle();
    expect([bench.log, bench.now]).toEqual([['same', 'a', 'same too'], 4]);
  });

  it('survives work that fails', async () => {
    const bench = new Bench();
    bench.queue.follow([session('bad', 1), session('good', 1)]);
    await bench.slice();
    expect([bench.log, bench.failures]).toEqual([['good'], ['bad: Error: of this one']]);
    await bench.queue.idle();
  });

  it('forgets who left', async () => {
    const bench = new Bench();
    const gone = session('gone', 1);
    bench.queue.join(session('long', 5));
    bench.queue.join(gone);
    bench.queue.remove(gone);
    await bench.slice();
    await bench.slice();
    expect(bench.log).toEqual(['long']);
  });
});

describe('a listener that fails', () => {
  it('does not keep the plane from acting on the next change', async () => {
    const time = manualTime();
    const lab = new Lab({ now: time.clock.now, timers: time.timers }).apply(objectsOf(meshManifests(SHAPE)));
    await lab.settle();
    let settled = 0;
    lab.plane.onSettled(() => {
      settled++;
      throw new Error('of ours');
    });
    for (const address of ['10.99.0.1', '10.99.0.2']) {
      lab.apply(objectsOf(serviceManifests(SHAPE, 0, { address })));
      lab.plane.signal();
      time.advance(1_000);
      await new Promise((resolve) => setImmediate(resolve));
    }
    expect(settled).toBe(2);
  });
});

describe('those whom a change concerns', () => {
  it('are told in the order of their coming, whatever their class', async () => {
    const lab = new Lab().apply(objectsOf(meshManifests(SHAPE)));
    await lab.settle();
    for (let i = 0; i < 12; i++) lab.connect(proxyNode(SHAPE, i));
    await lab.settle();
    const told: string[] = [];
    for (const session of lab.plane.sessions) session.wake = () => told.push(session.proxy.namespace);
    lab.apply(objectsOf(serviceManifests(SHAPE, 20, { address: '10.99.0.1' })));
    await lab.settle();
    expect(told).toEqual([...lab.plane.sessions].map((session) => session.proxy.namespace));
    expect(new Set(told.slice(0, 3)).size).toBe(3);
  });
});

describe('a plane that is short of time', () => {
  it('sends nothing before everything is there, and then everything', async () => {
    let now = 0;
    const lab = new Lab({ now: () => (now += 100) }).apply(objectsOf(meshManifests(SHAPE)));
    await lab.settle();
    const proxy = lab.connect(proxyNode(SHAPE, 0));
    expect(lab.sessionOf(proxy).ready).toBe(false);
    lab.talk();
    expect(proxy.received.responses).toBe(0);
    await lab.settle();
    expect(proxy.held(CLUSTER).size).toBeGreaterThan(SHAPE.services);
    expect(lab.metrics.of('pilot_xds_pushes{cds}')).toBe(1);
  });

  it('brings everybody to the last of many changes', async () => {
    let now = 0;
    const lab = new Lab({ now: () => (now += 3) }).apply(objectsOf(meshManifests(SHAPE)));
    await lab.settle();
    for (let i = 0; i < 9; i++) lab.connect(proxyNode(SHAPE, i));
    const settled: Promise<void>[] = [];
    for (let round = 1; round <= 5; round++) {
      lab.apply(objectsOf(serviceManifests(SHAPE, 1, { address: `10.99.0.${round}` })));
      settled.push(lab.plane.settle());
      lab.connect(proxyNode(SHAPE, 9 + round));
    }
    await Promise.all(settled);
    await lab.settle();
    const views = lab.proxies.map((proxy) =>
      JSON.stringify(
        [...proxy.held('type.googleapis.com/envoy.config.endpoint.v3.ClusterLoadAssignment')]
          .filter(([name]) => name.includes('svc-1.'))
          .map(([, { bytes }]) => bytes.toString('latin1')),
      ),
    );
    expect(views).toHaveLength(14);
    for (const view of views) expect(view).toContain('10.99.0.5');
  });
});
