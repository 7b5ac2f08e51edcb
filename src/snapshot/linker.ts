// What linking shares among all proxies of one plane: classes and workloads in use, by content, and the cell that says up
// to which snapshot links hold. Called by link.ts, and by the plane, which owns it.

import type { ProxyClass, ProxySettings, Workload } from '../ir/proxy.ts';
import { type InternTable, internTable } from './intern.ts';
import type { LinkedSnapshot } from './snapshot.ts';

/** The newest snapshot in which links are known to be what they are. */
export interface Standing {
  snapshot: LinkedSnapshot;
}

/** What all proxies of a namespace depend on: each list is the same while everything in it is. */
export interface NamespaceInputs {
  readonly snapshot: LinkedSnapshot;
  readonly generation: number;
  readonly outbound: readonly unknown[];
  readonly inbound: readonly unknown[];
}

/** Classes and workloads in use, shared by all proxies of one plane; and the few proxy configurations that there are. */
export interface Linker {
  readonly classes: InternTable<ProxyClass>;
  readonly workloads: InternTable<Workload>;
  readonly configs: InternTable<ProxySettings['proxyConfig']>;
  readonly namespaces: Map<string, NamespaceInputs>;
  /** Of all links that are up to date. */
  standing: Standing | undefined;
  /** Whether workloads are known the same in two snapshots: asked by thousands of proxies in turn. */
  step: { readonly from: LinkedSnapshot; readonly to: LinkedSnapshot; readonly same: boolean } | undefined;
  /** How many snapshots there were. */
  generation: number;
}

export function newLinker(): Linker {
  return {
    classes: internTable(),
    workloads: internTable(),
    configs: internTable(),
    namespaces: new Map(),
    standing: undefined,
    step: undefined,
    generation: 0,
  };
}

/** A linker that begins with what this one holds; neither is changed by the other from then on. */
export function forkLinker(linker: Linker): Linker {
  return {
    ...linker,
    classes: linker.classes.fork(),
    workloads: linker.workloads.fork(),
    configs: linker.configs.fork(),
    namespaces: new Map(linker.namespaces),
    standing: linker.standing && { ...linker.standing },
  };
}

/** Goes on to a snapshot: what nobody has and nobody used during two of them is forgotten. Links stay where they are. */
export function advanceLinker(linker: Linker, snapshot: LinkedSnapshot): Standing {
  if (linker.standing?.snapshot === snapshot) return linker.standing;
  sweep(linker);
  linker.standing = { snapshot };
  return linker.standing;
}

/** The same, and links that are up to date hold in it as well: those whom it may concern were parted from them before. */
export function carryLinks(linker: Linker, snapshot: LinkedSnapshot): void {
  if (linker.standing === undefined) return void advanceLinker(linker, snapshot);
  sweep(linker);
  linker.standing.snapshot = snapshot;
}

function sweep(linker: Linker): void {
  linker.generation++;
  linker.classes.sweep();
  linker.workloads.sweep();
  linker.configs.sweep();
  for (const [namespace, inputs] of linker.namespaces)
    if (inputs.generation + 2 < linker.generation) linker.namespaces.delete(namespace);
}

export interface LinkKeys {
  readonly classes: readonly string[];
  readonly workload: string;
  readonly config: string;
}

/** Somebody has a link of these keys: what it is made of is kept until it is released. */
export function holdLink({ classes, workloads, configs }: Linker, keys: LinkKeys): void {
  for (const key of keys.classes) classes.hold(key);
  workloads.hold(keys.workload);
  configs.hold(keys.config);
}

export function releaseLink({ classes, workloads, configs }: Linker, keys: LinkKeys): void {
  for (const key of keys.classes) classes.release(key);
  workloads.release(keys.workload);
  configs.release(keys.config);
}
