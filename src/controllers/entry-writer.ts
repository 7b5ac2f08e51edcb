// WorkloadEntries of workloads that register themselves, as objects of a Kubernetes API. In: what the registrar decides on the
// entry as it knows it. Out: the object made, changed or taken away, if it still is that one. Any replica does this for the
// proxies that are connected to it. Called by server/config.ts.

import {
  ANNOTATION,
  type EntryChange,
  type EntryWriter,
  type WorkloadEntry,
  type WorkloadGroup,
} from '../registration/port.ts';
import { type KubeApi, KubeError } from '../sources/kube-api.ts';
import { isRecord, itemsOf, orMissing, textOf } from '../sources/kube-discovery.ts';
import { FIELD_MANAGER } from './ports.ts';

type Raw = Readonly<Record<string, unknown>>;

const ANSWER_MS = 10_000;
const QUERY = { fieldManager: FIELD_MANAGER };

export function kubeEntries(api: KubeApi): EntryWriter {
  return {
    create: async (entry, group) => {
      const { apiVersion, namespace, name, labels, annotations, spec } = entry;
      const metadata = { namespace, name, labels, annotations, ownerReferences: [ownerOf(group)] };
      const body = { apiVersion, kind: 'WorkloadEntry', metadata, spec };
      const path = pathOf(entry).slice(0, -name.length - 1);
      await api.send({ method: 'POST', path, query: QUERY, body }, timeout());
    },
    change: async (entry, change) => {
      const raw = await current(api, entry);
      if (raw === undefined) throw new KubeError(404, `WorkloadEntry ${entry.namespace}/${entry.name} is gone`);
      await apply(api, entry, raw, change);
    },
    remove: async (entry) => {
      const raw = await current(api, entry);
      if (raw === undefined) return;
      const preconditions = { resourceVersion: versionOf(raw) };
      await orMissing(api.send({ method: 'DELETE', path: pathOf(entry), body: { preconditions } }, timeout()));
    },
  };
}

/** The object, if it is still the one that was decided on: of the same connection, and owned by the same replica. */
async function current(api: KubeApi, entry: WorkloadEntry): Promise<Raw | undefined> {
  const raw = await orMissing(api.get(pathOf(entry), {}, timeout()));
  if (!isRecord(raw)) return undefined;
  const metadata = isRecord(raw['metadata']) ? raw['metadata'] : {};
  for (const name of [ANNOTATION.controller, ANNOTATION.connectedAt, ANNOTATION.disconnectedAt]) {
    if (textOf(metadata['annotations'], name) !== (entry.annotations[name] ?? ''))
      throw new KubeError(409, `WorkloadEntry ${entry.namespace}/${entry.name} is another by now`);
  }
  return raw;
}

async function apply(api: KubeApi, entry: WorkloadEntry, before: Raw, change: EntryChange): Promise<void> {
  const patch = async (sub: string, raw: Raw, part: Raw, metadata: Raw = {}): Promise<Raw> => {
    const body = { metadata: { ...metadata, resourceVersion: versionOf(raw) }, ...part };
    const path = `${pathOf(entry)}${sub}`;
    const answer = await api.send({ method: 'PATCH', patch: 'merge-patch', path, query: QUERY, body }, timeout());
    return isRecord(answer) ? answer : raw;
  };
  let raw = before;
  if (change.annotations !== undefined) {
    // In a merge patch null takes away.
    const annotations = Object.fromEntries(
      Object.entries(change.annotations).map(([name, value]) => [name, value ?? null]),
    );
    raw = await patch('', raw, {}, { annotations });
  }
  if (change.health === undefined) return;
  const others = itemsOf(raw['status'], 'conditions').filter((each) => textOf(each, 'type') !== 'Healthy');
  const conditions = change.health === 'none' ? others : [...others, change.health];
  await patch('/status', raw, { status: { conditions } });
}

function ownerOf({ apiVersion, name, uid }: WorkloadGroup): object {
  return { apiVersion, kind: 'WorkloadGroup', name, uid: uid ?? '', controller: true };
}

function pathOf({ apiVersion, namespace, name }: WorkloadEntry): string {
  return `/apis/${apiVersion}/namespaces/${namespace}/workloadentries/${name}`;
}

function versionOf(raw: Raw): string {
  return textOf(raw['metadata'], 'resourceVersion');
}

function timeout(): AbortSignal {
  return AbortSignal.timeout(ANSWER_MS);
}
