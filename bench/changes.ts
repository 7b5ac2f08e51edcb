// What proxies wait for: a first sync, one endpoint, one route weight, one more service, a reconnect. The whole control plane
// and its streams in this process, without a network: translation, diffing and encoding, nothing else.

import { Lab, objectsOf } from '../test/plane/lab.ts';
import { type MeshShape, meshManifests, proxyNode, serviceManifests, trafficManifests } from './mesh.ts';
import type { Figure } from './report.ts';

export interface ChangesOptions {
  readonly shape: MeshShape;
  readonly proxies: number;
  readonly rounds: number;
}

export async function changes({ shape, proxies, rounds }: ChangesOptions): Promise<readonly Figure[]> {
  const lab = new Lab();
  const size = `${shape.services} services, ${proxies} proxies`;
  const timed = async (work: () => void): Promise<number> => {
    const started = performance.now();
    work();
    await lab.settle();
    return performance.now() - started;
  };
  const apply = (manifests: readonly unknown[]): Promise<number> => {
    const objects = objectsOf(manifests);
    return timed(() => lab.apply(objects));
  };
  const figure = (name: string, values: readonly number[]): Figure => ({
    name: `${name}: ${size}`,
    unit: 'ms',
    values,
  });
  const read = await apply(meshManifests(shape));
  const first = await timed(() => lab.connect(proxyNode(shape, 0)));
  const rest = await timed(() => {
    for (let i = 1; i < proxies; i++) lab.connect(proxyNode(shape, i));
  });
  const endpoint: number[] = [];
  const route: number[] = [];
  const service: number[] = [];
  for (let round = 0; round < rounds; round++) {
    endpoint.push(await apply(serviceManifests(shape, 1 + round, { address: `10.99.1.${1 + round}` })));
    route.push(await apply(trafficManifests(shape, 0, { weight: 10 + round })));
    service.push(
      await apply(serviceManifests({ ...shape, services: shape.services + 1 + round }, shape.services + round)),
    );
  }
  const reconnect = await timed(() => {
    for (const proxy of lab.proxies) proxy.reconnect();
  });
  const heap = process.memoryUsage().rss / 2 ** 20;
  return [
    figure('configuration read and linked', [read]),
    figure('first proxy, cold', [first]),
    figure('all other proxies', [rest]),
    figure('one endpoint', endpoint),
    figure('one route weight', route),
    figure('one more service', service),
    figure('all reconnect', [reconnect]),
    { name: `memory with both sides: ${size}`, unit: 'MB', values: [heap] },
  ];
}
