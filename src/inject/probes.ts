// Probes and lifecycle hooks of applications go to the agent, which asks the application from inside the pod: kubelet has
// no certificate of the mesh, and a TCP probe would only find the proxy.
// In: a pod with a proxy. Out: the same with handlers rewritten and the originals in ISTIO_KUBE_APP_PROBERS. A proxy without
// an agent is told of them by its bootstrap; of hooks it can pass on HTTP alone.

import {
  annotationsOf,
  booleanOf,
  BOOTSTRAP,
  type Container,
  containerOf,
  type Handler,
  isJson,
  type Lifecycle,
  type Pod,
  PROXY,
  withContainer,
  withSpec,
} from './pod.ts';

export const PROBERS = 'ISTIO_KUBE_APP_PROBERS';

export interface ProbeSettings {
  /** Of the values; the pod's annotation wins. */
  readonly enabled: boolean;
  /** Of the mesh; the pod's annotation wins. */
  readonly statusPort: number;
  readonly wasInjected: boolean;
}

/** An original as the agent reads it. */
type Prober = Pick<Handler, 'httpGet' | 'tcpSocket' | 'grpc' | 'timeoutSeconds'>;

const PROBES = [
  ['readinessProbe', 'readyz'],
  ['livenessProbe', 'livez'],
  ['startupProbe', 'startupz'],
] as const;

const HOOKS = [
  ['preStop', 'prestopz'],
  ['postStart', 'poststartz'],
] as const;

export function rewriteProbes(pod: Pod, settings: ProbeSettings): Pod {
  const wanted = booleanOf(annotationsOf(pod)['sidecar.istio.io/rewriteAppHTTPProbers']) ?? settings.enabled;
  if (!wanted || containerOf(pod, PROXY) === undefined) return pod;
  const statusPort = Number(annotationsOf(pod)['status.sidecar.istio.io/port'] ?? settings.statusPort);
  const agentless = containerOf(pod, BOOTSTRAP) !== undefined;
  const scope: Scope = { statusPort, agentless };
  const probers = probersOf(pod, scope);
  const reader = agentless ? BOOTSTRAP : PROXY;
  const told = Object.keys(probers).length === 0 ? pod : tell(pod, reader, probers, settings.wasInjected);
  const rewritten = (list: readonly Container[]): readonly Container[] =>
    list.map((container) => (isOwn(container) ? container : withRewritten(container, scope)));
  const { initContainers } = told.spec;
  return withSpec(told, {
    containers: rewritten(told.spec.containers),
    ...(initContainers === undefined ? {} : { initContainers: rewritten(initContainers) }),
  });
}

const isOwn = ({ name }: Container): boolean => name === PROXY || name === BOOTSTRAP;

interface Scope {
  readonly statusPort: number;
  readonly agentless: boolean;
}

function probersOf(pod: Pod, scope: Scope): Readonly<Record<string, Prober>> {
  const probers: Record<string, Prober> = {};
  for (const container of [...(pod.spec.initContainers ?? []), ...pod.spec.containers]) {
    if (isOwn(container)) continue;
    const add = (path: string, handler: Handler | undefined, hook: boolean): void => {
      const prober = handler === undefined ? undefined : proberOf(handler, container, scope, hook);
      if (prober !== undefined) probers[path] = prober;
    };
    for (const [field, word] of PROBES) add(`/app-health/${container.name}/${word}`, container[field], false);
    for (const [field, word] of HOOKS)
      add(`/app-lifecycle/${container.name}/${word}`, container.lifecycle?.[field], true);
  }
  return probers;
}

/** Undefined for what is no business of the agent's, or is the agent's already. */
function proberOf(
  handler: Handler,
  container: Container,
  { statusPort, agentless }: Scope,
  hook: boolean,
): Prober | undefined {
  const timeout = handler.timeoutSeconds === undefined ? {} : { timeoutSeconds: handler.timeoutSeconds };
  const { httpGet, tcpSocket, grpc } = handler;
  if (isElsewhere(handler) || (agentless && hook && httpGet === undefined)) return undefined;
  if (httpGet === undefined && tcpSocket === undefined) {
    return grpc === undefined || hook ? undefined : { grpc, ...timeout };
  }
  const port = portOf((httpGet ?? tcpSocket)?.port, container);
  if (port === undefined || (port === statusPort && (httpGet ?? tcpSocket)?.port === statusPort)) return undefined;
  return httpGet === undefined
    ? { tcpSocket: { ...tcpSocket, port }, ...timeout }
    : { httpGet: { ...httpGet, port }, ...timeout };
}

/** A handler that names a host does not ask this pod. */
function isElsewhere({ httpGet, tcpSocket }: Handler): boolean {
  const host = httpGet?.['host'] ?? tcpSocket?.host;
  return host !== undefined && host !== '';
}

/** Named ports are known to Kubernetes only. */
function portOf(port: number | string | undefined, container: Container): number | undefined {
  if (typeof port === 'number') return port;
  const named = container.ports?.find(({ name }) => name !== undefined && name === port)?.containerPort;
  return named ?? (port !== undefined && /^\d+$/.test(port) ? Number(port) : undefined);
}

/** An earlier injection's originals are kept: the handlers that are in the pod now are not the user's. */
function tell(pod: Pod, reader: string, probers: Readonly<Record<string, Prober>>, wasInjected: boolean): Pod {
  return withContainer(pod, reader, (container) => {
    const env = container.env ?? [];
    const before = wasInjected ? parsedProbers(env.find(({ name }) => name === PROBERS)?.value) : {};
    return {
      ...container,
      env: [
        ...env.filter(({ name }) => name !== PROBERS),
        { name: PROBERS, value: formatProbers({ ...probers, ...before }) },
      ],
    };
  });
}

/** In order of the keys: what is found again must read the same. */
function formatProbers(probers: Readonly<Record<string, unknown>>): string {
  return JSON.stringify(Object.fromEntries(Object.entries(probers).toSorted(([a], [b]) => (a < b ? -1 : 1))));
}

function parsedProbers(text: string | undefined): Readonly<Record<string, unknown>> {
  try {
    const value: unknown = JSON.parse(text ?? '{}');
    return isJson(value) ? value : {};
  } catch {
    return {};
  }
}

function withRewritten(container: Container, scope: Scope): Container {
  const changed: Record<string, unknown> = {};
  for (const [field, word] of PROBES) {
    const probe = toAgent(container[field], `/app-health/${container.name}/${word}`, scope, false);
    if (probe !== undefined) changed[field] = probe;
  }
  const lifecycle = hooksOf(container, scope);
  return { ...container, ...changed, ...(lifecycle === undefined ? {} : { lifecycle }) };
}

function hooksOf({ name, lifecycle }: Container, scope: Scope): Lifecycle | undefined {
  if (lifecycle === undefined) return undefined;
  const changed: Record<string, Handler> = {};
  for (const [field, word] of HOOKS) {
    const hook = toAgent(lifecycle[field], `/app-lifecycle/${name}/${word}`, scope, true);
    if (hook !== undefined) changed[field] = hook;
  }
  return { ...lifecycle, ...changed };
}

function toAgent(handler: Handler | undefined, path: string, scope: Scope, hook: boolean): Handler | undefined {
  if (handler === undefined || isElsewhere(handler)) return undefined;
  if (scope.agentless && hook && handler.httpGet === undefined) return undefined;
  const { httpGet, tcpSocket, grpc, ...rest } = handler;
  if (httpGet === undefined && tcpSocket === undefined && (grpc === undefined || hook)) return undefined;
  // The agent speaks HTTPS to the application if that is what the original says.
  const scheme = httpGet?.scheme === 'HTTPS' ? { scheme: 'HTTP' } : {};
  return { ...rest, httpGet: { ...httpGet, ...scheme, path, port: scope.statusPort } };
}
