// The built server as a process of its own, a mesh from files, and fake proxies over real gRPC: what connecting, changing and
// reconnecting cost the server, and how long a change takes from the file to every proxy.
// CPU and memory are the server's, read from /proc; the proxies share the machine with it.

import { mkdirSync, mkdtempSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { TYPE_URL } from '../src/ir/draft.ts';
import type { Mode } from '../src/xds/encode.ts';
import { Fleet } from './fleet.ts';
import { hostOf, type MeshShape, meshManifests, proxyNode, serviceManifests, trafficManifests } from './mesh.ts';
import { cpuOf, ServerProcess } from './process.ts';
import type { Figure } from './report.ts';

export interface SyncOptions {
  readonly shape: MeshShape;
  readonly proxies: number;
  readonly rounds: number;
  readonly mode: Mode;
}

export async function sync(options: SyncOptions): Promise<readonly Figure[]> {
  const folder = new MeshFolder(options.shape);
  try {
    const server = await ServerProcess.start(folder.path);
    const fleet = new Fleet();
    try {
      return await measured(options, folder, server, fleet);
    } finally {
      fleet.close();
      await server.stop();
    }
  } finally {
    folder.delete();
  }
}

async function measured(
  { shape, proxies, rounds, mode }: SyncOptions,
  folder: MeshFolder,
  server: ServerProcess,
  fleet: Fleet,
): Promise<readonly Figure[]> {
  const size = `${shape.services} services, ${proxies} proxies, ${mode}`;
  const figures: Figure[] = [];
  const note = (name: string, unit: string, values: readonly (number | undefined)[]): void => {
    const known = values.filter((value) => value !== undefined);
    if (known.length > 0) figures.push({ name: `${name}: ${size}`, unit, values: known });
  };
  const { readyMs, rssMb: idle = 0 } = server;
  note('server ready', 'ms', [readyMs]);
  note('server CPU until ready', 'ms', [server.cpuMs]);
  const started = performance.now();
  const nodes = Array.from({ length: proxies }, (_, i) => proxyNode(shape, i));
  const cpu = await cpuOf(server, () => fleet.connect(server.grpc, nodes, mode));
  note('all proxies synced', 'ms', [performance.now() - started]);
  note('server CPU for it, per proxy', 'ms', [cpu === undefined ? undefined : cpu / proxies]);
  note('sent for it, per proxy', 'KB', [fleet.received.bytes / proxies / 1000]);
  note('server memory, peak', 'MB', [server.peakMb]);
  await fleet.silence();
  note('server memory, per proxy', 'KB', [((server.rssMb ?? idle) - idle) * (1024 / proxies)]);
  for (const change of CHANGES) await changed(change, { shape, proxies, rounds, mode }, folder, server, fleet, note);
  fleet.reset();
  const again = await cpuOf(server, async () => {
    fleet.reconnect();
    await fleet.silence();
  });
  note('server CPU for reconnecting, per proxy', 'ms', [again === undefined ? undefined : again / proxies]);
  note('resources sent again to who reconnects', '', [fleet.received.resources]);
  return figures;
}

interface Change {
  readonly name: string;
  readonly typeUrl: string;
  /** File, its manifests, and the text by which proxies know that they have it. */
  make(
    shape: MeshShape,
    round: number,
  ): { readonly file: string; readonly manifests: readonly object[]; readonly text: string };
}

const CHANGES: readonly Change[] = [
  {
    name: 'endpoint',
    typeUrl: TYPE_URL.endpoint,
    make: (shape, round) => {
      const address = `100.64.0.${1 + round}`;
      return { file: fileOf(1), manifests: serviceManifests(shape, 1, { address }), text: address };
    },
  },
  {
    name: 'route',
    typeUrl: TYPE_URL.route,
    make: (shape, round) => {
      const manifests = trafficManifests(shape, 0, { weight: 11 + round });
      // weighted_clusters.clusters {weight {value}}: field 2, length 2, field 1, value.
      return { file: trafficFileOf(0), manifests, text: String.fromCharCode(0x12, 2, 8, 11 + round) };
    },
  },
  {
    name: 'new service',
    typeUrl: TYPE_URL.cluster,
    make: (shape, round) => {
      const index = shape.services + round;
      const manifests = serviceManifests(shape, index);
      return { file: fileOf(index), manifests, text: hostOf(shape, index) };
    },
  },
];

async function changed(
  { name, typeUrl, make }: Change,
  { shape, proxies, rounds }: SyncOptions,
  folder: MeshFolder,
  server: ServerProcess,
  fleet: Fleet,
  note: (name: string, unit: string, values: readonly (number | undefined)[]) => void,
): Promise<void> {
  const [halves, lasts, costs, sizes, responses]: [number[], number[], (number | undefined)[], number[], number[]] = [
    [],
    [],
    [],
    [],
    [],
  ];
  for (let round = 0; round < rounds; round++) {
    const { file, manifests, text } = make(shape, round);
    fleet.reset();
    const cost = await cpuOf(server, async () => {
      const seen = fleet.watch(typeUrl, text);
      const from = performance.now();
      folder.write(file, manifests);
      const moments = (await seen).map((at) => at - from).sort((a, b) => a - b);
      halves.push(moments[Math.floor(moments.length / 2)] ?? 0);
      lasts.push(moments.at(-1) ?? 0);
      await fleet.silence();
    });
    costs.push(cost);
    sizes.push(fleet.received.bytes / proxies);
    responses.push(fleet.received.responses / proxies);
  }
  note(`${name}: half of the proxies have it`, 'ms', halves);
  note(`${name}: all have it`, 'ms', lasts);
  note(`${name}: server CPU`, 'ms', costs);
  note(`${name}: bytes per proxy`, '', sizes);
  note(`${name}: responses per proxy`, '', responses);
}

function fileOf(index: number): string {
  return `svc-${index}`;
}

function trafficFileOf(index: number): string {
  return `traffic-${index}`;
}

/** A file for each service, and one for the routing of each that has some. */
class MeshFolder {
  readonly path: string;

  constructor(shape: MeshShape) {
    this.path = mkdtempSync(join(tmpdir(), 'meltemi-bench-'));
    mkdirSync(join(this.path, '.draft'));
    this.write('namespaces', meshManifests({ ...shape, services: 0 }));
    for (let index = 0; index < shape.services; index++) {
      this.write(fileOf(index), serviceManifests(shape, index));
      const traffic = trafficManifests(shape, index);
      if (traffic.length > 0) this.write(trafficFileOf(index), traffic);
    }
  }

  /** By rename, as careful tools write. */
  write(name: string, manifests: readonly object[]): void {
    const draft = join(this.path, '.draft', name);
    writeFileSync(draft, manifests.map((manifest) => JSON.stringify(manifest)).join('\n---\n'));
    renameSync(draft, join(this.path, `${name}.yaml`));
  }

  delete(): void {
    rmSync(this.path, { recursive: true, force: true });
  }
}
