// PeerAuthentication: which mTLS mode a workload accepts. Port of the workload's object, then workload, namespace and
// mesh; at each level the oldest object counts, and UNSET falls to the next level, in the end to PERMISSIVE.

import type { PeerAuthenticationSpec } from '../config/generated/types.ts';
import type { ConfigObject } from '../config/object.ts';
import type { MtlsMode, PeerAuthn } from '../ir/policy.ts';
import type { PeerAuthnIndex } from '../ir/snapshot.ts';
import { memo } from '../lib/memo.ts';
import { tableValues } from '../lib/table.ts';
import { compareAge, inNamespace, type NamespacedIndex } from './by-namespace.ts';
import { isWide, type Labels, type Subject, selectorOf, selects } from './selection.ts';

export type PeerAuthnObject = ConfigObject<PeerAuthenticationSpec>;

/** What applies where no object says anything. */
export const DEFAULT_PEER_AUTHN: PeerAuthn = { mode: 'PERMISSIVE', portLevel: new Map(), sources: [] };

/** The look-ups of endpoints; the previous ones as long as the objects are the same. */
export const peerAuthnIndex = memo(
  (objects: NamespacedIndex<PeerAuthnObject>, rootNamespace: string): PeerAuthnIndex => {
    const wide = new Map<string, MtlsMode>();
    const namespaceMode = (namespace: string): MtlsMode => {
      let mode = wide.get(namespace);
      if (mode === undefined) {
        mode = resolve(objects, rootNamespace, namespace, undefined).mode;
        wide.set(namespace, mode);
      }
      return mode;
    };
    return {
      namespaceMode,
      modeOf: (namespace, labels, targetPort) => {
        const effective = resolve(objects, rootNamespace, namespace, labels);
        return effective.portLevel.get(targetPort) ?? effective.mode;
      },
      objects: [...tableValues(objects.table)].sort(compareAge),
    };
  },
);

/** What applies to a workload: the same object for all workloads to which the same objects apply. */
export function peerAuthnOf(
  objects: NamespacedIndex<PeerAuthnObject>,
  rootNamespace: string,
  subject: Subject,
): PeerAuthn {
  return resolve(objects, rootNamespace, subject.namespace, subject.labels);
}

function resolve(
  objects: NamespacedIndex<PeerAuthnObject>,
  rootNamespace: string,
  namespace: string,
  labels: Labels | undefined,
): PeerAuthn {
  const root = inNamespace(objects, rootNamespace);
  const mesh = oldestWide(root);
  // In the root namespace the mesh's object is the namespace's own; objects with a selector have no meaning there.
  if (namespace === rootNamespace) return effective(undefined, undefined, mesh);
  const own = inNamespace(objects, namespace);
  const workload = labels === undefined ? undefined : own.find((each) => !isWide(each.spec) && takes(each, labels));
  return effective(workload, oldestWide(own), mesh);
}

const oldestWideOf = memo((list: readonly PeerAuthnObject[]) => list.find((each) => isWide(each.spec)));

function oldestWide(list: readonly PeerAuthnObject[]): PeerAuthnObject | undefined {
  return list.length === 0 ? undefined : oldestWideOf(list);
}

function takes(object: PeerAuthnObject, labels: Labels): boolean {
  return selects(selectorOf(object.spec), labels);
}

function effective(
  workload: PeerAuthnObject | undefined,
  namespace: PeerAuthnObject | undefined,
  mesh: PeerAuthnObject | undefined,
): PeerAuthn {
  const anchor = workload ?? namespace ?? mesh;
  return anchor === undefined ? DEFAULT_PEER_AUTHN : built(anchor, workload, namespace, mesh);
}

const built = memo(
  (
    _anchor: PeerAuthnObject,
    workload: PeerAuthnObject | undefined,
    namespace: PeerAuthnObject | undefined,
    mesh: PeerAuthnObject | undefined,
  ): PeerAuthn => {
    const levels = [workload, namespace, mesh].filter((each) => each !== undefined);
    const mode = levels.map((each) => modeOf(each.spec.mtls?.mode)).find((each) => each !== undefined) ?? 'PERMISSIVE';
    const ports = Object.entries(workload?.spec.portLevelMtls ?? {});
    const portLevel = new Map(ports.map(([port, mtls]) => [Number(port), modeOf(mtls.mode) ?? mode]));
    return { mode, portLevel, sources: levels };
  },
);

function modeOf(mode: 'UNSET' | MtlsMode | undefined): MtlsMode | undefined {
  return mode === 'UNSET' ? undefined : mode;
}
