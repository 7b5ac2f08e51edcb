// `meltemi version`: of this binary and, when asked, of a control plane and its proxies.

import { parseControlPlaneId } from '../../console/control-plane-id.ts';
import { compareStrings } from '../../lib/order.ts';
import { booleanFlag, outputFormat, structured } from '../output.ts';
import { packageVersion } from '../package-version.ts';
import type { CommandContext } from '../program.ts';

export interface VersionFlags {
  readonly xdsAddress: string;
  readonly output: string;
  readonly short: string | boolean;
  readonly remote?: boolean;
}

interface Remote {
  readonly component: string;
  readonly version: string;
  readonly proxies: readonly { readonly id: string; readonly version: string }[];
}

export async function version(flags: VersionFlags, { out }: CommandContext): Promise<number> {
  const format = outputFormat(flags.output, ['table', 'json', 'yaml']);
  const client = packageVersion();
  const remote = flags.remote === true ? await askVersions(flags.xdsAddress) : undefined;
  out(
    format === 'table'
      ? versionText(client, remote, booleanFlag('short', flags.short))
      : await structured(json(client, remote), format),
  );
  return 0;
}

async function askVersions(address: string): Promise<Remote> {
  const { askDebug, SYNC_TYPE } = await import('../xds-debug.ts');
  const { proxyRows } = await import('../sync-status.ts');
  const answer = await askDebug({ address, typeUrl: SYNC_TYPE });
  const id = parseControlPlaneId(answer.identifier);
  return {
    component: id?.component ?? '',
    version: id?.version ?? 'unknown',
    proxies: proxyRows(answer).map((row) => ({ id: row.proxy, version: row.version || 'unknown' })),
  };
}

/** One line each; the long form also says what this binary runs on. */
export function versionText(client: string, remote: Remote | undefined, short: boolean): string {
  const runsOn = short ? '' : ` (Node.js ${process.versions.node}, ${process.platform} ${process.arch})`;
  const lines = [`client version: ${client}${runsOn}`];
  if (remote !== undefined) {
    lines.push(`control plane version: ${remote.version}`, `data plane version: ${proxyVersions(remote.proxies)}`);
  }
  return `${lines.join('\n')}\n`;
}

function proxyVersions(proxies: Remote['proxies']): string {
  const counts = new Map<string, number>();
  for (const proxy of proxies) counts.set(proxy.version, (counts.get(proxy.version) ?? 0) + 1);
  if (counts.size === 0) return 'none';
  return [...counts]
    .sort((a, b) => compareStrings(a[0], b[0]))
    .map(([name, count]) => `${name} (${count} proxies)`)
    .join(', ');
}

function json(client: string, remote: Remote | undefined): object {
  const info = (name: string): object => ({ version: name });
  if (remote === undefined) return { clientVersion: info(client) };
  return {
    clientVersion: info(client),
    meshVersion: [{ Component: remote.component, Revision: '', Info: info(remote.version) }],
    dataPlaneVersion: remote.proxies.map((proxy) => ({ ID: proxy.id, IstioVersion: proxy.version })),
  };
}
