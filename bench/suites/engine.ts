// What proxies wait for, without a network: the whole control plane, its streams and the proxies in this process. Time and
// counts of a first sync, of each kind of change, of a reconnect: translation, diffing and encoding, nothing else.

import { CHANGES } from '../changes.ts';
import type { Notebook } from '../figures.ts';
import { type MeshShape, meshManifests, proxyNode } from '../mesh.ts';
import { cpuMs } from '../clock.ts';
import { Lab, objectsOf } from '../../test/plane/lab.ts';
import { workDone, type Work } from './work.ts';

export interface EngineOptions {
  readonly shape: MeshShape;
  readonly proxies: number;
  readonly rounds: number;
}

export async function engine({ shape, proxies, rounds }: EngineOptions, notes: Notebook): Promise<void> {
  const lab = new Lab({ lean: true });
  const timed = async (work: () => void): Promise<number> => {
    const started = cpuMs();
    work();
    await lab.settle();
    return cpuMs() - started;
  };
  const put = (manifests: readonly object[]): Promise<number> => {
    const objects = objectsOf(manifests);
    return timed(() => lab.apply(objects));
  };
  const first = CHANGES.flatMap(({ before }) => before?.(shape).manifests ?? []);
  notes.cost('configuration linked: CPU', 'ms', [await put([...meshManifests(shape), ...first])]);
  notes.cost('first proxy: CPU', 'ms', [await timed(() => lab.connect(proxyNode(shape, 0)))]);
  const others = await timed(() => {
    for (let i = 1; i < proxies; i++) lab.connect(proxyNode(shape, i));
  });
  notes.cost('each further proxy: CPU', 'ms', [others / Math.max(1, proxies - 1)]);
  for (const { name, make, undo } of CHANGES) {
    const costs: number[] = [];
    const works: Work[] = [];
    for (let round = 0; round < rounds; round++) {
      works.push(
        await workDone(lab, async () => {
          costs.push(await put(make(shape, round).manifests));
        }),
      );
      const undone = undo?.(shape, round);
      if (undone !== undefined) await put(undone.manifests);
    }
    notes.cost(`${name}: CPU`, 'ms', costs);
    for (const counter of ['rendered', 'encoded', 'links', 'pushes'] as const)
      notes.cost(
        `${name}: ${counter}`,
        '',
        works.map((work) => work[counter]),
      );
  }
  const again = await timed(() => {
    for (const proxy of lab.proxies) proxy.reconnect();
  });
  notes.cost('each reconnect: CPU', 'ms', [again / proxies]);
}
