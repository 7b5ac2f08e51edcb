// The mesh-wide settings from a cluster: ConfigMap `istio` or `istio-REVISION` of the system namespace, and a shared one
// below it (SHARED_MESH_CONFIG), read again as they change. In: an API server. Out: parsed values over defaults.
// Called by server/config.ts where no file is given. A ConfigMap that is absent means defaults; one that can't be read
// keeps what was read last.

import type { Log, Timers } from '../lib/ports.ts';
import type { KubeApi } from './kube-api.ts';
import { KubeCache } from './kube-cache.ts';
import { isRecord } from './kube-discovery.ts';
import {
  configMapReading,
  DEFAULT_SETTINGS,
  type MeshSettings,
  type MeshSource,
  NOTHING,
  settingsOf,
} from './mesh-reading.ts';

export interface KubeMeshOptions {
  readonly api: KubeApi;
  readonly log: Log;
  readonly timers: Timers;
  readonly systemNamespace: string;
  /** Empty for the unnamed one. */
  readonly revision: string;
  /** Name of a ConfigMap whose settings hold where the revision's own says nothing. */
  readonly shared?: string | undefined;
  /** Called after each change but the first; values that are equal are the same objects as before. */
  readonly onChange: (settings: MeshSettings) => void;
}

export function meshConfigMapName(revision: string): string {
  return revision === '' || revision === 'default' ? 'istio' : `istio-${revision}`;
}

export function kubeMesh(options: KubeMeshOptions): MeshSource {
  const { api, log, timers, systemNamespace, shared } = options;
  const stop = new AbortController();
  const name = meshConfigMapName(options.revision);
  let settings: MeshSettings = DEFAULT_SETTINGS;
  let started = false;
  const follow = (map: string): KubeCache =>
    new KubeCache({
      api,
      log,
      timers,
      apiVersion: 'v1',
      path: `/api/v1/namespaces/${systemNamespace}/configmaps`,
      fieldSelector: `metadata.name=${map}`,
      onChange: () => {
        if (started) reload();
      },
    });
  const own = follow(name);
  const below = shared === undefined || shared === '' || shared === name ? undefined : follow(shared);
  const dataOf = (cache: KubeCache | undefined): Readonly<Record<string, unknown>> => {
    const [map] = cache?.objects.values() ?? [];
    const data = map?.['data'];
    return isRecord(data) ? data : {};
  };
  const reload = (): void => {
    const before = settings;
    const origin = `configmap ${systemNamespace}/${name}`;
    const next = settingsOf(configMapReading(dataOf(own), origin, dataOf(below)), NOTHING, before);
    if (next.mesh === before.mesh && next.networks === before.networks && next.findings === before.findings) return;
    settings = next;
    for (const finding of next.findings) log.warn({ finding }, 'mesh configuration');
    if (started) options.onChange(next);
  };
  let running: Promise<unknown> = Promise.resolve();
  return {
    start: async () => {
      running = Promise.all([own.run(stop.signal), below?.run(stop.signal)]);
      await Promise.all([own.synced(), below?.synced()]);
      reload();
      started = true;
      return settings;
    },
    current: () => settings,
    stop: async () => {
      stop.abort();
      await running;
    },
  };
}
