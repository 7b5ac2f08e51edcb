// The order of containers, which decides what starts before what.
// In: a merged pod. Out: the same with its own containers in their places.

import { BOOTSTRAP, type Container, INIT, type Pod, PROXY, VALIDATION, withSpec } from './pod.ts';

const CORE_DUMP = 'enable-core-dump';

/** `holds`: applications start only once the proxy is ready, so it comes first. */
export function arranged(pod: Pod, holds: boolean): Pod {
  const { containers, initContainers } = pod.spec;
  // Last, so that `kubectl exec` goes to the application by default.
  const ordered = holds ? first(containers, [PROXY]) : last(containers, [PROXY]);
  if (initContainers === undefined) return withSpec(pod, { containers: ordered });
  return withSpec(pod, { containers: ordered, initContainers: arrangedInit(initContainers) });
}

function arrangedInit(list: readonly Container[]): readonly Container[] {
  // With a native sidecar other init containers are part of the mesh already.
  if (list.some(({ name }) => name === PROXY)) return first(list, [INIT, VALIDATION, BOOTSTRAP, PROXY, CORE_DUMP]);
  // Validation keeps everything else from starting in a broken pod; rules are set last, as they cut off what runs
  // before the proxy.
  return last(first(list, [VALIDATION, BOOTSTRAP]), [INIT, CORE_DUMP]);
}

function first(list: readonly Container[], names: readonly string[]): readonly Container[] {
  return [...named(list, names), ...list.filter(({ name }) => !names.includes(name))];
}

function last(list: readonly Container[], names: readonly string[]): readonly Container[] {
  return [...list.filter(({ name }) => !names.includes(name)), ...named(list, names)];
}

function named(list: readonly Container[], names: readonly string[]): readonly Container[] {
  return names.flatMap((name) => list.filter((each) => each.name === name));
}
