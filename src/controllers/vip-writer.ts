// Virtual addresses of ServiceEntries, written into `status.addresses`: so all replicas, those that start later, and other
// readers of the object agree on them. In: what the registry allocated. Out: one list for each ServiceEntry, written once.
// Runs on the leader of the revision; docs/decisions/0011-virtual-addresses.md says why it is needed.

import type { ServiceEntryStatus } from '../config/core.ts';
import type { Table } from '../lib/table.ts';
import { tableGet, tableValues } from '../lib/table.ts';
import type { ServiceEntry } from '../registry/input.ts';
import { type Vips, vipClaims } from '../registry/vips.ts';
import { KubeError } from '../sources/kube-api.ts';
import type { ControllerPorts } from './ports.ts';
import { Reconciler } from './reconciler.ts';

export interface VipWriterOptions extends ControllerPorts {
  readonly vips: () => Vips;
  readonly entries: () => Table<ServiceEntry>;
  /** Of several revisions that serve an entry, one writes its status. */
  readonly owned: (entry: ServiceEntry) => boolean;
  /** Hears whenever either may be another; the result ends it. */
  readonly onChange: (listener: () => void) => () => void;
}

type Address = ServiceEntryStatus['addresses'][number];

const VIP_MANAGER = 'meltemi-vips';

export function vipController(options: VipWriterOptions, signal: AbortSignal): void {
  const { api, vips, entries, owned, meter } = options;
  const writes = meter.counter('meltemi_vip_writes_total', 'ServiceEntries whose virtual addresses were written.');
  const reconcile = async (key: string, during: AbortSignal): Promise<void> => {
    const entry = tableGet(entries(), key);
    const addresses = entry === undefined || !owned(entry) ? undefined : addressesToWrite(entry, vips());
    if (entry === undefined || addresses === undefined) return;
    const { apiVersion, namespace, name } = entry;
    const body = { apiVersion, kind: 'ServiceEntry', metadata: { name, namespace }, status: { addresses } };
    const path = `/apis/${apiVersion}/namespaces/${namespace}/serviceentries/${name}/status`;
    const query = { fieldManager: VIP_MANAGER, force: true };
    try {
      await api.send({ method: 'PATCH', patch: 'apply-patch', path, query, body, unread: true }, during);
      writes.inc();
    } catch (error) {
      if (!(error instanceof KubeError) || error.status !== 404) throw error;
    }
  };
  // What was written comes back by the watch; until then the same must not be written again.
  const queue = new Reconciler({ ...options, name: 'virtual addresses', reconcile, spacing: 2_000 }, signal);
  let seen: readonly unknown[] = [];
  const all = (): void => {
    const now = [entries(), vips()];
    if (now[0] === seen[0] && now[1] === seen[1]) return;
    seen = now;
    for (const entry of tableValues(entries()))
      if (owned(entry) && addressesToWrite(entry, vips()) !== undefined) queue.add(`${entry.namespace}/${entry.name}`);
  };
  signal.addEventListener('abort', options.onChange(all), { once: true });
  all();
}

/** What the status of an entry should say; undefined where it says that, or the entry has no virtual addresses. */
export function addressesToWrite(entry: ServiceEntry, vips: Vips): readonly Address[] | undefined {
  const claims = vipClaims(entry);
  if (claims.length === 0) return undefined;
  const wanted = claims.flatMap(({ key }): readonly Address[] => {
    const vip = vips.get(key);
    const host = key.slice(key.indexOf('/') + 1);
    return vip === undefined ? [] : [vip.v4, vip.v6].filter((value) => value !== '').map((value) => ({ host, value }));
  });
  const there = new Set((entry.status?.addresses ?? []).map(({ host, value }) => `${host} ${value}`));
  const same = wanted.length === there.size && wanted.every(({ host, value }) => there.has(`${host} ${value}`));
  return same || wanted.length === 0 ? undefined : wanted;
}
