// Strategic merge patch for pods, as the API server does it: lists with a merge key are merged item by item, others are
// replaced; `null` deletes, `$patch` replaces or deletes.
// In: a pod and a patch, both plain JSON. Out: a new pod. Called by render.ts and overrides.ts.

import { deepEqual } from '../lib/equal.ts';
import { isJson, type Json } from './pod.ts';

/** Lists that are merged, by their path from the pod; `*` stands for the items of any list on the way. */
const MERGE_KEYS: Readonly<Record<string, string>> = {
  'metadata.ownerReferences': 'uid',
  'spec.containers': 'name',
  'spec.initContainers': 'name',
  'spec.ephemeralContainers': 'name',
  'spec.volumes': 'name',
  'spec.imagePullSecrets': 'name',
  'spec.hostAliases': 'ip',
  'spec.topologySpreadConstraints': 'topologyKey',
  'spec.schedulingGates': 'name',
  'spec.resourceClaims': 'name',
};

const CONTAINER_MERGE_KEYS: Readonly<Record<string, string>> = {
  env: 'name',
  ports: 'containerPort',
  volumeMounts: 'mountPath',
  volumeDevices: 'devicePath',
};

/** Lists of scalars that are united. */
const UNITED = new Set(['metadata.finalizers']);

/** Of these only what the patch names stays: a volume has one source. */
const RETAIN_KEYS = new Set(['spec.volumes', 'spec.resourceClaims']);

const CONTAINER_LISTS = /^spec\.(?:containers|initContainers|ephemeralContainers)\.\*\.(\w+)$/;

function mergeKeyOf(path: string): string | undefined {
  const field = CONTAINER_LISTS.exec(path)?.[1];
  return field === undefined ? MERGE_KEYS[path] : CONTAINER_MERGE_KEYS[field];
}

/** A patch that can't be applied: an item of a merged list without its merge key. */
export class MergeError extends Error {}

export function strategicMerge(target: Json, patch: Json): Json {
  return mergeMap(target, patch, '');
}

function mergeMap(target: Json, patch: Json, path: string): Json {
  if (patch['$patch'] === 'delete') return {};
  if (patch['$patch'] === 'replace') return clean(patch);
  const result: Record<string, unknown> = { ...target };
  for (const key of deletedByRetainKeys(target, patch)) delete result[key];
  for (const [key, value] of Object.entries(patch)) {
    const list = /^\$deleteFromPrimitiveList\/(.+)$/.exec(key)?.[1];
    if (list !== undefined) result[list] = without(result[list], value);
    if (key.startsWith('$')) continue;
    const at = path === '' ? key : `${path}.${key}`;
    if (value === null || value === undefined) delete result[key];
    else result[key] = mergeValue(result[key], value, at);
  }
  return result;
}

function deletedByRetainKeys(target: Json, patch: Json): readonly string[] {
  const retained = patch['$retainKeys'];
  return Array.isArray(retained) ? Object.keys(target).filter((key) => !retained.includes(key)) : [];
}

function without(list: unknown, items: unknown): unknown {
  if (!Array.isArray(list) || !Array.isArray(items)) return list;
  return list.filter((each) => !items.some((item) => deepEqual(item, each)));
}

function mergeValue(target: unknown, patch: unknown, path: string): unknown {
  if (isJson(patch)) return isJson(target) ? mergeMap(target, patch, path) : mergeMap({}, patch, path);
  if (!Array.isArray(patch)) return patch;
  const existing = Array.isArray(target) ? (target as readonly unknown[]) : [];
  if (UNITED.has(path)) return [...existing, ...patch.filter((item) => !existing.includes(item))];
  const key = mergeKeyOf(path);
  return key === undefined ? patch.map(cleanValue) : mergeList(existing, patch, key, path);
}

function mergeList(target: readonly unknown[], patch: readonly unknown[], key: string, path: string): readonly Json[] {
  const items = new Map<unknown, Json>();
  const old = target.filter(isJson);
  let kept = old;
  const order: unknown[] = [];
  for (const [index, item] of patch.entries()) {
    if (!isJson(item)) throw new MergeError(`${path}[${index}] is no object`);
    if (item['$patch'] === 'replace' && item[key] === undefined) {
      // Replaces the whole list by what the patch holds besides.
      kept = [];
      continue;
    }
    const id = item[key];
    if (id === undefined || id === null) throw new MergeError(`${path}[${index}] has no ${key}`);
    if (item['$patch'] === 'delete') {
      kept = kept.filter((each) => each[key] !== id);
      continue;
    }
    const before = items.get(id) ?? kept.find((each) => each[key] === id);
    items.set(id, mergeItem(before, item, key, path));
    if (!order.includes(id)) order.push(id);
  }
  return arranged(old, kept, items, order, key);
}

function mergeItem(before: Json | undefined, item: Json, key: string, path: string): Json {
  if (before === undefined) return mergeMap({}, item, `${path}.*`);
  const isNewSource = RETAIN_KEYS.has(path) && Object.keys(item).some((each) => each !== key && !(each in before));
  return mergeMap(isNewSource ? { [key]: before[key] } : before, item, `${path}.*`);
}

/** The API server's order: that of the list before where it knows both, else the patch's items come first. */
function arranged(
  old: readonly Json[],
  kept: readonly Json[],
  items: ReadonlyMap<unknown, Json>,
  order: readonly unknown[],
  key: string,
): readonly Json[] {
  const position = (id: unknown): number => old.findIndex((each) => each[key] === id);
  const untouched = kept.filter((each) => !items.has(each[key]));
  const result: Json[] = [];
  let next = 0;
  for (const id of order) {
    const place = position(id);
    while (place >= 0 && next < untouched.length && position(untouched[next]?.[key]) < place) {
      result.push(untouched[next++] ?? {});
    }
    result.push(items.get(id) ?? {});
  }
  return [...result, ...untouched.slice(next)];
}

/** Without directives, for parts that are taken as they are. */
function clean(json: Json): Json {
  return Object.fromEntries(
    Object.entries(json)
      .filter(([key, value]) => !key.startsWith('$') && value !== null)
      .map(([key, value]) => [key, cleanValue(value)]),
  );
}

function cleanValue(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(cleanValue);
  return isJson(value) ? clean(value) : value;
}
