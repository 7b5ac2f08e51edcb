// Injection of what holds a pod template: Deployments and their kin, Jobs, CronJobs, lists of them, and pods themselves.
// In: any Kubernetes object. Out: the object with its template injected, or why it stays as it is.
// Called by `kube-inject`.

import type { MeshConfig } from '../config/mesh.ts';
import type { YamlPort } from './config.ts';
import { decide } from './decision.ts';
import { injectPod } from './inject.ts';
import { type Owner, ownerOf } from './owner.ts';
import { isJson, type Json, type Pod, podOf } from './pod.ts';
import { proxyConfigFor } from './proxy-config.ts';
import type { InjectionRequest } from './render.ts';

export type WorkloadResult =
  | { readonly kind: 'injected'; readonly object: Json; readonly notes: readonly string[] }
  /** Unchanged; the notes say why, none where the object holds no pods. */
  | { readonly kind: 'unchanged'; readonly notes: readonly string[] }
  | { readonly kind: 'denied'; readonly problems: readonly string[] };

export type WorkloadSettings = Pick<
  InjectionRequest,
  'config' | 'revision' | 'nativeSidecars' | 'version' | 'functions'
> & {
  readonly mesh: MeshConfig;
  readonly yaml: YamlPort;
  /** For objects that name none. */
  readonly namespace: string;
};

const UNCHANGED: WorkloadResult = { kind: 'unchanged', notes: [] };

export function injectWorkload(raw: unknown, settings: WorkloadSettings): WorkloadResult {
  if (!isJson(raw)) return UNCHANGED;
  if (raw['kind'] === 'List' && Array.isArray(raw['items'])) return injectList(raw, raw['items'], settings);
  const place = templatePlace(raw);
  const template = place?.reduce<unknown>((value, step) => (isJson(value) ? value[step] : undefined), raw);
  if (place === undefined || !isJson(template)) return UNCHANGED;
  const { metadata } = raw as { readonly metadata?: unknown };
  const own = isJson(metadata) ? metadata : {};
  const name = typeof own['name'] === 'string' ? own['name'] : '';
  const where = typeof own['namespace'] === 'string' ? own['namespace'] : settings.namespace;
  const label = `${String(raw['kind'])} ${where}/${name}`;
  const read = podOf(template);
  if ('problem' in read) return { kind: 'denied', problems: [`${label}: ${read.problem}`] };
  const owner: Owner | undefined =
    place.length === 0
      ? undefined
      : { kind: String(raw['kind']), apiVersion: String(raw['apiVersion']), name, namespace: where };
  const result = injectTemplate(read.pod, where, owner, settings);
  if ('note' in result) return { kind: 'unchanged', notes: [`${label} is not injected: ${result.note}`] };
  if ('problems' in result) {
    return { kind: 'denied', problems: result.problems.map((problem) => `${label}: ${problem}`) };
  }
  return { kind: 'injected', object: withAt(raw, place, result.pod), notes: [] };
}

function injectList(raw: Json, items: readonly unknown[], settings: WorkloadSettings): WorkloadResult {
  const results = items.map((item) => injectWorkload(item, settings));
  const problems = results.flatMap((result) => (result.kind === 'denied' ? result.problems : []));
  if (problems.length > 0) return { kind: 'denied', problems };
  const notes = results.flatMap((result) => (result.kind === 'denied' ? [] : result.notes));
  if (!results.some(({ kind }) => kind === 'injected')) return { kind: 'unchanged', notes };
  const injected = results.map((result, index) => (result.kind === 'injected' ? result.object : items[index]));
  return { kind: 'injected', object: { ...raw, items: injected }, notes };
}

type Outcome = { readonly pod: Pod } | { readonly note: string } | { readonly problems: readonly string[] };

function injectTemplate(
  pod: Pod,
  namespace: string,
  owner: Owner | undefined,
  { config, mesh, yaml, ...settings }: WorkloadSettings,
): Outcome {
  // Whoever injects by hand wants it: only what the pod says of itself, and the selectors, say otherwise.
  const decision = decide(pod, namespace, { ...config, policy: 'enabled' });
  if (decision.kind === 'skip') return { note: decision.reason };
  const injection = injectPod({
    ...settings,
    pod,
    namespace,
    owner: owner ?? ownerOf(pod, namespace),
    config,
    mesh,
    yaml,
    proxyConfig: proxyConfigFor(pod, namespace, mesh, [], yaml),
    env: {},
  });
  return injection.kind === 'denied' ? { problems: injection.problems } : { pod: injection.pod };
}

/** Where the pod is in an object; undefined for objects without one. */
function templatePlace(raw: Json): readonly string[] | undefined {
  const { kind, spec } = raw as { readonly kind?: unknown; readonly spec?: unknown };
  if (!isJson(spec)) return undefined;
  if (kind === 'Pod') return [];
  if (kind === 'CronJob') return ['spec', 'jobTemplate', 'spec', 'template'];
  const { template } = spec as { readonly template?: unknown };
  // By shape, so that workloads of other controllers are injected as well.
  const inner = isJson(template) ? template['spec'] : undefined;
  return isJson(inner) && Array.isArray(inner['containers']) ? ['spec', 'template'] : undefined;
}

function withAt(json: Json, [step, ...rest]: readonly string[], value: Json): Json {
  if (step === undefined) return value;
  const inner = json[step];
  return { ...json, [step]: withAt(isJson(inner) ? inner : {}, rest, value) };
}
