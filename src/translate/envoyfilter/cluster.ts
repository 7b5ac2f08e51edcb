// CLUSTER patches. In: a cluster's draft. Out: the draft patched, or nothing. Matching looks at names only, so that the
// thousands of clusters that no patch means are never decoded.

import type { Draft } from '../../ir/draft.ts';
import { memo } from '../../lib/memo.ts';
import { type Fields, listOf, opened, openedDraft } from './fields.ts';
import type { Patch } from './patch.ts';
import { type Patched, PatchRun, patchedDraft } from './run.ts';
import type { PatchList } from './selection.ts';
import { mergedSocket, socketName, withoutSocket } from './transport-socket.ts';

const CLUSTER = 'envoy.config.cluster.v3.Cluster';
const SOCKET_MATCH = 'envoy.config.cluster.v3.Cluster.TransportSocketMatch';

/** `hosts`: for clusters of inbound ports, whose names have none: hostnames of the services behind, joined by commas. */
export const patchedCluster = memo((draft: Draft, patches: PatchList, hosts: string): Patched => {
  const run = new PatchRun(`cluster ${draft.name}`);
  let fields: Fields | undefined;
  for (const patch of patches) {
    if (!matchesCluster(patch, draft.name, hosts)) continue;
    if (patch.operation === 'REMOVE') {
      run.apply(patch);
      return patchedDraft(run, CLUSTER, draft, undefined);
    }
    if (patch.operation !== 'MERGE') continue;
    fields = mergedCluster(run, fields ?? openedDraft(CLUSTER, draft), patch);
  }
  return patchedDraft(run, CLUSTER, draft, fields);
});

/** Whether a patch takes the cluster of this name away, and with it what would be sent of its endpoints. */
export function removesCluster(patches: PatchList, name: string): boolean {
  return patches.some((patch) => patch.operation === 'REMOVE' && matchesCluster(patch, name, ''));
}

function matchesCluster({ match: { cluster } }: Patch, name: string, hosts: string): boolean {
  if (cluster === undefined) return true;
  if (cluster.name) return cluster.name === name;
  const parsed = parseClusterName(name);
  if (cluster.subset && cluster.subset !== parsed.subset) return false;
  const services = parsed.direction === 'inbound' && hosts !== '' ? hosts.split(',') : [parsed.host];
  if (cluster.service && !services.includes(cluster.service)) return false;
  return !cluster.portNumber || cluster.portNumber === parsed.port;
}

interface ClusterName {
  readonly direction: string;
  readonly port: number;
  readonly subset: string;
  readonly host: string;
}

/** `outbound|80|v1|HOST`, or with `_.` between the parts; empty parts for any other name. */
export function parseClusterName(name: string): ClusterName {
  const separator = name.startsWith('outbound_.') || name.startsWith('inbound_.') ? '_.' : '|';
  const [direction = '', port = '', subset = '', ...host] = name.split(separator);
  if (host.length === 0) return { direction: '', port: 0, subset: '', host: '' };
  return { direction, port: /^\d+$/.test(port) ? Number(port) : 0, subset, host: host.join(separator) };
}

function mergedCluster(run: PatchRun, fields: Fields, patch: Patch): Fields {
  const socket = patch.value['transportSocket'];
  const secured = socket === undefined ? fields : withSocket(run, fields, socket, patch);
  if (secured === undefined) return fields;
  const rest = withoutSocket(patch.value);
  return Object.keys(rest).length === 0 ? secured : (run.merged(CLUSTER, secured, patch, rest) as Fields);
}

/** Undefined where the socket can't go: Envoy takes the matches alone, or the one socket. */
function withSocket(run: PatchRun, fields: Fields, socket: unknown, patch: Patch): Fields | undefined {
  const matches = listOf(fields['transportSocketMatches']).map((each) => opened(SOCKET_MATCH, each));
  if (matches.length === 0) {
    return { ...fields, transportSocket: mergedSocket(run, fields['transportSocket'], socket, patch) };
  }
  const name = socketName(socket);
  const at = matches.findIndex((each) => socketName(each['transportSocket']) === name);
  if (at < 0) {
    run.refuse(patch, `none of its transport sockets is named ${name}`);
    return undefined;
  }
  const transportSocketMatches = matches.map((each, index) =>
    index === at ? { ...each, transportSocket: mergedSocket(run, each['transportSocket'], socket, patch) } : each,
  );
  return { ...fields, transportSocketMatches };
}
