// The registry: services, endpoints, workloads, networks and virtual addresses of the mesh.
// In: tables of objects and a few settings, with the registry built from their state before. Out: an immutable registry
// that shares every unchanged entry with it. Only hosts whose objects changed, or that read something which
// changed, are built again. Called by the snapshot.

import type { Finding } from '../config/object.ts';
import type { ServiceEndpoints } from '../ir/endpoint.ts';
import type { Service } from '../ir/service.ts';
import type { Networks } from '../ir/snapshot.ts';
import { deepEqual } from '../lib/equal.ts';
import { compareStrings } from '../lib/order.ts';
import { type Derived, deriveTable, emptyTable, keepList, type Table, tableEntries, tableFrom } from '../lib/table.ts';
import { type AddressState, NO_CONFLICTS, updateConflicts } from './address-conflicts.ts';
import { type ChangeSet, changeSet } from './change-set.ts';
import { type EndpointsState, NO_ENDPOINTS, updateEndpoints } from './endpoints.ts';
import { type Placement, placementOf } from './facts.ts';
import { flattenFindings } from './findings.ts';
import { type Regrouped, regroup } from './groups.ts';
import {
  type ConfigTables,
  type EndpointSlice,
  type Node,
  type RegistryOptions,
  type RegistryTables,
  registryTables,
} from './input.ts';
import { type NetworksState, NO_NETWORKS, systemNetwork, updateNetworks } from './networks.ts';
import { nodeKey, readersOf, sliceKey } from './reads.ts';
import { NO_SERVICES, type ServicesState, type ServicesStep, updateServices } from './services.ts';
import type { Vips } from './vips.ts';
import { NO_WORKLOADS, updateWorkloads, type WorkloadIndex, type WorkloadsState, workloadIndex } from './workloads.ts';

/** What one build did: tests count work with it. */
interface RegistryCounts {
  /** Hosts whose services were looked at. */
  readonly servicesBuilt: number;
  /** Hosts whose endpoints were looked at. */
  readonly endpointsBuilt: number;
}

export interface Registry {
  /** By hostname, in registry order. Several for one host: several namespaces, or several addresses of one ServiceEntry. */
  readonly services: Table<readonly Service[]>;
  /** By hostname, one for each namespace among `services`. */
  readonly endpoints: Table<readonly ServiceEndpoints[]>;
  readonly workloads: WorkloadIndex;
  readonly networks: Networks;
  /** Virtual addresses in force by `NAMESPACE/HOST`, to be written into status and handed to the next process. */
  readonly vips: Vips;
  readonly findings: readonly Finding[];
  readonly counts: RegistryCounts;
  readonly state: RegistryState;
}

/** What the next build starts from. Of no interest outside this folder. */
interface RegistryState {
  readonly options: RegistryOptions;
  readonly tables: RegistryTables;
  /** Those of `tables`, as they were written. */
  readonly nodes?: Derived<Node, Node> | undefined;
  readonly placement: Placement;
  readonly slices: Table<readonly EndpointSlice[]>;
  readonly services: ServicesState;
  readonly workloads: WorkloadsState;
  readonly endpoints: EndpointsState;
  readonly networks: NetworksState;
  readonly addresses: AddressState;
}

/**
 * Builds the registry of the given tables. Without `previous` everything is built; `seed` may then hold virtual addresses
 * from an earlier process, which stay where they are.
 */
export function buildRegistry(
  previous: Registry | undefined,
  input: ConfigTables,
  options: RegistryOptions,
  seed?: Vips,
): Registry {
  const nodes = deriveTable(previous?.state.nodes, input.table('Node') as Table<Node>, [], keptNode);
  const tables: RegistryTables = { ...registryTables(input), nodes: nodes.output };
  const kept = previous?.state ?? (seed === undefined ? undefined : seeded(seed));
  // Other settings: built anew, while results that come out equal are still the same objects.
  const base = previous !== undefined && deepEqual(previous.state.options, options) ? previous.state : undefined;
  const changes = changeSet(base?.tables, tables);
  if (previous !== undefined && base !== undefined && changes.empty) return previous;
  const { state, counts } = nextState(base ?? startState(options), kept, base === undefined, tables, changes);
  return assemble(previous, { ...state, nodes }, counts);
}

/** Whoever writes notes on Nodes does so often, and nothing here reads them. */
function keptNode(node: Node, _key: string, before: Node | undefined): Node {
  const same =
    before !== undefined &&
    deepEqual(before.labels, node.labels) &&
    deepEqual(before.status?.addresses, node.status?.addresses);
  return same ? before : node;
}

function startState(options: RegistryOptions): RegistryState {
  const none = emptyTable<never>();
  return {
    options,
    tables: {
      services: none,
      pods: none,
      nodes: none,
      namespaces: none,
      slices: none,
      serviceEntries: none,
      workloadEntries: none,
    },
    placement: placementOf(options, ''),
    slices: none,
    services: NO_SERVICES,
    workloads: NO_WORKLOADS,
    endpoints: NO_ENDPOINTS,
    networks: NO_NETWORKS,
    addresses: NO_CONFLICTS,
  };
}

function seeded(vips: Vips): Pick<RegistryState, 'services'> {
  return { services: { ...NO_SERVICES, vips } };
}

/** `base` is where the changes lead from; equal parts of `kept` are taken over as they are. */
function nextState(
  base: RegistryState,
  kept: Partial<RegistryState> | undefined,
  first: boolean,
  tables: RegistryTables,
  changes: ChangeSet,
): { readonly state: RegistryState; readonly counts: RegistryCounts } {
  const { options } = base;
  const services = updateServices(base.services, kept?.services ?? NO_SERVICES, tables, changes, options);
  const workloads = updateWorkloads(base.workloads, tables, changes, options);
  const slices = indexSlices(base.slices, changes);
  const placement = keepPlacement(kept?.placement, placementOf(options, systemNetwork(tables, options)));
  const hosts =
    first || base.placement !== placement
      ? // Claimed hosts may have gone from the table: their endpoints have to go too.
        new Set([...services.claimed, ...[...tableEntries(services.state.claims)].map((entry) => entry[0])])
      : staleHosts(base, services, changes, [...workloads.touched, ...slices.touched.map(sliceKey)]);
  const endpoints = updateEndpoints(
    base.endpoints,
    kept?.endpoints ?? NO_ENDPOINTS,
    hosts,
    services.state.claims,
    services.state.table,
    { tables, slices: slices.index, workloads: workloads.state, placement, options },
  );
  const networks = updateNetworks(base.networks, kept?.networks ?? NO_NETWORKS, tables, changes, options, first);
  const state: RegistryState = {
    options,
    tables,
    placement,
    slices: slices.index,
    services: first ? withTable(services.state, kept?.services) : services.state,
    workloads: workloads.state,
    endpoints: first ? withTable(endpoints, kept?.endpoints) : endpoints,
    networks,
    addresses: updateConflicts(base.addresses, base.services.table, services.state.table),
  };
  return { state, counts: { servicesBuilt: services.built, endpointsBuilt: hosts.size } };
}

/** After a change of settings: the new entries in the buckets of the old table, where they are the same. */
function withTable<V, S extends { readonly table: Table<V> }>(state: S, kept: S | undefined): S {
  return kept === undefined ? state : { ...state, table: tableFrom(tableEntries(state.table), kept.table) };
}

function assemble(previous: Registry | undefined, state: RegistryState, counts: RegistryCounts): Registry {
  return {
    services: state.services.table,
    endpoints: state.endpoints.table,
    workloads:
      previous !== undefined && previous.state.workloads === state.workloads
        ? previous.workloads
        : workloadIndex(state.workloads),
    networks: state.networks.networks,
    vips: state.services.vips,
    findings: findingsOf(previous, state),
    counts,
    state,
  };
}

function findingsOf(previous: Registry | undefined, state: RegistryState): readonly Finding[] {
  const before = previous?.state;
  const same =
    before !== undefined &&
    before.services.findings === state.services.findings &&
    before.services.vipFindings === state.services.vipFindings &&
    before.endpoints.findings === state.endpoints.findings &&
    before.networks.findings === state.networks.findings &&
    before.addresses.findings === state.addresses.findings;
  if (previous !== undefined && same) return previous.findings;
  return keepList(previous?.findings, [
    ...flattenFindings([state.services.findings, state.endpoints.findings, state.addresses.findings]),
    ...state.services.vipFindings,
    ...state.networks.findings,
  ]);
}

function keepPlacement(before: Placement | undefined, next: Placement): Placement {
  // Prefixes hold big integers, which compare like other values.
  return before !== undefined && deepEqual(before, next) ? before : next;
}

function indexSlices(index: Table<readonly EndpointSlice[]>, changes: ChangeSet): Regrouped<EndpointSlice> {
  return regroup(
    index,
    changes.slices,
    (slice) => (slice.spec.serviceName === '' ? [] : [`${slice.namespace}/${slice.spec.serviceName}`]),
    (a, b) => compareStrings(a.name, b.name),
  );
}

/** Hosts to build again: objects that define them changed, or something that they read. */
function staleHosts(
  base: RegistryState,
  services: ServicesStep,
  changes: ChangeSet,
  touched: readonly string[],
): ReadonlySet<string> {
  const hosts = new Set<string>(services.claimed);
  const { reads } = base.endpoints;
  for (const key of touched) for (const host of readersOf(reads, key)) hosts.add(host);
  for (const [, before, after] of changes.nodes) {
    for (const host of readersOf(reads, nodeKey((after ?? before)?.name ?? ''))) hosts.add(host);
  }
  return hosts;
}
