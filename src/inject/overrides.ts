// A user's own settings for a container that a template brings (an `istio-proxy` with other resources, say) win over the
// template's, and are remembered for the next injection.
// In: the merged pod, the pod before, what the templates added. Out: the pod with the settings on top.

import { strategicMerge } from './merge.ts';
import {
  annotationsOf,
  BOOTSTRAP,
  type Container,
  containerOf,
  INIT,
  type Json,
  type Pod,
  PROXY,
  VALIDATION,
  withAnnotations,
  withContainer,
} from './pod.ts';
import { OVERRIDES, overridesOf, statusOf } from './status.ts';

type ContainerList = 'containers' | 'initContainers';

/** `image: auto` leaves the choice to the template: Kubernetes wants some image. */
const AUTO = 'auto';

export function withOverrides(pod: Pod, before: Pod, added: Pod, interceptionMode: string | undefined): Pod {
  const wasInjected = statusOf(before) !== undefined;
  const saved = overridesOf(before);
  const found: Record<ContainerList, Container[]> = { containers: [], initContainers: [] };
  let result = pod;
  for (const list of ['containers', 'initContainers'] as const) {
    for (const { name } of added.spec[list] ?? []) {
      const own =
        saved[list].find((each) => each.name === name) ?? (wasInjected ? undefined : ownOf(before, list, name));
      if (own === undefined) continue;
      const { image, ...rest } = own;
      const overlay: Container = {
        ...rest,
        ...(image === undefined || image === AUTO || image === '' ? {} : { image }),
      };
      found[list].push(overlay);
      // An empty list of containers is no wish to have none.
      result = strategicMerge(result, { spec: { [list]: [overlay as Json] } }) as Pod;
    }
  }
  if (!wasInjected && found.containers.length + found.initContainers.length > 0) {
    const remembered = Object.fromEntries(Object.entries(found).filter(([, containers]) => containers.length > 0));
    result = withAnnotations(result, { ...annotationsOf(result), [OVERRIDES]: JSON.stringify(remembered) });
  }
  return withProxyUser(result, proxyBefore(before), interceptionMode);
}

function ownOf(pod: Pod, list: ContainerList, name: string): Container | undefined {
  return list === 'containers' ? pod.spec.containers.find((each) => each.name === name) : containerOf(pod, name);
}

/** What the user wrote of the proxy, if anything. */
function proxyBefore(pod: Pod): Container | undefined {
  const saved = overridesOf(pod);
  const remembered = [...saved.containers, ...saved.initContainers].find(({ name }) => name === PROXY);
  return remembered ?? (statusOf(pod) === undefined ? containerOf(pod, PROXY) : undefined);
}

/** The rules leave alone the traffic of the proxy's user, so they must know which user that is. */
function withProxyUser(pod: Pod, own: Container | undefined, interceptionMode: string | undefined): Pod {
  const { runAsUser, runAsGroup } = own?.securityContext ?? {};
  if (runAsUser === undefined && runAsGroup === undefined) return pod;
  const mode = annotationsOf(pod)['sidecar.istio.io/interceptionMode'] ?? interceptionMode;
  const isTproxy = mode === 'TPROXY';
  let result = pod;
  // Transparent sockets need root.
  if (isTproxy && runAsUser !== undefined) result = withSecurity(result, PROXY, { runAsUser: 0 });
  const user = {
    ...(runAsUser === undefined ? {} : { runAsUser }),
    ...(runAsGroup === undefined ? {} : { runAsGroup }),
  };
  if (!isTproxy) {
    for (const name of [VALIDATION, BOOTSTRAP]) {
      if (containerOf(result, name) !== undefined) result = withSecurity(result, name, user);
    }
  }
  if (runAsUser === undefined || runAsUser === 0 || isTproxy) return result;
  for (const name of [INIT, VALIDATION]) {
    result = withContainer(result, name, (container) => ({
      ...container,
      args: withUid(container.args ?? [], runAsUser),
    }));
  }
  return result;
}

function withSecurity(pod: Pod, name: string, user: Json): Pod {
  return withContainer(pod, name, (container) => ({
    ...container,
    securityContext: { ...container.securityContext, ...user },
  }));
}

function withUid(args: readonly string[], uid: number): readonly string[] {
  const at = args.indexOf('-u');
  return at < 0 ? args : args.map((arg, index) => (index === at + 1 ? String(uid) : arg));
}
