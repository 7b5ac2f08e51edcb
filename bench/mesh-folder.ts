// A mesh as a folder of files: one for each service, one for the routing of each that has some.

import { mkdirSync, mkdtempSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type MeshShape, meshManifests, serviceManifests, trafficManifests } from './mesh.ts';

export function fileOf(index: number): string {
  return `svc-${index}`;
}

export function trafficFileOf(index: number): string {
  return `traffic-${index}`;
}

export class MeshFolder {
  readonly path: string;

  constructor(shape: MeshShape) {
    this.path = mkdtempSync(join(tmpdir(), 'meltemi-bench-'));
    mkdirSync(join(this.path, '.draft'));
    this.write('namespaces', meshManifests({ ...shape, services: 0 }));
    this.writeServices(shape, 0, shape.services);
  }

  /** Services from one number up to another one, with the routing of those that have some. */
  writeServices(shape: MeshShape, from: number, to: number): void {
    for (let index = from; index < to; index++) {
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
