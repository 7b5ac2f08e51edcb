// Which injector a namespace has, and what its settings say against what is there: namespaces that need no label, Pods with another proxy.
// The settings are the ConfigMap `istio-sidecar-injector[-REVISION]` as charts write it, its `values` JSON.

import type { ConfigMapBody } from '../config/core.ts';
import type { Finding } from '../config/object.ts';
import { type Analysis, fieldOf, type Labels, listOf, on } from './analysis.ts';

export const LEGACY = 'istio-injection';
export const REVISION = 'istio.io/rev';
const IMAGE = 'sidecar.istio.io/proxyImage';
export const PROXY = 'istio-proxy';

/** Whether Pods of namespaces without any label are injected. */
export function injectsByDefault(analysis: Analysis): boolean {
  return fieldOf(valuesOf(analysis, ''), 'sidecarInjectorWebhook')['enableNamespacesByDefault'] === true;
}

/** Pods keep the proxy that they were started with until they are started anew. */
export function* proxyImages(analysis: Analysis): Iterable<Finding> {
  const images = new Map<string, string | undefined>();
  for (const namespace of analysis.list('Namespace')) {
    const revision = revisionOf(namespace.labels);
    if (revision === undefined) continue;
    if (!images.has(revision)) images.set(revision, imageOf(analysis, revision));
    const image = images.get(revision);
    if (image === undefined) continue;
    const others = analysis.workloads.filter(
      (workload) =>
        workload.pod?.namespace === namespace.name &&
        workload.annotations[IMAGE] === undefined &&
        // The variants of an image (`-distroless`, `-debug`) are named by the Pod or the mesh.
        proxiesOf(workload.document?.value).some((own) => own !== image && !own.startsWith(`${image}-`)),
    );
    if (others.length === 0) continue;
    const names = others.map(({ pod }) => pod?.name).join(', ');
    yield on(
      namespace,
      'IST0158',
      'metadata.name',
      `has Pods with another proxy than ${image}, which is injected now: ${names}`,
      'to be started anew',
    );
  }
}

/** The revision that injects a namespace with these labels; empty is the default one, undefined none. */
export function revisionOf(labels: Labels): string | undefined {
  if (labels[LEGACY] === 'enabled') return '';
  return labels[LEGACY] === undefined ? labels[REVISION] : undefined;
}

function imageOf(analysis: Analysis, revision: string): string | undefined {
  const global = fieldOf(valuesOf(analysis, revision), 'global');
  const { image } = fieldOf(global, 'proxy');
  if (typeof image !== 'string' || image === '') return undefined;
  if (image.includes('/')) return image;
  return `${String(global['hub'])}/${image}:${String(global['tag'])}`;
}

function valuesOf(analysis: Analysis, revision: string): unknown {
  const suffix = revision === '' || revision === 'default' ? '' : `-${revision}`;
  const found = analysis
    .list<ConfigMapBody>('ConfigMap')
    .find(({ name }) => name === `istio-sidecar-injector${suffix}`);
  try {
    return JSON.parse(found?.spec.data['values'] ?? '{}');
  } catch {
    return {};
  }
}

function proxiesOf(pod: unknown): readonly string[] {
  const spec = fieldOf(pod, 'spec');
  return [...listOf(spec['containers']), ...listOf(spec['initContainers'])].flatMap(({ name, image }) =>
    name === PROXY && typeof image === 'string' ? [image] : [],
  );
}
