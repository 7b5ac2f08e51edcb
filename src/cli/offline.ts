// A mesh from manifests alone, as `analyze` and `diff` look at one. In: manifests, flags. Out: a mesh nobody is served from.

import { type OfflineMesh, offlineMesh } from '../server/offline.ts';
import { eventsOf, type Manifest } from '../sources/manifests.ts';
import { environmentOf } from './environment.ts';
import type { CommandContext } from './program.ts';

/** Flags that, with the environment, say what `serve` would be told. */
export interface OfflineFlags {
  readonly meshConfig: string;
  readonly networksConfig: string;
  readonly domain: string;
  readonly clusterID: string;
}

/** Unknown fields are warnings: what is looked at may be newer than this program. */
export function meshOfManifests(
  documents: readonly Manifest[],
  { meshConfig, networksConfig, domain, clusterID }: OfflineFlags,
  { env }: CommandContext,
): Promise<OfflineMesh> {
  return offlineMesh({
    events: eventsOf(documents, { unknownFields: 'warning' }),
    ...{ meshConfig, networksConfig, domain, clusterId: clusterID },
    ...environmentOf(env),
  });
}
