// Classes outlive their last proxy for a while, and not for longer.

import { describe, expect, it } from 'vitest';
import { type MeshShape, meshManifests, proxyNode, serviceManifests } from '../../bench/mesh.ts';
import { renderRuns } from '../../src/translate/counts.ts';
import { ManualTimers } from '../xds/support.ts';
import { CLUSTER, Lab, objectsOf } from './lab.ts';

const SHAPE: MeshShape = { services: 20, endpoints: 2, namespaces: 2, routed: 0.5, flavour: 'kubernetes' };

async function started(timers: ManualTimers): Promise<Lab> {
  const lab = new Lab({ timers }).apply(objectsOf(meshManifests(SHAPE)));
  await lab.settle();
  lab.connect(proxyNode(SHAPE, 0));
  await lab.settle();
  return lab;
}

function leave(lab: Lab): void {
  for (const proxy of [...lab.proxies]) lab.disconnect(proxy);
}

describe('a class whose last proxy has left', () => {
  it('is there when the proxy comes back, and follows what changed meanwhile', async () => {
    const lab = await started(new ManualTimers());
    leave(lab);
    expect([lab.plane.classes.size, lab.plane.resting]).toEqual([0, 1]);
    const before = renderRuns();
    lab.connect(proxyNode(SHAPE, 0));
    await lab.settle();
    expect(renderRuns()).toEqual(before);
    expect([lab.plane.classes.size, lab.plane.resting]).toEqual([1, 0]);
    leave(lab);
    const grown = { ...SHAPE, services: SHAPE.services + 1 };
    lab.apply(objectsOf(serviceManifests(grown, SHAPE.services)));
    await lab.settle();
    const proxy = lab.connect(proxyNode(SHAPE, 0));
    await lab.settle();
    expect([...proxy.held(CLUSTER).keys()].some((name) => name.includes(`svc-${SHAPE.services}.`))).toBe(true);
  });

  it('is kept with all others, however many were in use, and among those that never were at once the oldest go', async () => {
    const wide: MeshShape = { ...SHAPE, services: 70, endpoints: 1, namespaces: 70 };
    const lab = new Lab({ timers: new ManualTimers() }).apply(objectsOf(meshManifests(wide)));
    await lab.settle();
    const comeAndLeave = async (indexes: readonly number[]): Promise<void> => {
      for (const each of indexes) lab.connect(proxyNode(wide, each));
      await lab.settle();
      leave(lab);
    };
    const all = Array.from({ length: wide.services }, (_, each) => each);
    for (const each of all) await comeAndLeave([each]);
    expect(lab.plane.resting).toBe(64);
    await comeAndLeave(all);
    expect(lab.plane.resting).toBe(70);
    const before = renderRuns();
    await comeAndLeave(all);
    expect(renderRuns()).toEqual(before);
  });

  it('is forgotten when nobody comes back', async () => {
    const timers = new ManualTimers();
    const lab = await started(timers);
    leave(lab);
    timers.advance(29_000);
    expect(lab.plane.resting).toBe(1);
    timers.advance(60_000);
    expect([lab.plane.resting, timers.pending]).toEqual([0, 0]);
  });
});
