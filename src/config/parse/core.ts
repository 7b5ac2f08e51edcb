// Kubernetes' own kinds, projected to the types of config/core.ts.
// In: the raw object. Out: spec and status, problems. Called by parse/index.ts.

import { base64OfText, isBase64 } from '../../lib/base64.ts';
import type {
  ConfigMapBody,
  EndpointSliceBody,
  NodeStatus,
  PodContainer,
  PodSpec,
  PodStatus,
  SecretBody,
  ServiceSpec,
  ServiceStatus,
} from '../core.ts';
import type { Kind } from '../object.ts';
import { conform } from '../schema/conform.ts';
import type { Problem } from '../schema/schema.ts';
import type { Of, Typed } from '../schema/typed.ts';
import * as schemas from './core-schemas.ts';

export interface Body {
  readonly spec: unknown;
  readonly status?: unknown;
  readonly problems: readonly Problem[];
}

interface Context {
  readonly namespace: string;
  readonly labels: Readonly<Record<string, string>>;
}

/** What is `checked` conforms to the schema already. */
export type Projector = (raw: unknown, context: Context, checked: boolean) => Body;

/** Ties a schema to the projection of what conforms to it. */
function projector<S extends Typed<unknown>>(
  schema: S,
  project: (value: Of<S>, context: Context, problems: Problem[]) => Omit<Body, 'problems'>,
): Projector {
  return (raw, context, checked) => {
    const conformed = checked ? { value: raw, problems: [] } : conform(schema, raw);
    // The walker leaves out what is wrong, so required members may be missing here: with problems nothing is projected.
    if (conformed.problems.length > 0) return { spec: {}, problems: conformed.problems };
    const problems: Problem[] = [];
    return { ...project(conformed.value as Of<S>, context, problems), problems };
  };
}

const bare = projector(schemas.bareSchema, () => ({ spec: {} }));

const PROJECTORS: Partial<Record<Kind, Projector>> = {
  Namespace: bare,
  ServiceAccount: bare,
  Node: projector(schemas.nodeSchema, (node) => {
    const kubeletVersion = node.status?.nodeInfo?.kubeletVersion;
    const status: NodeStatus = {
      addresses: node.status?.addresses ?? [],
      ...(kubeletVersion === undefined ? {} : { kubeletVersion }),
    };
    return { spec: {}, status };
  }),
  Pod: projector(schemas.podSchema, (pod) => ({ spec: podSpec(pod), status: podStatus(pod) })),
  Service: projector(schemas.serviceSchema, (service) => ({
    spec: serviceSpec(service),
    status: serviceStatus(service),
  })),
  EndpointSlice: projector(schemas.endpointSliceSchema, (slice, context) => ({ spec: sliceBody(slice, context) })),
  Secret: projector(schemas.secretSchema, (secret, _context, problems) => ({ spec: secretBody(secret, problems) })),
  ConfigMap: projector(schemas.configMapSchema, (map) => {
    const spec: ConfigMapBody = { data: map.data ?? {} };
    return { spec };
  }),
};

/** Undefined for kinds that are not Kubernetes' own. */
export function coreProjector(kind: Kind): Projector | undefined {
  return PROJECTORS[kind];
}

type RawPod = Of<typeof schemas.podSchema>;

function podSpec(pod: RawPod): PodSpec {
  const spec = pod.spec ?? {};
  // Init containers that keep running (native sidecars) listen like any other container.
  const sidecars = (spec.initContainers ?? []).filter((container) => container.restartPolicy === 'Always');
  return {
    nodeName: spec.nodeName,
    serviceAccountName: spec.serviceAccountName ?? 'default',
    hostNetwork: spec.hostNetwork,
    hostname: spec.hostname,
    subdomain: spec.subdomain,
    containers: [...(spec.containers ?? []), ...sidecars].map(
      (container): PodContainer => ({
        name: container.name ?? '',
        ports: (container.ports ?? []).map((port) => ({
          name: port.name,
          containerPort: port.containerPort,
          protocol: port.protocol ?? 'TCP',
        })),
      }),
    ),
  };
}

function podStatus(pod: RawPod): PodStatus {
  const status = pod.status ?? {};
  const ips = (status.podIPs ?? []).flatMap((entry) => (entry.ip === undefined ? [] : [entry.ip]));
  const conditions = status.conditions ?? [];
  const running = status.phase === undefined || status.phase === 'Running';
  return {
    phase: status.phase,
    podIPs: ips.length > 0 ? ips : status.podIP === undefined || status.podIP === '' ? [] : [status.podIP],
    // A pod in a file need not carry conditions to count as ready.
    ready:
      conditions.length === 0
        ? running
        : conditions.some((condition) => condition.type === 'Ready' && condition.status === 'True'),
  };
}

type RawService = Of<typeof schemas.serviceSchema>;

function serviceSpec(service: RawService): ServiceSpec {
  const spec = service.spec ?? {};
  const listed = (spec.clusterIPs ?? []).filter((ip) => ip !== '');
  return {
    type: spec.type ?? 'ClusterIP',
    clusterIPs:
      listed.length > 0 ? listed : spec.clusterIP === undefined || spec.clusterIP === '' ? [] : [spec.clusterIP],
    selector: spec.selector,
    ports: (spec.ports ?? []).map((port) => ({
      name: port.name ?? '',
      port: port.port,
      protocol: port.protocol ?? 'TCP',
      appProtocol: port.appProtocol,
      targetPort: port.targetPort,
      nodePort: port.nodePort,
    })),
    externalName: spec.externalName,
    externalIPs: spec.externalIPs ?? [],
    publishNotReadyAddresses: spec.publishNotReadyAddresses ?? false,
    internalTrafficPolicy: spec.internalTrafficPolicy,
    trafficDistribution: spec.trafficDistribution,
  };
}

function serviceStatus(service: RawService): ServiceStatus {
  return { ingress: service.status?.loadBalancer?.ingress ?? [] };
}

const SERVICE_NAME_LABEL = 'kubernetes.io/service-name';

function sliceBody(slice: Of<typeof schemas.endpointSliceSchema>, context: Context): EndpointSliceBody {
  return {
    serviceName: context.labels[SERVICE_NAME_LABEL] ?? '',
    addressType: slice.addressType ?? 'IPv4',
    ports: (slice.ports ?? []).map((port) => ({
      name: port.name ?? '',
      port: port.port,
      protocol: port.protocol ?? 'TCP',
      appProtocol: port.appProtocol,
    })),
    endpoints: (slice.endpoints ?? []).map((endpoint) => ({
      addresses: endpoint.addresses,
      ready: endpoint.conditions?.ready,
      serving: endpoint.conditions?.serving,
      terminating: endpoint.conditions?.terminating,
      hostname: endpoint.hostname,
      nodeName: endpoint.nodeName,
      zone: endpoint.zone,
      targetRef: targetRef(endpoint.targetRef, context.namespace),
    })),
  };
}

function targetRef(
  ref: { kind?: string | undefined; namespace?: string | undefined; name?: string | undefined } | undefined,
  namespace: string,
): { kind: string; namespace: string; name: string } | undefined {
  if (ref?.name === undefined || ref.name === '') return undefined;
  return { kind: ref.kind ?? 'Pod', namespace: ref.namespace ?? namespace, name: ref.name };
}

function secretBody(secret: Of<typeof schemas.secretSchema>, problems: Problem[]): SecretBody {
  const data: Record<string, string> = {};
  for (const [key, value] of Object.entries(secret.data ?? {})) {
    // Never the value itself: findings are shown to people who may not read secrets.
    if (!isBase64(value))
      problems.push({
        kind: 'wrong',
        path: `data[${JSON.stringify(key)}]`,
        message: 'is no base64',
        expected: 'base64 (or use stringData)',
      });
    data[key] = value.replace(/\s+/g, '');
  }
  for (const [key, value] of Object.entries(secret.stringData ?? {})) data[key] = base64OfText(value);
  return { type: secret.type ?? 'Opaque', data };
}
