// ExternalName services: which concrete host each one leads to, through others if need be.

import { compareStrings } from '../lib/order.ts';
import { sameList } from '../lib/table.ts';
import type { Change } from './groups.ts';
import { type KubeService, kubeHostname } from './input.ts';
import { aliasTarget } from './kube-service.ts';

export interface Aliases {
  /** From the host of each ExternalName service to the host that it names. */
  readonly targets: ReadonlyMap<string, string>;
  /** From a host that is no alias to all aliases that lead there, sorted. */
  readonly of: ReadonlyMap<string, readonly string[]>;
  /** Aliases that lead to each other and nowhere else. */
  readonly loops: ReadonlySet<string>;
}

export const NO_ALIASES: Aliases = { targets: new Map(), of: new Map(), loops: new Set() };

/** The next state, and the hosts for which something differs. Without a changed ExternalName it is the same object. */
export function updateAliases(
  aliases: Aliases,
  changes: readonly Change<KubeService>[],
  domain: string,
): { readonly aliases: Aliases; readonly touched: readonly string[] } {
  let targets: Map<string, string> | undefined;
  for (const [, before, after] of changes) {
    const object = after ?? before;
    if (object === undefined) continue;
    const host = kubeHostname(object.name, object.namespace, domain);
    const target = after === undefined ? undefined : aliasTarget(after.spec);
    if (aliases.targets.get(host) === target) continue;
    targets ??= new Map(aliases.targets);
    if (target === undefined) targets.delete(host);
    else targets.set(host, target);
  }
  if (targets === undefined) return { aliases, touched: [] };
  const next = resolveAliases(targets, aliases);
  const touched = new Set<string>();
  for (const host of [...aliases.of.keys(), ...next.of.keys()]) {
    if (aliases.of.get(host) !== next.of.get(host)) touched.add(host);
  }
  for (const host of [...aliases.loops, ...next.loops]) {
    if (aliases.loops.has(host) !== next.loops.has(host)) touched.add(host);
  }
  return { aliases: next, touched: [...touched] };
}

function resolveAliases(targets: ReadonlyMap<string, string>, before: Aliases): Aliases {
  const lists = new Map<string, string[]>();
  const loops = new Set<string>();
  for (const host of targets.keys()) {
    const end = endOf(host, targets);
    if (end === undefined) loops.add(host);
    else lists.set(end, [...(lists.get(end) ?? []), host]);
  }
  const of = new Map<string, readonly string[]>();
  for (const [end, hosts] of lists) {
    hosts.sort(compareStrings);
    const kept = before.of.get(end);
    of.set(end, kept !== undefined && sameList(kept, hosts) ? kept : hosts);
  }
  return { targets, of, loops };
}

/** The host at the end of the chain; undefined for a loop. */
function endOf(host: string, targets: ReadonlyMap<string, string>): string | undefined {
  const seen = new Set<string>();
  let current = host;
  for (;;) {
    const next = targets.get(current);
    if (next === undefined) return current;
    if (seen.has(current)) return undefined;
    seen.add(current);
    current = next;
  }
}
