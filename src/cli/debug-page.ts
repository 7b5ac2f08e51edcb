// One debug page of a running control plane, over xDS. In: an address, a page, its query. Out: the page's JSON.
// Called by the commands that ask for pages.

import { UsageError } from './program.ts';
import { exactProxyId, matchingProxies, parseProxyName } from './proxy-name.ts';
import { proxyRows } from './sync-status.ts';
import { askDebug, SYNC_TYPE } from './xds-debug.ts';

const PAGE_TYPE = 'istio.io/debug';

/** Rejects with a UsageError that says what the server said where it gives no page. */
export async function askPage(
  address: string,
  page: string,
  query: Readonly<Record<string, string | undefined>> = {},
): Promise<unknown> {
  const given = Object.entries(query).flatMap(([key, value]) => (value === undefined ? [] : [[key, value]]));
  const parameters = new URLSearchParams(given as [string, string][]).toString();
  const name = parameters === '' ? page : `${page}?${parameters}`;
  const { resources } = await askDebug({ address, typeUrl: PAGE_TYPE, names: [name] });
  const text = Buffer.from(resources[0]?.bytes ?? new Uint8Array()).toString('utf8');
  try {
    return JSON.parse(text) as unknown;
  } catch {
    throw new UsageError(text === '' ? `${address} has no page ${page}` : text);
  }
}

/** The id of the one connected proxy that a user's name means. */
export async function proxyId(proxy: string, namespace: string | undefined, address: string): Promise<string> {
  const wanted = parseProxyName(proxy, namespace);
  const exact = exactProxyId(wanted);
  if (exact !== undefined) return exact;
  const rows = proxyRows(await askDebug({ address, typeUrl: SYNC_TYPE }));
  const [id, ...others] = matchingProxies(
    wanted,
    rows.map((row) => row.proxy),
  );
  if (id === undefined) throw new UsageError(`proxy ${proxy} is not connected to ${address}`);
  if (others.length > 0) throw new UsageError(`${proxy} may be any of ${[id, ...others].join(', ')}`);
  return id;
}
