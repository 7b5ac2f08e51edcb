// Does a field do anything? Each field of the examples is taken away and given another value, and one looks whether any
// resource of any proxy, or any finding, becomes another. In: a kind. Out: what each field did. Called by the tests and by
// the script that writes the table.

import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { parse, parseAllDocuments } from 'yaml';
import type { ConfigObject, Kind } from '../../src/config/object.ts';
import { parseDocument } from '../../src/config/parse/index.ts';
import { istioSchema } from '../../src/config/parse/istio.ts';
import type { Schema } from '../../src/config/schema/schema.ts';
import { createValidator } from '../../src/config/validate/index.ts';
import type { PathStep } from '../../src/lib/field-path.ts';
import { type OfflineMesh, offlineMesh } from '../../src/server/offline.ts';
import { eventsOf, type Manifest } from '../../src/sources/manifests.ts';
import { re2Checker } from '../../src/store/re2.ts';
import { folded, type PresentField, presentFields, withValue } from './fields.ts';

/** `resource`: something that a proxy has changes. `finding`: only what is said about it. `refused`: it can't be changed. */
export type Effect = 'resource' | 'finding' | 'none' | 'refused';

export interface Example {
  readonly spec: object;
  readonly with?: readonly object[];
}

const HERE = import.meta.dirname;
const GROUPS: Readonly<Record<string, string>> = {
  PeerAuthentication: 'security',
  RequestAuthentication: 'security',
  AuthorizationPolicy: 'security',
  Telemetry: 'telemetry',
  WasmPlugin: 'extensions',
  TrafficExtension: 'extensions',
};

export function examplesOf(kind: string): readonly Example[] {
  const file = join(HERE, 'examples', `${kind}.yaml`);
  return existsSync(file) ? (parse(readFileSync(file, 'utf8')) as readonly Example[]) : [];
}

/** What every example stands in. */
export function baseObjects(): readonly object[] {
  return parseAllDocuments(readFileSync(join(HERE, 'base.yaml'), 'utf8')).map((each) => each.toJS() as object);
}

export function exampleObject(kind: Kind, spec: unknown): object {
  const apiVersion = `${GROUPS[kind] ?? 'networking'}.istio.io/v1`;
  return { apiVersion, kind, metadata: { name: 'example', namespace: 'shop' }, spec };
}

const SPARED: ReadonlySet<string> = new Set(['other', 'web', 'db']);

/** The mesh around an example, with the proxies that look at it. */
export async function exampleMesh(
  kind: Kind,
  { spec, with: more = [] }: Example,
  nodes: readonly object[] = NODES,
): Promise<OfflineMesh> {
  const documents = [...baseObjects(), ...more, exampleObject(kind, spec)].map(
    (value): Manifest => ({ value, file: 'mesh', origin: 'mesh', chunk: { text: '', line: 1 } }),
  );
  const mesh = await offlineMesh({
    events: eventsOf(documents, { unknownFields: 'error' }),
    meshConfig: join(HERE, 'mesh.yaml'),
    networksConfig: join(HERE, 'networks.yaml'),
    domain: 'cluster.local',
    clusterId: 'Kubernetes',
    systemNamespace: 'istio-system',
  });
  await mesh.connect(nodes);
  return mesh;
}

function node(
  type: string,
  name: string,
  ip: string,
  labels: object,
  namespace = 'shop',
  cluster = 'Kubernetes',
): object {
  return {
    id: `${type}~${ip}~${name}.${namespace}~${namespace}.svc.cluster.local`,
    userAgentBuildVersion: { version: { majorNumber: 1, minorNumber: 40 } },
    metadata: {
      NAMESPACE: namespace,
      CLUSTER_ID: cluster,
      INSTANCE_IPS: ip,
      LABELS: labels,
      NETWORK: 'n1',
      ISTIO_VERSION: '1.30.0',
      KEY: 'value',
    },
  };
}

/** A server, a client and a gateway. */
export const FEW_NODES = (): readonly object[] => [0, 1, 3].flatMap((index) => NODES[index] ?? []);

/** A server, a client of another namespace and cluster, and a gateway. */
export const FAR_NODES = (): readonly object[] => [
  ...[0, 3].flatMap((index) => NODES[index] ?? []),
  node('sidecar', 'far', '10.0.0.4', { app: 'far', version: 'v3' }, 'far', 'remote'),
];

const NODES = [
  node('sidecar', 'web-1', '10.0.0.1', { app: 'web', version: 'v1' }),
  node('sidecar', 'client-1', '10.0.0.3', { app: 'client' }),
  node('sidecar', 'far', '10.0.0.4', { app: 'far' }, 'far'),
  node('router', 'gate', '10.0.0.5', { istio: 'gate' }),
  node('router', 'kgate', '10.0.0.6', { 'gateway.networking.k8s.io/gateway-name': 'kgate' }),
];

const validate = createValidator({ regex: re2Checker() });

/** The object, or undefined where it would be refused. */
export function admissible(kind: Kind, spec: unknown): ConfigObject | undefined {
  const [parsed] = parseDocument(exampleObject(kind, spec), { unknownFields: 'error' });
  if (parsed?.kind !== 'object') return undefined;
  return validate(parsed.object).some((finding) => finding.severity === 'error') ? undefined : parsed.object;
}

export async function fieldEffects(kind: Kind): Promise<ReadonlyMap<string, Effect>> {
  const effects = new Map<string, Effect>();
  const schema = istioSchema(kind);
  if (schema === undefined) return effects;
  for (const example of examplesOf(kind)) {
    const mesh = await exampleMesh(kind, example);
    for (const present of presentFields(schema, example.spec)) {
      const field = folded(kind, present.field);
      if (effects.get(field) !== 'resource') raise(effects, field, await effectOf(kind, mesh, example, present));
    }
    mesh.stop();
  }
  raiseAround(effects);
  return effects;
}

/** What holds something that matters matters. */
export function raiseAround(effects: Map<string, Effect>): void {
  for (const [field, effect] of [...effects])
    if (effect === 'resource') for (const outer of around(field)) effects.set(outer, 'resource');
}

function around(field: string): readonly string[] {
  const names = field.split('.');
  return names.slice(1).map((_, index) =>
    names
      .slice(0, index + 1)
      .join('.')
      .replace(/(?:\[\]|\{\})$/, ''),
  );
}

const ORDER: readonly Effect[] = ['refused', 'none', 'finding', 'resource'];

export function raise(effects: Map<string, Effect>, field: string, effect: Effect): void {
  const before = effects.get(field) ?? 'refused';
  effects.set(field, ORDER.indexOf(effect) > ORDER.indexOf(before) ? effect : before);
}

async function effectOf(
  kind: Kind,
  mesh: OfflineMesh,
  { spec }: Example,
  { steps, schema }: PresentField,
): Promise<Effect> {
  const seen = new Set<Effect>(['refused']);
  const written = admissible(kind, spec);
  const judged = written === undefined ? 0 : validate(written).length;
  for (const next of [undefined, ...others(schema, valueAt(spec, steps))]) {
    const object = admissible(kind, withValue(spec, steps, next));
    if (object === undefined) continue;
    const { proxies, appearing, settled } = await mesh.plane.preview({ upserts: [object], deletes: [] });
    if (proxies.length > 0) return 'resource';
    const said = validate(object).length !== judged;
    seen.add(said || appearing.length + settled.length > 0 ? 'finding' : 'none');
  }
  return ORDER.findLast((effect) => seen.has(effect)) ?? 'refused';
}

function valueAt(value: unknown, steps: readonly PathStep[]): unknown {
  return steps.reduce((at: unknown, step) => (at as Readonly<Record<PathStep, unknown>> | undefined)?.[step], value);
}

function isTextMap(schema: Schema, value: unknown): value is Readonly<Record<string, string>> {
  if (schema.type !== 'object' || schema.properties !== undefined || typeof value !== 'object') return false;
  return value !== null && Object.values(value).every((each) => typeof each === 'string');
}

/** Values that might be allowed in its place. */
export function others(schema: Schema, value: unknown): readonly unknown[] {
  if (schema.enum !== undefined) return schema.enum.filter((each) => each !== value);
  if (typeof value === 'boolean') return [!value];
  if (typeof value === 'number') return [value + 1, value - 1];
  if (isTextMap(schema, value))
    return [Object.fromEntries(Object.entries(value).map(([key, text]) => [key, `${text}x`]))];
  if (typeof value !== 'string') return Array.isArray(value) && value.length > 1 ? [value.slice(1)] : [];
  if (schema.format === 'duration') return ['13s'];
  return [...[...SPARED].filter((each) => each !== value), `${value}x`, '10.9.9.9', '127.0.0.1:9'];
}
