// The linked state of the mesh: every object indexed for the look-ups that linking makes, and what all clients share.
// In: the store's tables, the registry built from them, the mesh configuration. Out: an immutable snapshot that shares
// every unchanged index with the one before. Called by the plane after each settled change.

import type { RequestAuthenticationSpec, SidecarSpec } from '../config/generated/types.ts';
import type { JwksFetchMode } from '../config/jwks-source.ts';
import type { MeshConfig, MeshNetworks } from '../config/mesh.ts';
import type { ConfigObject, Kind } from '../config/object.ts';
import type { Snapshot } from '../ir/snapshot.ts';
import { keepList, type Table, tableValues } from '../lib/table.ts';
import type { ConfigTables } from '../registry/input.ts';
import type { Registry } from '../registry/registry.ts';
import { compareAge, indexByNamespace, type NamespacedIndex } from './by-namespace.ts';
import { type DestinationRuleIndex, indexDestinationRules } from './destination-rules.ts';
import { snapshotFindings } from './findings.ts';
import type { GatewayObject } from './gateways.ts';
import { type FetchedKeys, type KeyedRules, keyedRules, NO_KEYS } from './jwks.ts';
import { keepEqual, keepMembers } from './keep.ts';
import { peerAuthnIndex } from './peer-authn.ts';
import type { PolicyIndex } from './policies.ts';
import type { RuleObject } from './rule-merge.ts';
import { type ServiceBase, serviceBase } from './scoped-services.ts';
import { type LinkSettings, linkSettings, type SnapshotOptions } from './settings.ts';
import { type LabelUniverse, labelUniverse } from './universe.ts';
import { indexVirtualServices, type VirtualServiceIndex, type VirtualServiceObject } from './virtual-services.ts';

export type SidecarObject = ConfigObject<SidecarSpec>;

/** Everything that linking looks things up in. */
export interface SnapshotIndex {
  readonly virtualServices: VirtualServiceIndex;
  readonly ruleObjects: NamespacedIndex<RuleObject>;
  readonly rules: DestinationRuleIndex;
  readonly sidecars: NamespacedIndex<SidecarObject>;
  readonly gateways: NamespacedIndex<GatewayObject>;
  /** Oldest first. */
  readonly allGateways: readonly GatewayObject[];
  readonly policies: PolicyIndex;
  readonly keyedRules: KeyedRules;
  readonly base: ServiceBase;
  readonly universe: LabelUniverse;
}

export interface LinkedSnapshot extends Snapshot {
  readonly registry: Registry;
  readonly settings: LinkSettings;
  readonly index: SnapshotIndex;
}

export interface SnapshotInput {
  readonly tables: ConfigTables;
  readonly registry: Registry;
  readonly mesh: MeshConfig;
  readonly meshNetworks: MeshNetworks;
  readonly options: SnapshotOptions;
  readonly jwks?: FetchedKeys | undefined;
  readonly jwksFetch?: JwksFetchMode | undefined;
}

/** The next snapshot; the previous one itself when nothing is different. */
export function buildSnapshot(previous: LinkedSnapshot | undefined, input: SnapshotInput): LinkedSnapshot {
  const { tables, registry } = input;
  const mesh = keepEqual(previous?.mesh, input.mesh);
  const meshNetworks = keepEqual(previous?.meshNetworks, input.meshNetworks);
  const settings = linkSettings(previous?.settings, mesh, input.options);
  const index = buildIndex(previous?.index, input, settings);
  const secrets = tables.table('Secret');
  const configMaps = tables.table('ConfigMap');
  if (
    previous !== undefined &&
    previous.registry === registry &&
    previous.mesh === mesh &&
    previous.meshNetworks === meshNetworks &&
    previous.settings === settings &&
    previous.index === index &&
    previous.secrets === secrets &&
    previous.configMaps === configMaps
  )
    return previous;
  const findings = lazy(() => snapshotFindings({ index, registry, settings, secrets }));
  return {
    sequence: (previous?.sequence ?? 0) + 1,
    mesh,
    meshNetworks,
    networks: registry.networks,
    services: registry.services,
    endpoints: registry.endpoints,
    peerAuthn: index.base.peerAuthn,
    authorization: authorizationOf(previous, index),
    secrets,
    configMaps,
    counts: keepEqual(previous?.counts, countsOf(tables)),
    // Costly to make and often not asked for: made on the first read.
    get findings() {
      return findings();
    },
    registry,
    settings,
    index,
  };
}

function buildIndex(
  previous: SnapshotIndex | undefined,
  { tables, registry, jwks = NO_KEYS, jwksFetch = 'istiod' }: SnapshotInput,
  settings: LinkSettings,
): SnapshotIndex {
  const table = <O extends ConfigObject>(kind: Kind): Table<O> => tables.table(kind) as Table<O>;
  const ruleObjects = indexByNamespace(previous?.ruleObjects, table<RuleObject>('DestinationRule'));
  const sidecars = indexByNamespace(previous?.sidecars, table<SidecarObject>('Sidecar'));
  const gateways = indexByNamespace(previous?.gateways, table<GatewayObject>('Gateway'));
  const requestAuthn = table<ConfigObject<RequestAuthenticationSpec>>('RequestAuthentication');
  const keyed = keyedRules(previous?.keyedRules, requestAuthn, jwks, jwksFetch, registry.services);
  const policies = policyIndex(previous?.policies, table, keyed, settings);
  const virtualServices = indexVirtualServices(
    previous?.virtualServices,
    table<VirtualServiceObject>('VirtualService'),
    settings,
  );
  const rules = indexDestinationRules(previous?.rules, ruleObjects, settings);
  const universe = labelUniverse(previous?.universe, {
    settings,
    selecting: [
      sidecars.byNamespace,
      ruleObjects.byNamespace,
      policies.envoyFilters.byNamespace,
      policies.telemetry.byNamespace,
      policies.wasmPlugins.byNamespace,
      policies.trafficExtensions.byNamespace,
    ],
    virtualServices: virtualServices.linked.output,
    destinationRules: ruleObjects.byNamespace,
    envoyFilters: policies.envoyFilters.byNamespace,
    services: registry.services,
  });
  const base = serviceBase(previous?.base, {
    services: registry.services,
    endpoints: registry.endpoints,
    rules,
    peerAuthn: peerAuthnIndex(policies.peerAuthn, settings.rootNamespace),
  });
  const next: SnapshotIndex = {
    virtualServices,
    ruleObjects,
    rules,
    sidecars,
    gateways,
    allGateways:
      previous !== undefined && previous.gateways === gateways
        ? previous.allGateways
        : [...tableValues(gateways.table)].sort(compareAge),
    policies,
    keyedRules: keyed,
    base,
    universe,
  };
  return keepMembers(previous, next);
}

function policyIndex(
  previous: PolicyIndex | undefined,
  table: <O extends ConfigObject>(kind: Kind) => Table<O>,
  keyed: KeyedRules,
  settings: LinkSettings,
): PolicyIndex {
  return keepMembers(previous, {
    rootNamespace: settings.rootNamespace,
    peerAuthn: indexByNamespace(previous?.peerAuthn, table('PeerAuthentication')),
    authorization: indexByNamespace(previous?.authorization, table('AuthorizationPolicy')),
    requestAuthn: indexByNamespace(previous?.requestAuthn, keyed.output),
    telemetry: indexByNamespace(previous?.telemetry, table('Telemetry')),
    envoyFilters: indexByNamespace(previous?.envoyFilters, table('EnvoyFilter')),
    wasmPlugins: indexByNamespace(previous?.wasmPlugins, table('WasmPlugin')),
    trafficExtensions: indexByNamespace(previous?.trafficExtensions, table('TrafficExtension')),
  });
}

function authorizationOf(previous: LinkedSnapshot | undefined, index: SnapshotIndex): Snapshot['authorization'] {
  const { table } = index.policies.authorization;
  if (previous !== undefined && previous.index.policies.authorization.table === table) return previous.authorization;
  return keepList(previous?.authorization, [...tableValues(table)].sort(compareAge));
}

const COUNTED: readonly Kind[] = [
  'Service',
  'Pod',
  'EndpointSlice',
  'VirtualService',
  'DestinationRule',
  'Gateway',
  'ServiceEntry',
  'WorkloadEntry',
  'Sidecar',
  'EnvoyFilter',
  'PeerAuthentication',
  'RequestAuthentication',
  'AuthorizationPolicy',
  'Telemetry',
  'WasmPlugin',
  'TrafficExtension',
];

function countsOf(tables: ConfigTables): Snapshot['counts'] {
  return Object.fromEntries(COUNTED.map((kind) => [kind, tables.table(kind).size]));
}

/** Runs `build` on the first call only. */
function lazy<T>(build: () => T): () => T {
  let made: { readonly value: T } | undefined;
  return () => {
    made ??= { value: build() };
    return made.value;
  };
}
