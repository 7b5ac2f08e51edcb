// The service table: from Services and ServiceEntries to services by hostname.
// In: changes of the objects. Out: the next table and the hosts that were looked at. Called by registry.ts.

import type { Finding } from '../config/object.ts';
import type { Service } from '../ir/service.ts';
import { deepEqual } from '../lib/equal.ts';
import { compareStrings } from '../lib/order.ts';
import { emptyTable, type Table, tableEntries, tableGet, tableValues, tableWith } from '../lib/table.ts';
import { type Aliases, NO_ALIASES, updateAliases } from './aliases.ts';
import type { ChangeSet } from './change-set.ts';
import { clusterLocalTest } from './cluster-local.ts';
import { keepFindings, newFindings } from './findings.ts';
import { regroup } from './groups.ts';
import { type Claim, compareClaims, type HostContext, isKubeService, servicesOfHost } from './host-services.ts';
import { kubeHostname, type RegistryOptions, type RegistryTables, type ServiceEntry } from './input.ts';
import { ANNOTATION } from './labels.ts';
import { allocateVips, hostOf, NO_VIPS, type Vips, vipClaims } from './vips.ts';

export interface ServicesState {
  /** Objects that define each host, in registry order. */
  readonly claims: Table<readonly Claim[]>;
  readonly aliases: Aliases;
  readonly vips: Vips;
  readonly table: Table<readonly Service[]>;
  readonly findings: Table<readonly Finding[]>;
  readonly vipFindings: readonly Finding[];
}

export interface ServicesStep {
  readonly state: ServicesState;
  /** Hosts whose objects changed, whether or not the services came out different. */
  readonly claimed: readonly string[];
  readonly built: number;
}

export const NO_SERVICES: ServicesState = {
  claims: emptyTable(),
  aliases: NO_ALIASES,
  vips: NO_VIPS,
  table: emptyTable(),
  findings: emptyTable(),
  vipFindings: [],
};

/**
 * `state` is where the changes lead from. `kept` holds the results of the build before, whatever options that one
 * had: equal services keep their identity.
 */
export function updateServices(
  state: ServicesState,
  kept: ServicesState,
  tables: RegistryTables,
  changes: ChangeSet,
  options: RegistryOptions,
): ServicesStep {
  const hosts = (claim: Claim): string[] => hostsOf(claim, options.domain);
  const claims = regroup<Claim>(state.claims, [...changes.services, ...changes.serviceEntries], hosts, compareClaims);
  const { aliases, touched } = updateAliases(state.aliases, changes.services, options.domain);
  const vips = updateVips(state, kept.vips, tables, changes, options);
  const dirty = new Set<string>([...claims.touched, ...touched, ...vips.touched]);
  for (const host of hostsOfNamespaces(namespaceChanges(changes, options), claims.index)) dirty.add(host);
  const context: HostContext = {
    options,
    vips: vips.vips,
    aliases,
    clusterLocal: clusterLocalTest(options),
    namespaceDistribution: (name) =>
      tableGet(tables.namespaces, `/${name}`)?.annotations[ANNOTATION.trafficDistribution],
    namespaceLabels: (name) => tableGet(tables.namespaces, `/${name}`)?.labels ?? {},
  };
  const next = buildHosts([...dirty], claims.index, context, state, kept);
  return {
    state: { claims: claims.index, aliases, vips: vips.vips, vipFindings: vips.findings, ...next },
    claimed: claims.touched,
    built: dirty.size,
  };
}

function buildHosts(
  hosts: readonly string[],
  claims: Table<readonly Claim[]>,
  context: HostContext,
  state: ServicesState,
  kept: ServicesState,
): Pick<ServicesState, 'table' | 'findings'> {
  const services: [string, readonly Service[] | undefined][] = [];
  const found: [string, readonly Finding[] | undefined][] = [];
  for (const host of hosts) {
    const claimed = tableGet(claims, host);
    const findings = newFindings();
    const before = tableGet(kept.table, host);
    services.push([host, claimed && servicesOfHost(host, claimed, context, findings, before)]);
    found.push([host, keepFindings(tableGet(kept.findings, host), findings.list)]);
  }
  return { table: tableWith(state.table, services), findings: tableWith(state.findings, found) };
}

/** Hosts that an object defines, each once. */
function hostsOf(claim: Claim, domain: string): string[] {
  if (isKubeService(claim)) return [kubeHostname(claim.name, claim.namespace, domain)];
  return [...new Set(claim.spec.hosts ?? [])];
}

interface VipStep {
  readonly vips: Vips;
  readonly findings: readonly Finding[];
  readonly touched: readonly string[];
}

function updateVips(
  state: ServicesState,
  kept: Vips,
  tables: RegistryTables,
  changes: ChangeSet,
  options: RegistryOptions,
): VipStep {
  if (!changes.serviceEntries.some(([, before, after]) => !sameVipInputs(before, after))) {
    return { vips: state.vips, findings: state.vipFindings, touched: [] };
  }
  const entries = [...tableValues(tables.serviceEntries)];
  const claims = options.autoAllocate ? entries.flatMap(vipClaims) : [];
  const reserved = new Set(entries.flatMap((entry) => entry.spec.addresses ?? []));
  const findings = newFindings();
  const vips = allocateVips(kept, claims, reserved, findings);
  return {
    vips,
    findings: keepFindings(state.vipFindings, findings.list) ?? [],
    touched: movedHosts(state.vips, vips),
  };
}

/** Hosts that have other addresses now. */
function movedHosts(before: Vips, after: Vips): readonly string[] {
  if (before === after) return [];
  const moved: string[] = [];
  for (const [key, vip] of after) if (before.get(key) !== vip) moved.push(hostOf(key));
  for (const key of before.keys()) if (!after.has(key)) moved.push(hostOf(key));
  return moved;
}

/** True when two versions of an object ask for the same virtual addresses. */
function sameVipInputs(before: ServiceEntry | undefined, after: ServiceEntry | undefined): boolean {
  if (before === undefined || after === undefined) return false;
  const of = (entry: ServiceEntry): unknown => [
    vipClaims(entry).map(({ key, created, given }) => [key, created, given]),
    entry.spec.addresses ?? [],
  ];
  return deepEqual(of(before), of(after));
}

/** Namespaces whose default traffic distribution changed, or the labels that bound what their ServiceEntries export. */
function namespaceChanges(changes: ChangeSet, { entryVisibility }: RegistryOptions): ReadonlySet<string> {
  const names = new Set<string>();
  for (const [, before, after] of changes.namespaces) {
    const name = (after ?? before)?.name;
    const distributes =
      before?.annotations[ANNOTATION.trafficDistribution] !== after?.annotations[ANNOTATION.trafficDistribution];
    const labelled = entryVisibility?.applyToSidecars === true && !deepEqual(before?.labels, after?.labels);
    if (name !== undefined && (distributes || labelled)) names.add(name);
  }
  return names;
}

/** Rare, and so a scan: the annotation of a namespace is set once. */
function hostsOfNamespaces(namespaces: ReadonlySet<string>, claims: Table<readonly Claim[]>): readonly string[] {
  if (namespaces.size === 0) return [];
  const hosts: string[] = [];
  for (const [host, list] of tableEntries(claims)) {
    if (list.some((claim) => namespaces.has(claim.namespace))) hosts.push(host);
  }
  return hosts.sort(compareStrings);
}
