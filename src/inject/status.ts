// What injection leaves in a pod's annotations to know itself again: which containers are its own, and what the user
// had written into them.
// In: a pod, perhaps injected before. Out: the pod as its user wrote it. So rendering twice gives the same pod.

import { withoutPrometheus, scrapePortOf } from './prometheus.ts';
import {
  annotationsOf,
  type Container,
  containerOf,
  isJson,
  type Pod,
  PROXY,
  withAnnotations,
  withSpec,
} from './pod.ts';

export const STATUS = 'sidecar.istio.io/status';
export const OVERRIDES = 'proxy.istio.io/overrides';

export interface InjectionStatus {
  readonly initContainers: readonly string[];
  readonly containers: readonly string[];
}

export interface Overrides {
  readonly containers: readonly Container[];
  readonly initContainers: readonly Container[];
}

/** Undefined for a pod that was not injected, or whose status is no JSON. */
export function statusOf(pod: Pod): InjectionStatus | undefined {
  const status = parsed(annotationsOf(pod)[STATUS]);
  if (status === undefined) return undefined;
  const names = (key: string): readonly string[] => {
    const list = status[key];
    return Array.isArray(list) ? list.filter((each) => typeof each === 'string') : [];
  };
  return { initContainers: names('initContainers'), containers: names('containers') };
}

/** What templates added, and by which revision. */
export function formatStatus(added: Pod['spec'], revision: string): string {
  const names = (list: readonly { readonly name: string }[] | undefined): readonly string[] | null =>
    list === undefined || list.length === 0 ? null : list.map(({ name }) => name);
  return JSON.stringify({
    initContainers: names(added.initContainers),
    containers: names(added.containers),
    volumes: names(added.volumes),
    imagePullSecrets: names(added.imagePullSecrets),
    revision: revision === '' ? 'default' : revision,
  });
}

/** What the user's pod said about containers of the templates, before the first injection. */
export function overridesOf(pod: Pod): Overrides {
  const saved = parsed(annotationsOf(pod)[OVERRIDES]);
  const list = (key: string): readonly Container[] => {
    const containers = saved?.[key];
    return Array.isArray(containers)
      ? containers.filter((each): each is Container => isJson(each) && typeof each['name'] === 'string')
      : [];
  };
  return { containers: list('containers'), initContainers: list('initContainers') };
}

/** The pod without what an earlier injection added, for templates to look at. */
export function strippedPod(pod: Pod, statusPort: number): Pod {
  const status = statusOf(pod);
  if (status === undefined) return withProxyLast(pod);
  const saved = overridesOf(pod);
  const { [STATUS]: _status, ...annotations } = annotationsOf(pod);
  const { containers, initContainers } = pod.spec;
  const restored = withSpec(pod, {
    containers: restore(containers, status.containers, saved.containers),
    ...(initContainers === undefined
      ? {}
      : { initContainers: restore(initContainers, status.initContainers, saved.initContainers) }),
  });
  const isOurs = scrapePortOf(annotations) === String(statusPort);
  return withProxyLast(withAnnotations(restored, isOurs ? withoutPrometheus(annotations) : annotations));
}

/** In their places: templates go through containers in order. */
function restore(
  list: readonly Container[],
  injected: readonly string[],
  saved: readonly Container[],
): readonly Container[] {
  const there = list.flatMap((container) => {
    if (!injected.includes(container.name)) return [container];
    const own = saved.find(({ name }) => name === container.name);
    return own === undefined ? [] : [own];
  });
  return [...there, ...saved.filter(({ name }) => !there.some((each) => each.name === name))];
}

/** Injection moves the proxy; templates find a user's own settings for it in one place, whether it has been moved or not. */
function withProxyLast(pod: Pod): Pod {
  const own = containerOf(pod, PROXY);
  if (own === undefined) return pod;
  const { containers, initContainers } = pod.spec;
  const others = (list: readonly Container[]): readonly Container[] => list.filter(({ name }) => name !== PROXY);
  return withSpec(pod, {
    containers: [...others(containers), own],
    ...(initContainers === undefined ? {} : { initContainers: others(initContainers) }),
  });
}

function parsed(text: string | undefined): Readonly<Record<string, unknown>> | undefined {
  if (text === undefined) return undefined;
  try {
    const value: unknown = JSON.parse(text);
    return isJson(value) ? value : undefined;
  } catch {
    return undefined;
  }
}
