// Templates over a pod: which ones, what they see, and their merge.
// In: an InjectionRequest. Out: the pod with every template merged over it in order, and what the templates added alone.
// Called by inject.ts.

import type { MeshConfig, MeshProxyConfig } from '../config/mesh.ts';
import type { InjectionConfig, YamlPort } from './config.ts';
import { MergeError, strategicMerge } from './merge.ts';
import type { Owner } from './owner.ts';
import { annotationsOf, isJson, type Json, type Pod, PROXY, withSpec } from './pod.ts';
import { strippedPod } from './status.ts';
import { TemplateError } from './template/error.ts';
import { renderTemplate, type TemplateFunction } from './template/evaluate.ts';
import { bagOf, textOf } from './template/values.ts';
import { deepFreeze } from '../lib/equal.ts';

export interface InjectionRequest {
  readonly pod: Pod;
  readonly namespace: string;
  readonly owner: Owner;
  readonly config: InjectionConfig;
  readonly mesh: MeshConfig;
  /** Of the mesh, of ProxyConfig objects and of the pod's annotation, merged. */
  readonly proxyConfig: MeshProxyConfig;
  readonly revision: string;
  /** Further variables of the proxy, from the path of the request. */
  readonly env: Readonly<Record<string, string>>;
  /** The cluster runs native sidecars; the pod's annotation wins. */
  readonly nativeSidecars: boolean;
  /** Tag of images where the values name none. */
  readonly version: string;
  readonly functions: ReadonlyMap<string, TemplateFunction>;
  readonly yaml: YamlPort;
}

export type RenderResult =
  | { readonly kind: 'rendered'; readonly pod: Pod; readonly added: Pod }
  | { readonly kind: 'problem'; readonly problem: string };

export const TEMPLATES_ANNOTATION = 'inject.istio.io/templates';

const EMPTY: Pod = { metadata: {}, spec: { containers: [] } };

/** Renders and merges; the first template with a fault ends it. */
export function render(request: InjectionRequest): RenderResult {
  const data = templateData(request);
  let pod = request.pod;
  let added = EMPTY;
  for (const name of templateNames(request)) {
    const patch = rendered(name, data, request);
    if ('problem' in patch) return { kind: 'problem', problem: patch.problem };
    try {
      added = asPod(strategicMerge(added, patch.json));
      pod = asPod(strategicMerge(movedProxy(pod, added), patch.json));
    } catch (error) {
      if (error instanceof MergeError) return { kind: 'problem', problem: `template ${name}: ${error.message}` };
      throw error;
    }
  }
  return { kind: 'rendered', pod, added };
}

/** Aliases are opened once. */
export function templateNames({ pod, config }: Pick<InjectionRequest, 'pod' | 'config'>): readonly string[] {
  const wanted = annotationsOf(pod)
    [TEMPLATES_ANNOTATION]?.split(',')
    .map((name) => name.trim());
  return (wanted ?? config.defaultTemplates).flatMap((name) => config.aliases[name] ?? [name]);
}

/**
 * A user's own settings for the proxy stand among the containers; where the proxy is a native sidecar they belong to the
 * init containers, or there would be two of it.
 */
function movedProxy(pod: Pod, added: Pod): Pod {
  const own = pod.spec.containers.find(({ name }) => name === PROXY);
  const isNative = added.spec.initContainers?.some(({ name }) => name === PROXY) === true;
  if (own === undefined || !isNative) return pod;
  return withSpec(pod, {
    containers: pod.spec.containers.filter((each) => each !== own),
    initContainers: [...(pod.spec.initContainers ?? []), own],
  });
}

function asPod(json: Json): Pod {
  const { metadata, spec } = json as Partial<Pod>;
  return { ...json, metadata: metadata ?? {}, spec: { ...spec, containers: spec?.containers ?? [] } };
}

function rendered(
  name: string,
  data: Json,
  { config, functions, yaml }: InjectionRequest,
): { readonly json: Json } | { readonly problem: string } {
  const template = config.templates.get(name);
  if (template === undefined) {
    const known = [...config.templates.keys()].toSorted().join(', ');
    return { problem: `template ${JSON.stringify(name)} does not exist: expected ${known}` };
  }
  if ('problem' in template) return template;
  try {
    const result = renderTemplate(template, data, functions);
    const parsed = yaml.parse(result.text);
    if (parsed.kind === 'problem') {
      return {
        problem: new TemplateError(name, result.lineOf(parsed.at.line), `gives wrong YAML: ${parsed.message}`).message,
      };
    }
    if (parsed.value === undefined || parsed.value === null) return { json: {} };
    return isJson(parsed.value)
      ? { json: withTextMaps(parsed.value) }
      : { problem: `template ${name} gives no map but ${typeof parsed.value}` };
  } catch (error) {
    if (error instanceof TemplateError) return { problem: error.message };
    throw error;
  }
}

/** Labels and annotations are text, whatever YAML takes `version: 1` for. */
function withTextMaps(json: Json): Json {
  const metadata = json['metadata'];
  if (!isJson(metadata)) return json;
  const texts = Object.fromEntries(
    ['labels', 'annotations'].flatMap((field) => {
      const map = metadata[field];
      if (!isJson(map)) return [];
      return [
        [
          field,
          Object.fromEntries(Object.entries(map).map(([key, value]) => [key, value === null ? null : textOf(value)])),
        ],
      ];
    }),
  );
  return { ...json, metadata: { ...metadata, ...texts } };
}

/** What templates see, by the names that istiod's templates use. */
function templateData(request: InjectionRequest): Json {
  const { pod, owner, namespace, mesh, config, revision, nativeSidecars } = request;
  const seen = strippedPod(pod, mesh.defaultConfig.statusPort);
  const proxyConfig = { ...request.proxyConfig, interceptionMode: request.proxyConfig.interceptionMode ?? 'REDIRECT' };
  const image = (section: 'proxy' | 'proxy_init'): string => imageOf(section, request, annotationsOf(seen));
  return deepFreeze(
    structuredCopy({
      TypeMeta: { APIVersion: owner.apiVersion, Kind: owner.kind },
      DeploymentMeta: { Name: owner.name, Namespace: owner.namespace },
      ObjectMeta: { namespace, ...seen.metadata },
      Spec: seen.spec,
      ProxyConfig: proxyConfig,
      MeshConfig: mesh,
      Values: config.values,
      Revision: revision,
      NativeSidecars: nativeSidecars,
      ProxyImage: image('proxy'),
      ProxyInitImage: image('proxy_init'),
      InboundTrafficPolicyMode: mesh.inboundTrafficPolicy.mode === 'LOCALHOST' ? 'localhost' : 'passthrough',
    }),
  );
}

/** Freezing must not reach into what others hold; values and mesh are frozen or never written to. */
function structuredCopy(data: Json): Json {
  return {
    ...data,
    ObjectMeta: copied(data['ObjectMeta']),
    Spec: copied(data['Spec']),
    ProxyConfig: copied(data['ProxyConfig']),
    MeshConfig: copied(data['MeshConfig']),
  };
}

function copied(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(copied);
  if (!isJson(value)) return value;
  return Object.fromEntries(Object.entries(value).map(([key, item]) => [key, copied(item)]));
}

const IMAGE_TYPES = ['distroless', 'debug'];

function imageOf(
  section: 'proxy' | 'proxy_init',
  { config, proxyConfig, version }: InjectionRequest,
  annotations: Readonly<Record<string, string>>,
): string {
  const global = bagOf(config.values['global']);
  const name = textOf(bagOf(global[section])['image']) || 'meltemi';
  if (name.includes('/')) return name;
  const hub = textOf(global['hub']);
  const type = annotations['sidecar.istio.io/proxyImageType'] ?? proxyConfig.image?.imageType ?? '';
  return `${hub === '' ? '' : `${hub}/`}${name}:${tagOf(textOf(global['tag']) || version, type)}`;
}

/** A type of image is a suffix of the tag, in place of the one that is there. */
function tagOf(tag: string, type: string): string {
  if (type === '') return tag;
  const known = IMAGE_TYPES.find((each) => tag.endsWith(`-${each}`));
  const plain = known === undefined ? tag : tag.slice(0, -known.length - 1);
  return type === 'default' ? plain : `${plain}-${type}`;
}
