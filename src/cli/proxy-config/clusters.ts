// `proxy-config cluster`.

import { type Dump, resourcesOf } from './dump.ts';
import { type Json, textAt } from './json.ts';
import { byClusterName, managedBy, parseClusterName } from './names.ts';

export interface ClusterFilter {
  readonly fqdn: string;
  readonly port: number;
  readonly subset: string;
  readonly direction: string;
}

/** The clusters of a dump that fit, in order. */
export function clusters(dump: Dump, filter: ClusterFilter): readonly Json[] {
  return resourcesOf(dump, 'ClustersConfigDump', [
    ['dynamicActiveClusters', 'cluster'],
    ['staticClusters', 'cluster'],
  ])
    .filter((cluster) => fits(textAt(cluster, 'name'), filter))
    .sort((a, b) => byClusterName(textAt(a, 'name'), textAt(b, 'name')));
}

function fits(name: string, { fqdn, port, subset, direction }: ClusterFilter): boolean {
  return [fqdn, subset, direction].every((part) => name.includes(part)) && (port === 0 || name.includes(`|${port}|`));
}

/** One row a cluster; `prefix` adds the column that tells the kinds of a full dump apart. */
export function clusterTable(found: readonly Json[], prefix: boolean): readonly (readonly string[])[] {
  const header = ['SERVICE FQDN', 'PORT', 'SUBSET', 'DIRECTION', 'TYPE', 'DESTINATION RULE'];
  const rows = found.map((cluster) => {
    const name = textAt(cluster, 'name');
    const parts = parseClusterName(name);
    const type = textAt(cluster, 'type') || 'STATIC';
    const shown = prefix && name !== '' ? `cluster/${name}` : name;
    const cells =
      parts === undefined
        ? [shown, '-', '-', '-', type, managedBy(cluster)]
        : [parts.host, `${parts.port}`, parts.subset || '-', parts.direction, type, managedBy(cluster)];
    return prefix ? [shown, ...cells] : cells;
  });
  return [prefix ? ['NAME', ...header] : header, ...rows];
}
