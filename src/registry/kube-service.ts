// One Kubernetes Service as the mesh sees it.

import type { ServiceSpec } from '../config/core.ts';
import { NO_ADDRESS, type Resolution, type Service } from '../ir/service.ts';
import { isIp } from '../lib/ip.ts';
import type { Labels } from '../lib/label-selector.ts';
import { spiffeId } from './facts.ts';
import { type KubeService, kubeHostname, type RegistryOptions } from './input.ts';
import { ANNOTATION, sessionOf } from './labels.ts';
import { kubePortProtocol } from './protocol.ts';
import { exportToAnnotation, visibilityOf } from './visibility.ts';

/** What a Service takes from elsewhere. */
export interface ServiceContext {
  readonly options: RegistryOptions;
  readonly clusterLocal: (hostname: string) => boolean;
  /** Annotation `networking.istio.io/traffic-distribution` of a namespace. */
  readonly namespaceDistribution: (namespace: string) => string | undefined;
  readonly namespaceLabels: (namespace: string) => Labels;
}

export function kubeService(object: KubeService, context: ServiceContext): Service {
  const { spec, namespace, name, labels } = object;
  const { options } = context;
  const hostname = kubeHostname(name, namespace, options.domain);
  const vips = spec.clusterIPs.filter(isIp);
  const resolution = resolutionOf(spec);
  return {
    hostname,
    name,
    namespace,
    registry: 'Kubernetes',
    resolution,
    ports: spec.ports.map((port) => ({
      name: port.name,
      number: port.port,
      protocol: kubePortProtocol(port),
      // The API server writes 0 or '' for "as the port".
      targetPort: port.targetPort === 0 || port.targetPort === '' ? undefined : port.targetPort,
    })),
    defaultAddress: vips[0] ?? NO_ADDRESS,
    clusterVips: new Map(vips.length === 0 ? [] : [[options.clusterId, vips]]),
    exportTo: visibilityOf(
      exportToAnnotation(object.annotations[ANNOTATION.exportTo]),
      namespace,
      options.defaultServiceExportTo,
    ),
    labels,
    selector: spec.selector !== undefined && Object.keys(spec.selector).length > 0 ? spec.selector : undefined,
    meshExternal: resolution === 'Alias',
    nodeLocal: spec.internalTrafficPolicy === 'Local',
    trafficDistribution: distributionOf(object, context),
    publishNotReadyAddresses: spec.publishNotReadyAddresses,
    subjectAltNames: [],
    serviceAccounts: accountsOf(object, options),
    externalName: resolution === 'Alias' ? aliasTarget(spec) : undefined,
    aliases: [],
    clusterLocal: context.clusterLocal(hostname),
    persistentSession: sessionOf(labels, options.sessionLabels),
    headless: isHeadless(spec),
    selectsWorkloads: false,
    created: object.created,
    refs: [{ kind: 'Service', namespace, name }],
  };
}

function isHeadless(spec: ServiceSpec): boolean {
  return spec.type !== 'ExternalName' && spec.clusterIPs[0] === 'None';
}

function resolutionOf(spec: ServiceSpec): Resolution {
  if (aliasTarget(spec) !== undefined) return 'Alias';
  return isHeadless(spec) ? 'Passthrough' : 'ClientSideLB';
}

/** Host that an ExternalName service stands for. */
export function aliasTarget(spec: ServiceSpec): string | undefined {
  if (spec.type !== 'ExternalName' || spec.externalName === undefined) return undefined;
  const target = spec.externalName.replace(/\.$/, '');
  return target === '' ? undefined : target;
}

/** The field of the Service, else its annotation, else that of its namespace. */
function distributionOf(object: KubeService, context: ServiceContext): Service['trafficDistribution'] {
  switch (object.spec.trafficDistribution ?? '') {
    case 'PreferClose':
    case 'PreferSameZone':
      return 'PreferSameZone';
    case 'PreferSameNode':
      return 'PreferSameNode';
    default:
      return annotatedDistribution(
        object.annotations[ANNOTATION.trafficDistribution] ?? context.namespaceDistribution(object.namespace),
      );
  }
}

export function annotatedDistribution(text: string | undefined): Service['trafficDistribution'] {
  switch (text?.toLowerCase() ?? '') {
    case 'preferclose':
    case 'prefersamezone':
      return 'PreferSameZone';
    case 'prefersamenode':
      return 'PreferSameNode';
    default:
      return undefined;
  }
}

/** Annotations that declare who serves: SPIFFE ids as they are, and names of service accounts of the namespace. */
function accountsOf(object: KubeService, options: RegistryOptions): readonly string[] {
  const split = (text: string | undefined): string[] =>
    (text ?? '')
      .split(',')
      .map((part) => part.trim())
      .filter((part) => part !== '');
  const canonical = split(object.annotations[ANNOTATION.canonicalAccounts]);
  const local = split(object.annotations[ANNOTATION.kubernetesAccounts]);
  return [...canonical, ...local.map((account) => spiffeId(options.trustDomain, object.namespace, account))];
}
