// Virtual hosts in runs: some dozens of neighbours, encoded one behind the other. Of a thousand, classes and changes have nearly
// all runs in common: a RouteConfiguration is put together from those, and none of its bytes is copied.
// In: virtual hosts in order, the runs of a RouteConfiguration that is much the same. Out: runs. Called by route-config.ts.

import { asField } from '../../codec/index.ts';
import { fnv1a } from '../../lib/hash.ts';
import { stamp } from '../../lib/stamp.ts';
import type { VirtualHost } from './route-config.ts';

export interface HostRun {
  readonly hosts: readonly VirtualHost[];
  readonly bytes: Uint8Array;
  /** It ends where it does whatever comes behind it. */
  readonly closed: boolean;
}

/** A run is at least so long, bytes: what is shorter is copied for each proxy that it is sent to. */
const LEAST = 16 * 1024;

/** From that on it ends with one in so many names: a name that comes or goes moves the ends of the runs beside it alone. */
const ONE_IN = 32;

/** Where no name ends it. */
const MOST = 64 * 1024;

/** Runs with the same beginning that are remembered: classes make the same one, between others that are their own. */
const MAX_RECENT = 16;

/** `field`: the number under which the hosts stand. Where a run ends depends on nothing in front of it. */
export function hostRuns(
  field: number,
  hosts: readonly VirtualHost[],
  before: readonly HostRun[] | undefined,
): readonly HostRun[] {
  const known = new Map(before?.map((run) => [run.hosts[0], run]));
  const runs: HostRun[] = [];
  for (let from = 0; from < hosts.length; ) {
    const first = hosts[from] as VirtualHost;
    const run = standing(known.get(first), hosts, from) ?? recentRun(first, hosts, from) ?? newRun(field, hosts, from);
    runs.push(run);
    from += run.hosts.length;
  }
  return runs;
}

/** By the first of their hosts; the one that was asked for last comes first. */
const recent = stamp<VirtualHost, readonly WeakRef<HostRun>[]>();

function recentRun(first: VirtualHost, hosts: readonly VirtualHost[], from: number): HostRun | undefined {
  const refs = recent.get(first) ?? [];
  for (const [at, ref] of refs.entries()) {
    const run = standing(ref.deref(), hosts, from);
    if (run === undefined) continue;
    if (at > 0) recent.set(first, [ref, ...refs.filter((each) => each !== ref)]);
    return run;
  }
  return undefined;
}

/** The run, if it is one of the list. */
function standing(run: HostRun | undefined, hosts: readonly VirtualHost[], from: number): HostRun | undefined {
  if (run === undefined) return undefined;
  const { length } = run.hosts;
  if (!run.closed && from + length !== hosts.length) return undefined;
  for (let at = 0; at < length; at++) if (run.hosts[at] !== hosts[from + at]) return undefined;
  return run;
}

function newRun(field: number, hosts: readonly VirtualHost[], from: number): HostRun {
  let size = 0;
  let closed = false;
  let to = from;
  while (to < hosts.length && !closed) {
    const { name, message } = hosts[to++] as VirtualHost;
    size += message.bytes.length;
    closed = size >= LEAST && (size >= MOST || fnv1a(name) % ONE_IN === 0);
  }
  const own = hosts.slice(from, to);
  const messages = own.map((host) => host.message.bytes);
  const run = { hosts: own, bytes: asField(field, messages), closed };
  const first = hosts[from] as VirtualHost;
  const others = (recent.get(first) ?? []).filter((ref) => ref.deref() !== undefined);
  recent.set(first, [new WeakRef(run), ...others.slice(0, MAX_RECENT - 1)]);
  return run;
}
