// A pod as the API has it, as far as injection looks into it. Everything else is carried along untouched.
// In: JSON or YAML of anybody's making. Out: a Pod, or what is wrong with it.

export type Json = Readonly<Record<string, unknown>>;

export interface EnvVar {
  readonly name: string;
  readonly value?: string;
  readonly valueFrom?: Json;
}

export interface HttpGet {
  readonly path?: string;
  readonly port?: number | string;
  readonly scheme?: string;
  readonly [field: string]: unknown;
}

/** What a probe does and what a lifecycle hook does have these in common. */
export interface Handler {
  readonly httpGet?: HttpGet;
  readonly tcpSocket?: { readonly port?: number | string; readonly host?: string };
  readonly grpc?: Json;
  readonly timeoutSeconds?: number;
  readonly [field: string]: unknown;
}

export interface Lifecycle {
  readonly preStop?: Handler;
  readonly postStart?: Handler;
  readonly [field: string]: unknown;
}

export interface SecurityContext {
  readonly runAsUser?: number;
  readonly runAsGroup?: number;
  readonly [field: string]: unknown;
}

export interface Container {
  readonly name: string;
  readonly image?: string;
  readonly args?: readonly string[];
  readonly env?: readonly EnvVar[];
  readonly ports?: readonly { readonly name?: string; readonly containerPort: number; readonly protocol?: string }[];
  readonly readinessProbe?: Handler;
  readonly livenessProbe?: Handler;
  readonly startupProbe?: Handler;
  readonly lifecycle?: Lifecycle;
  readonly securityContext?: SecurityContext;
  readonly restartPolicy?: string;
  readonly [field: string]: unknown;
}

export interface PodMetadata {
  readonly name?: string;
  readonly generateName?: string;
  readonly namespace?: string;
  readonly labels?: Readonly<Record<string, string>>;
  readonly annotations?: Readonly<Record<string, string>>;
  readonly ownerReferences?: readonly {
    readonly apiVersion: string;
    readonly kind: string;
    readonly name: string;
    readonly controller?: boolean;
  }[];
  readonly [field: string]: unknown;
}

export interface PodSpec {
  readonly containers: readonly Container[];
  readonly initContainers?: readonly Container[];
  readonly volumes?: readonly { readonly name: string }[];
  readonly imagePullSecrets?: readonly { readonly name: string }[];
  readonly hostNetwork?: boolean;
  readonly nodeName?: string;
  readonly [field: string]: unknown;
}

export interface Pod {
  readonly metadata: PodMetadata;
  readonly spec: PodSpec;
  readonly [field: string]: unknown;
}

export const PROXY = 'istio-proxy';
export const INIT = 'istio-init';
export const VALIDATION = 'istio-validation';
/** Writes the bootstrap of a proxy that runs without an agent. */
export const BOOTSTRAP = 'istio-bootstrap';

export function isJson(value: unknown): value is Json {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

export type PodResult = { readonly pod: Pod } | { readonly problem: string };

/** Checks the parts that injection relies on; the API server checks the rest. */
export function podOf(raw: unknown): PodResult {
  if (!isJson(raw)) return { problem: 'is no object' };
  const { metadata = {}, spec } = raw as { metadata?: unknown; spec?: unknown };
  if (!isJson(metadata)) return { problem: 'metadata is no object' };
  if (!isJson(spec)) return { problem: 'spec is missing or no object' };
  for (const field of ['labels', 'annotations']) {
    const map = metadata[field];
    if (map === undefined || map === null) continue;
    const bad = isJson(map) ? Object.entries(map).find(([, value]) => typeof value !== 'string') : undefined;
    if (!isJson(map)) return { problem: `metadata.${field} is no map` };
    if (bad !== undefined) return { problem: `metadata.${field}: the value of ${bad[0]} is no text: quote it` };
  }
  for (const field of ['containers', 'initContainers', 'volumes', 'imagePullSecrets']) {
    const list = spec[field];
    if (list === undefined || list === null) continue;
    if (!Array.isArray(list)) return { problem: `spec.${field} is no list` };
    const at = list.findIndex((item) => !isJson(item) || typeof item['name'] !== 'string');
    if (at >= 0) return { problem: `spec.${field}[${at}] has no name` };
  }
  const containers = (spec['containers'] ?? []) as readonly Container[];
  return { pod: { ...raw, metadata: withoutNulls(metadata), spec: { ...withoutNulls(spec), containers } } };
}

function withoutNulls(json: Json): Json {
  return Object.fromEntries(Object.entries(json).filter(([, value]) => value !== null));
}

export function labelsOf(pod: Pod): Readonly<Record<string, string>> {
  return pod.metadata.labels ?? {};
}

export function annotationsOf(pod: Pod): Readonly<Record<string, string>> {
  return pod.metadata.annotations ?? {};
}

export function withAnnotations(pod: Pod, annotations: Readonly<Record<string, string>>): Pod {
  return { ...pod, metadata: { ...pod.metadata, annotations } };
}

export function withSpec(pod: Pod, fields: Partial<PodSpec>): Pod {
  return { ...pod, spec: { ...pod.spec, ...fields } };
}

/** Containers first, init containers after them. */
export function containerOf(pod: Pod, name: string): Container | undefined {
  return (
    pod.spec.containers.find((each) => each.name === name) ??
    pod.spec.initContainers?.find((each) => each.name === name)
  );
}

/** Changes one container, wherever it stands. */
export function withContainer(pod: Pod, name: string, change: (container: Container) => Container): Pod {
  const changed = (list: readonly Container[]): readonly Container[] =>
    list.map((each) => (each.name === name ? change(each) : each));
  const { initContainers } = pod.spec;
  return withSpec(pod, {
    containers: changed(pod.spec.containers),
    ...(initContainers === undefined ? {} : { initContainers: changed(initContainers) }),
  });
}

/** The first of both forms that a Go parser takes for a boolean. */
export function booleanOf(text: string | undefined): boolean | undefined {
  if (text === undefined) return undefined;
  if (['1', 't', 'T', 'TRUE', 'true', 'True'].includes(text)) return true;
  return ['0', 'f', 'F', 'FALSE', 'false', 'False'].includes(text) ? false : undefined;
}

/** Name for messages: pods of controllers have only a prefix when they are admitted. */
export function displayName(pod: Pod): string {
  const { name, generateName } = pod.metadata;
  if (name !== undefined && name !== '') return name;
  return generateName === undefined ? '' : `${generateName}***** (actual name not yet known)`;
}
