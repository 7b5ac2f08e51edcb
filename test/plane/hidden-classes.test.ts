// That what there is one of for each proxy has the hidden class of all others of its kind, as V8 tells:
// decision 91 says what it costs otherwise.

import { setFlagsFromString } from 'node:v8';
import { describe, expect, it } from 'vitest';
import { type MeshShape, meshManifests, proxyNode } from '../../bench/mesh.ts';
import type { Proxy } from '../../src/ir/proxy.ts';
import type { View } from '../../src/resources/view.ts';
import { planFor } from '../../src/xds/plan.ts';
import { NOTHING_HELD, type Selection } from '../../src/xds/subscription.ts';
import { Lab, objectsOf } from './lab.ts';

setFlagsFromString('--allow-natives-syntax');
// oxlint-disable-next-line no-implied-eval -- there is no other way to ask
const haveSameMap = new Function('a', 'b', 'return %HaveSameMap(a, b)') as (a: object, b: object) => boolean;

/** V8 takes its quick way only for what it has made some of. */
const MANY = 30;

const SHAPE: MeshShape = { services: MANY, endpoints: 1, namespaces: 1, routed: 0, flavour: 'kubernetes' };

function classesOf(objects: readonly object[]): number {
  const found: object[] = [];
  for (const each of objects) if (!found.some((other) => haveSameMap(each, other))) found.push(each);
  return found.length;
}

function many<T>(make: () => T): readonly T[] {
  return Array.from({ length: MANY }, () => make());
}

describe('hidden classes', () => {
  it('are shared by the proxies of a mesh, and by what each is linked to', async () => {
    const lab = new Lab().apply(objectsOf(meshManifests(SHAPE)));
    await lab.settle();
    for (let i = 0; i < MANY; i++) lab.connect(proxyNode(SHAPE, i));
    await lab.settle();
    const sessions = [...lab.plane.sessions];
    const proxies = sessions.map(({ proxy }): Proxy => proxy);
    const workloads = sessions.flatMap(({ workload }) => workload ?? []);
    expect(new Set(workloads).size).toBe(MANY);
    expect(classesOf(proxies)).toBe(1);
    expect(classesOf(workloads)).toBe(1);
    expect(classesOf(workloads.map(({ proxyClass }) => proxyClass.settings))).toBe(1);
  });

  it('are shared by the plans of streams', () => {
    const plans = many(() => {
      const view: View = { typeUrl: 't', parts: [] };
      const { selection } = NOTHING_HELD;
      const wants: Selection = { wildcard: true, set: selection.set };
      const input = {
        held: NOTHING_HELD,
        wants,
        view,
        asked: undefined,
        everything: false,
        again: [],
        rejected: undefined,
      };
      return planFor(input);
    });
    expect(classesOf(plans)).toBe(1);
  });
});
