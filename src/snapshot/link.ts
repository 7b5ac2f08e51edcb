// Which class and which workload a connected proxy has in a snapshot. Proxies for which all is equal get the same two
// objects; a proxy for which nothing changed keeps its link.
// In: a snapshot, a parsed proxy, its link before. Out: its link. Called by the plane for every connection, and after a
// change for those whom it may concern: the others are not looked at, and the cell that says up to which snapshot their
// links hold is one for all of them.

import type { MeshConfig } from '../config/mesh.ts';
import type { Proxy, ProxyClass, ProxySettings, ServiceTarget, Workload } from '../ir/proxy.ts';
import { keepList, sameList, tableGet } from '../lib/table.ts';
import { localityLabel, placedLabels } from '../registry/facts.ts';
import {
  workloadOf as knownWorkload,
  type ProxyWorkload,
  samePlaces,
  serviceTargets,
  type WorkloadPlaces,
  workloadPlaces,
} from '../registry/service-targets.ts';
import { buildClass, type ClassInput, namespaceInputs, stableText, type WorkloadIdentity } from './classes.ts';
import { advanceLinker, type Linker, type LinkKeys, type NamespaceInputs, type Standing } from './linker.ts';
import { settingsOf, text, textMap } from './proxy.ts';
import type { LinkedSnapshot } from './snapshot.ts';
import { inboundInputs, internedClass, internedWorkload, sameTarget } from './workload.ts';

export interface Link {
  readonly proxyClass: ProxyClass;
  readonly workload: Workload;
  /** What it was made from. Of no interest outside this file. */
  readonly memory: LinkMemory;
}

/** Kept up to date in place, so that a link stays the same object while class and workload do. */
interface LinkMemory {
  standing: Standing;
  settings: ProxySettings;
  configKey: string;
  known: ProxyWorkload['facts'] | undefined;
  kind: ProxyWorkload['kind'] | undefined;
  identity: WorkloadIdentity;
  targetInputs: readonly unknown[];
  targets: readonly ServiceTarget[];
  /** No Service selects it: endpoints say what it is part of. */
  loose: boolean;
  places: WorkloadPlaces;
  outbound: readonly unknown[];
  inbound: readonly unknown[];
}

/** The proxy's link in the snapshot; `previous` itself when nothing is different for it. */
export function relink(linker: Linker, snapshot: LinkedSnapshot, proxy: Proxy, previous: Link | undefined): Link {
  const standing = advanceLinker(linker, snapshot);
  const before = previous?.memory;
  const inputs = inputsOf(linker, snapshot, proxy.namespace);
  if (previous !== undefined && before !== undefined) {
    if (before.standing.snapshot === snapshot || stands(linker, before, snapshot, proxy, inputs)) {
      before.standing = standing;
      return previous;
    }
  }
  const memory = nextMemory(linker, snapshot, proxy, inputs, before);
  const { identity, settings, targets } = memory;
  const input: ClassInput = { snapshot, proxy, identity, settings, targets };
  const same =
    before !== undefined &&
    before.identity === identity &&
    before.settings === settings &&
    before.targets === targets &&
    before.outbound === inputs.outbound;
  const proxyClass =
    previous !== undefined && same ? previous.proxyClass : internedClass(linker.classes, buildClass(input));
  const workload =
    previous !== undefined && same && previous.proxyClass === proxyClass && before.inbound === inputs.inbound
      ? previous.workload
      : internedWorkload(linker, input, proxyClass, previous?.workload);
  if (previous === undefined || workload !== previous.workload || proxyClass !== previous.proxyClass)
    return { proxyClass, workload, memory };
  Object.assign(previous.memory, memory);
  return previous;
}

/** True where nobody has to look: the link was carried along, or was made in this snapshot. */
export function isCurrent({ standing }: Linker, { memory }: Link, snapshot: LinkedSnapshot): boolean {
  return memory.standing === standing && standing.snapshot === snapshot;
}

/** True where nothing that the link was made from is different in this snapshot. */
function stands(
  linker: Linker,
  before: LinkMemory,
  snapshot: LinkedSnapshot,
  proxy: Proxy,
  { outbound, inbound }: NamespaceInputs,
): boolean {
  const sameLists = before.outbound === outbound && before.inbound === inbound;
  const { mesh } = before.standing.snapshot;
  return sameLists && mesh === snapshot.mesh && knowsTheSame(linker, before, snapshot, proxy.namespace);
}

/** What is known of the proxy now; parts that are the same as before are the same objects. */
function nextMemory(
  linker: Linker,
  snapshot: LinkedSnapshot,
  proxy: Proxy,
  inputs: NamespaceInputs,
  before: LinkMemory | undefined,
): LinkMemory {
  const sameRegistry = before !== undefined && knowsTheSame(linker, before, snapshot, proxy.namespace);
  const workload = sameRegistry ? undefined : knownWorkload(snapshot.registry, proxy);
  const [known, kind] = sameRegistry ? [before?.known, before?.kind] : [workload?.facts, workload?.kind];
  const { settings, configKey } =
    before?.standing.snapshot.mesh === snapshot.mesh ? before : internedSettings(linker, proxy, snapshot.mesh);
  const targets: Targets = sameRegistry
    ? { inputs: before.targetInputs, list: before.targets, loose: before.loose }
    : targetsOf(snapshot, proxy, { known, kind }, before);
  return {
    standing: advanceLinker(linker, snapshot),
    settings,
    configKey,
    known,
    kind,
    identity: before !== undefined && before.known === known ? before.identity : identityOf(proxy, known),
    targetInputs: targets.inputs,
    targets: targets.list,
    loose: targets.loose,
    places: before?.places ?? workloadPlaces(proxy),
    outbound: inputs.outbound,
    inbound: inputs.inbound,
  };
}

/**
 * True where all that the registry knows of the proxy's workload is the same as before: then nothing is looked up. A look
 * at the tables answers for all proxies that were last linked in the same snapshot.
 */
function knowsTheSame(linker: Linker, before: LinkMemory, next: LinkedSnapshot, namespace: string): boolean {
  const from = before.standing.snapshot;
  if (from.registry === next.registry) return true;
  let { step } = linker;
  if (step?.from !== from || step.to !== next) {
    step = { from, to: next, same: sameWorkloads(from, next) };
    linker.step = step;
  }
  return (
    step.same &&
    samePlaces(from.registry, next.registry, before.places) &&
    sameNode(from, next, before.known) &&
    (!before.loose || from.registry.endpoints === next.registry.endpoints) &&
    sameServices(from, next, namespace)
  );
}

function sameServices({ index: a }: LinkedSnapshot, { index: b }: LinkedSnapshot, namespace: string): boolean {
  return tableGet(a.base.byNamespace, namespace) === tableGet(b.base.byNamespace, namespace);
}

function sameNode(from: LinkedSnapshot, to: LinkedSnapshot, known: ProxyWorkload['facts'] | undefined): boolean {
  const [a, b] = [from.registry.state.tables.nodes, to.registry.state.tables.nodes];
  const key = `/${known?.nodeName ?? ''}`;
  return a === b || tableGet(a, key) === tableGet(b, key);
}

/** What is read to know any workload, but for what is found in its own places. */
export function sameWorkloads({ registry: from }: LinkedSnapshot, { registry: to }: LinkedSnapshot): boolean {
  const [before, after] = [from.state, to.state];
  return before.placement === after.placement && before.options.clusterId === after.options.clusterId;
}

/** What links of a namespace were made from in the snapshot; lists of before where they are the same. */
export function inputsOf(linker: Linker, snapshot: LinkedSnapshot, namespace: string): NamespaceInputs {
  const before = linker.namespaces.get(namespace);
  if (before?.snapshot === snapshot) return before;
  const same = before !== undefined && sameForNamespaces(before.snapshot, snapshot);
  const next: NamespaceInputs = {
    snapshot,
    generation: linker.generation,
    outbound: same ? before.outbound : keepList(before?.outbound, namespaceInputs(snapshot, namespace)),
    inbound: same ? before.inbound : keepList(before?.inbound, inboundInputs(snapshot, namespace)),
  };
  linker.namespaces.set(namespace, next);
  return next;
}

/** True where nothing is different of what namespaces' inputs are taken from. */
function sameForNamespaces(a: LinkedSnapshot, b: LinkedSnapshot): boolean {
  return (
    a.settings === b.settings &&
    a.index.universe === b.index.universe &&
    a.index.sidecars === b.index.sidecars &&
    a.index.policies === b.index.policies &&
    a.registry.state.tables.namespaces === b.registry.state.tables.namespaces
  );
}

/** True while proxies that are like this one would be given the same class and workload. */
export function isKept(linker: Linker, { proxyClass, workload, memory }: Link): boolean {
  return (
    linker.classes.find(proxyClass.key) === proxyClass &&
    linker.classes.find(workload.proxyClass.key) === workload.proxyClass &&
    linker.workloads.find(workload.key) === workload &&
    linker.configs.find(memory.configKey) === memory.settings.proxyConfig
  );
}

/** From now on the link stays where it is, and is compared with the next snapshot by itself. */
export function partLink(link: Link | undefined): void {
  if (link !== undefined) link.memory.standing = { ...link.memory.standing };
}

/** What tells a link apart from others of its namespace. */
export interface Peculiarities {
  readonly places: WorkloadPlaces;
  /** Empty where none is known. */
  readonly nodeName: string;
  readonly loose: boolean;
  readonly configKey: string;
}

export function peculiarities({ memory }: Link): Peculiarities {
  const { places, loose, configKey, known } = memory;
  return { places, loose, configKey, nodeName: known?.nodeName ?? '' };
}

/** The keys under which the linker shares what the link is made of. */
export function keysOf({ proxyClass, workload, memory }: Link): LinkKeys {
  const classes = [proxyClass.key, workload.proxyClass.key];
  if (proxyClass.placeless !== undefined) classes.push(proxyClass.placeless.key);
  return { classes, workload: workload.key, config: memory.configKey };
}

function internedSettings(
  linker: Linker,
  proxy: Proxy,
  mesh: MeshConfig,
): { readonly settings: ProxySettings; readonly configKey: string } {
  const settings = settingsOf(proxy, mesh);
  const configKey = stableText(settings.proxyConfig);
  const proxyConfig = linker.configs.keep(configKey, settings.proxyConfig, () => true);
  return { settings: { ...settings, proxyConfig }, configKey };
}

/** Live labels of the workload with STATIC_LABELS on top, else what the proxy says; both with labels of the place. */
function identityOf(proxy: Proxy, known: ProxyWorkload['facts'] | undefined): WorkloadIdentity {
  const own = known === undefined ? proxy.labels : { ...known.labels, ...textMap(proxy.metadata['STATIC_LABELS']) };
  const locality = known?.locality || (localityLabel(proxy.labels) ?? proxy.nodeLocality);
  const nodeName = text(proxy.metadata, 'NODE_NAME') || (known?.nodeName ?? '');
  return { labels: placedLabels(own, proxy.clusterId, locality, nodeName, proxy.network), locality, nodeName };
}

interface Targets {
  readonly inputs: readonly unknown[];
  readonly list: readonly ServiceTarget[];
  readonly loose: boolean;
}

function targetsOf(
  snapshot: LinkedSnapshot,
  proxy: Proxy,
  { known, kind }: Pick<LinkMemory, 'known' | 'kind'>,
  before: LinkMemory | undefined,
): Targets {
  const { endpoints, state } = snapshot.registry;
  const services = tableGet(snapshot.index.base.byNamespace, proxy.namespace);
  const inline = proxy.addresses.map((address) => tableGet(state.workloads.inlineByIp, address));
  const inputs = [known, kind, services, ...inline];
  // Endpoints matter only to pods that no Service selects, and those are told by having no target of a selecting one.
  const isLoose = (list: readonly ServiceTarget[]): boolean =>
    kind === 'pod' && list.every((each) => each.service.selector === undefined);
  const withEndpoints = (loose: boolean): readonly unknown[] => (loose ? [...inputs, endpoints] : inputs);
  if (before !== undefined) {
    const loose = isLoose(before.targets);
    const all = withEndpoints(loose);
    if (sameList(before.targetInputs, all)) return { inputs: all, list: before.targets, loose };
  }
  const list = keepTargets(before?.targets, serviceTargets(snapshot.registry, proxy));
  const loose = isLoose(list);
  return { inputs: withEndpoints(loose), list, loose };
}

function keepTargets(
  before: readonly ServiceTarget[] | undefined,
  next: readonly ServiceTarget[],
): readonly ServiceTarget[] {
  if (before === undefined) return next;
  return keepList(
    before,
    next.map((target, at) => {
      const old = before[at];
      return old !== undefined && sameTarget(old, target) ? old : target;
    }),
  );
}
