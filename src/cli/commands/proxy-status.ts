// `meltemi proxy-status`: which proxies are connected, and how far they are with what they were sent.

import { outputFormat, structured, textTable } from '../output.ts';
import { type CommandContext, UsageError } from '../program.ts';
import { matchingProxies, parseProxyName } from '../proxy-name.ts';
import { type ProxyRow, proxyRows, stateTable, subscriptionTable } from '../sync-status.ts';
import { askDebug, type DebugAnswer, SYNC_TYPE } from '../xds-debug.ts';

export interface ProxyStatusFlags {
  readonly xdsAddress: string;
  readonly output: string;
  readonly verbosity: string;
  readonly namespace?: string;
}

const CLIENT_CONFIG = 'type.googleapis.com/envoy.service.status.v3.ClientConfig';
const GAP = 5;

export async function proxyStatus(
  proxy: string | undefined,
  flags: ProxyStatusFlags,
  { out }: CommandContext,
): Promise<number> {
  const format = outputFormat(flags.output, ['table', 'json', 'yaml']);
  if (!/^\d+$/.test(flags.verbosity)) throw new UsageError(`--verbosity ${flags.verbosity}: expected 0 or 1`, 64);
  const answer = await askDebug({ address: flags.xdsAddress, typeUrl: SYNC_TYPE });
  const rows = chosen(proxyRows(answer), proxy, flags);
  if (format === 'table') {
    const verbose = Number(flags.verbosity) > 0;
    out(textTable(verbose ? stateTable(rows, Date.now()) : subscriptionTable(rows), GAP));
  } else out(await structured(responseJson(answer, rows), format));
  return 0;
}

function chosen(rows: readonly ProxyRow[], proxy: string | undefined, flags: ProxyStatusFlags): readonly ProxyRow[] {
  if (proxy === undefined)
    return flags.namespace === undefined ? rows : rows.filter((row) => row.namespace === flags.namespace);
  const ids = new Set(
    matchingProxies(
      parseProxyName(proxy, flags.namespace),
      rows.map((row) => row.proxy),
    ),
  );
  const found = rows.filter((row) => ids.has(row.proxy));
  if (found.length === 0) throw new UsageError(`proxy ${proxy} is not connected to ${flags.xdsAddress}`);
  return found;
}

/** The answer as an envoy.service.discovery.v3.DiscoveryResponse, with the chosen resources only. */
function responseJson(answer: DebugAnswer, rows: readonly ProxyRow[]): object {
  return {
    versionInfo: answer.version,
    resources: rows.map((row) => ({ '@type': CLIENT_CONFIG, ...row.message })),
    typeUrl: answer.typeUrl,
    nonce: answer.nonce,
    controlPlane: { identifier: answer.identifier },
  };
}
