// Random objects of Istio's kinds, most of them valid: any field of the schema, with values that fit its name.

import { istioSchema } from '../../../src/config/parse/istio.ts';
import type { Kind } from '../../../src/config/object.ts';
import type { Schema } from '../../../src/config/schema/schema.ts';
import type { Dice } from './dice.ts';
import { repair } from './repair.ts';
import { FALLBACKS, INTEGERS, LABEL_VALUES, MAP_KEYS, NAMESPACES, TEXTS } from './values.ts';

export type Json = Record<string, unknown>;

const GROUPS: Readonly<Record<string, string>> = {
  PeerAuthentication: 'security.istio.io/v1',
  RequestAuthentication: 'security.istio.io/v1',
  AuthorizationPolicy: 'security.istio.io/v1',
  Telemetry: 'telemetry.istio.io/v1',
  TrafficExtension: 'extensions.istio.io/v1alpha1',
};

/** Kinds and how many of each a mesh has at most. */
export const KINDS: readonly (readonly [Kind, number])[] = [
  ['VirtualService', 8],
  ['DestinationRule', 8],
  ['Gateway', 4],
  ['ServiceEntry', 5],
  ['WorkloadEntry', 2],
  ['Sidecar', 2],
  ['PeerAuthentication', 3],
  ['RequestAuthentication', 2],
  ['AuthorizationPolicy', 5],
  ['Telemetry', 3],
  ['TrafficExtension', 1],
];

export function randomObject(kind: Kind, name: string, dice: Dice): Json {
  const schema = istioSchema(kind);
  if (schema === undefined) throw new Error(`no schema of ${kind}`);
  const spec = objectOf(schema, { kind, path: kind, dice, depth: 0 });
  // VirtualServices name this one.
  const front = kind === 'Gateway' && name.endsWith('-0');
  const namespace = front ? 'shop' : dice.of(NAMESPACES);
  return {
    apiVersion: GROUPS[kind] ?? 'networking.istio.io/v1',
    kind,
    metadata: {
      name: front ? 'front' : name,
      namespace,
      ...(dice.chance(10) ? { annotations: { 'istio.io/dry-run': 'true' } } : {}),
    },
    spec: repair(kind, spec, dice),
  };
}

interface Place {
  readonly kind: string;
  /** `Kind a.b[].c` */
  readonly path: string;
  readonly dice: Dice;
  readonly depth: number;
}

function within(place: Place, step: string): Place {
  const joint = step === '[]' ? '' : place.depth === 0 ? ' ' : '.';
  return { ...place, path: `${place.path}${joint}${step}`, depth: place.depth + 1 };
}

/** Objects of Telemetry, policies and the like that name objects by kind are left to other tests. */
const NEVER = new Set([
  'targetRef',
  'targetRefs',
  'delegate',
  'mirror_percent',
  'jwks_uri',
  'verificationKey',
  'wasm',
  'appendXForwardedPort',
]);

function objectOf(schema: Schema, place: Place): Json {
  const { dice, depth } = place;
  const result: Json = {};
  const excluded = new Set<string>();
  for (const group of schema.exclusive ?? []) {
    const kept = dice.of(group);
    for (const name of group) if (name !== kept) excluded.add(name);
  }
  const share = depth < 2 ? 45 : 35;
  for (const [name, member] of Object.entries(schema.properties ?? {})) {
    if (NEVER.has(name) || excluded.has(name)) continue;
    if (schema.required?.includes(name) !== true && !dice.chance(share)) continue;
    result[name] = valueOf(member, within(place, name));
  }
  const { additionalProperties: values } = schema;
  if (typeof values === 'object') return mapOf(values, place);
  return result;
}

function mapOf(values: Schema, place: Place): Json {
  const name = place.path.split(/[ .]/).at(-1)?.replace('[]', '') ?? '';
  const keys = place.dice.some(MAP_KEYS[name] ?? FALLBACKS.names, 2);
  const isLabels = name.toLowerCase().includes('labels');
  const entries = keys.map((key) => [
    key,
    isLabels ? place.dice.of(LABEL_VALUES) : valueOf(values, { ...place, depth: place.depth + 1 }),
  ]);
  return Object.fromEntries(entries) as Json;
}

function valueOf(schema: Schema, place: Place): unknown {
  const { dice } = place;
  if (schema.enum !== undefined) return dice.of(schema.enum);
  switch (schema.type ?? 'object') {
    case 'string':
      return textOf(schema, place);
    case 'integer':
      return dice.of(poolOf(INTEGERS, place.path) ?? bounded(schema, [0, 1, 2, 10, 1000]));
    case 'number':
      return dice.of(bounded(schema, [0, 0.1, 1, 12.5, 50, 100]));
    case 'boolean':
      return dice.chance(50);
    case 'array': {
      const items = schema.items ?? {};
      const list = Array.from({ length: 1 + dice.below(2) }, () => valueOf(items, within(place, '[]')));
      return items.type === 'string' ? [...new Set(list)] : list;
    }
    default:
      return objectOf(schema, place);
  }
}

function bounded(
  { minimum = Number.NEGATIVE_INFINITY, maximum = Number.POSITIVE_INFINITY }: Schema,
  pool: readonly number[],
): readonly number[] {
  const fits = pool.filter((value) => value >= minimum && value <= maximum);
  return fits.length === 0 ? [minimum] : fits;
}

function textOf(schema: Schema, place: Place): string {
  if (schema.format === 'duration') return place.dice.of(FALLBACKS.durations);
  const pool = poolOf(TEXTS, place.path);
  if (pool !== undefined) return place.dice.of(pool);
  return place.dice.of(/name|key/i.test(place.path) ? FALLBACKS.names : FALLBACKS.words);
}

/** The pool whose key is the longest end of the path, with or without the kind. */
function poolOf<T>(pools: Readonly<Record<string, readonly T[]>>, path: string): readonly T[] | undefined {
  const [kind = ''] = path.split(' ');
  let best: string | undefined;
  for (const key of Object.keys(pools)) {
    const [first = '', rest] = key.split(' ');
    const end = rest ?? first;
    if (rest !== undefined && first !== kind) continue;
    const fits = path.endsWith(` ${end}`) || path.endsWith(`.${end}`);
    if (fits && (best === undefined || key.length > best.length)) best = key;
  }
  return best === undefined ? undefined : pools[best];
}
