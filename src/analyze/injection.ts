// Injection of sidecars: labels of namespaces, Pods without a proxy, images that only injection can resolve.

import type { Finding } from '../config/object.ts';
import {
  type Analysis,
  type AnalyzedWorkload,
  fieldOf,
  isSystemNamespace,
  listOf,
  on,
  onWorkload,
} from './analysis.ts';
import { injectsByDefault, LEGACY, PROXY, REVISION, revisionOf } from './injector.ts';

const AMBIENT = 'istio.io/dataplane-mode';
const INJECT = 'sidecar.istio.io/inject';
const STATUS = 'sidecar.istio.io/status';

export function* namespaceLabels(analysis: Analysis): Iterable<Finding> {
  const byDefault = injectsByDefault(analysis);
  for (const namespace of analysis.list('Namespace')) {
    const { labels, name } = namespace;
    if (isSystemNamespace(analysis, name)) continue;
    if (labels[LEGACY] !== undefined && labels[REVISION] !== undefined) {
      yield on(
        namespace,
        'IST0123',
        'metadata.labels',
        `has both ${LEGACY} and ${REVISION}: the revision does not count`,
        'one of them',
      );
    } else if (labels[LEGACY] !== undefined || labels[REVISION] !== undefined || labels[AMBIENT] !== undefined) {
      continue;
    } else if (byDefault) {
      yield on(
        namespace,
        'IST0148',
        'metadata.labels',
        'is enabled for injection, as all namespaces without a label are',
      );
    } else {
      yield on(
        namespace,
        'IST0102',
        'metadata.labels',
        'is not enabled for injection',
        `${LEGACY}=enabled, or =disabled to say that this is meant`,
      );
    }
  }
}

export function* podsWithoutProxy(analysis: Analysis): Iterable<Finding> {
  const injected = injectedNamespaces(analysis);
  for (const workload of analysis.workloads) {
    const { pod, containers, annotations, document } = workload;
    if (pod === undefined || !injected.has(pod.namespace) || pod.spec.hostNetwork === true || optsOut(workload))
      continue;
    const native = listOf(fieldOf(document?.value, 'spec')['initContainers']).some((each) => each['name'] === PROXY);
    if (!containers.includes(PROXY) && !native && annotations[STATUS] === undefined)
      yield on(
        pod,
        'IST0103',
        'spec.containers',
        'has no proxy although its namespace is enabled for injection',
        'to be started anew',
      );
  }
}

/** `image: auto` stands for whatever injection puts there. */
export function* autoImages(analysis: Analysis): Iterable<Finding> {
  const injected = injectedNamespaces(analysis);
  for (const workload of analysis.workloads) {
    const labelled = workload.labels[INJECT] === 'true' || workload.labels[REVISION] !== undefined;
    if (labelled || (injected.has(workload.namespace) && !optsOut(workload))) continue;
    const { document, pod } = workload;
    const spec =
      pod === undefined
        ? fieldOf(fieldOf(fieldOf(document?.value, 'spec'), 'template'), 'spec')
        : fieldOf(document?.value, 'spec');
    const path = pod === undefined ? 'spec.template.spec.containers' : 'spec.containers';
    for (const [index, container] of listOf(spec['containers']).entries()) {
      if (container['image'] !== 'auto') continue;
      const code = pod === undefined ? 'IST0146' : 'IST0147';
      yield onWorkload(workload, code, `${path}[${index}].image`, 'has image auto, but nothing is injected here');
    }
  }
}

/** The proxy's own user: its traffic is not captured, so an application of that user bypasses the mesh. */
const PROXY_UID = 1337;

export function* applicationUsers(analysis: Analysis): Iterable<Finding> {
  for (const workload of analysis.workloads) {
    if (isSystemNamespace(analysis, workload.namespace) || optsOut(workload)) continue;
    const { document, pod } = workload;
    const top = fieldOf(document?.value, 'spec');
    const spec = pod === undefined ? fieldOf(fieldOf(top, 'template'), 'spec') : top;
    const path = pod === undefined ? 'spec.template.spec' : 'spec';
    const podUser = fieldOf(spec, 'securityContext')['runAsUser'];
    for (const [index, container] of listOf(spec['containers']).entries()) {
      if (container['name'] === PROXY) continue;
      const user = fieldOf(container, 'securityContext')['runAsUser'] ?? podUser;
      if (user === PROXY_UID)
        yield onWorkload(
          workload,
          'IST0144',
          `${path}.containers[${index}].securityContext.runAsUser`,
          `runs as user ${PROXY_UID}, whose traffic bypasses the proxy`,
        );
    }
  }
}

function injectedNamespaces(analysis: Analysis): ReadonlySet<string> {
  const enabled = analysis.list('Namespace').filter(({ labels }) => revisionOf(labels) !== undefined);
  return new Set(enabled.map(({ name }) => name));
}

function optsOut({ labels, annotations }: AnalyzedWorkload): boolean {
  return (labels[INJECT] ?? annotations[INJECT]) === 'false';
}
