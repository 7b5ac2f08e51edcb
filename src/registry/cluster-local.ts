// Which hosts are reached in the proxy's own cluster only.

import { hostIndex } from '../lib/hosts.ts';
import type { RegistryOptions } from './input.ts';

/** The most specific setting of the mesh decides; system services are local unless one says otherwise. */
export function clusterLocalTest(options: RegistryOptions): (hostname: string) => boolean {
  const entries: [string, boolean][] = options.serviceSettings.flatMap(({ hosts, settings }) =>
    (hosts ?? []).map((host): [string, boolean] => [host, settings?.clusterLocal === true]),
  );
  const index = hostIndex([
    ...entries,
    [`*.kube-system.svc.${options.domain}`, true],
    [`kubernetes.default.svc.${options.domain}`, true],
  ]);
  return (hostname) => index.lookup(hostname) === true;
}
