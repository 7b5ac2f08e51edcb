// Which API groups, versions and kinds are read, and how each is scoped.
// In: apiVersion and kind as written. Out: our Kind, or why not. Called by parse/ and by the Kubernetes source.

import type { Kind } from './object.ts';

export interface KindInfo {
  readonly kind: Kind;
  /** '' is Kubernetes' core group. */
  readonly group: string;
  /** All are read alike; the first is what one asks the API server for when it has several. */
  readonly versions: readonly string[];
  /** The resource's name in URLs. */
  readonly plural: string;
  readonly namespaced: boolean;
  /** As manifests call it, where that is another word than ours. */
  readonly written?: string | undefined;
  /** Kept and shown: no proxy's configuration is made of it. */
  readonly idle?: true | undefined;
}

const NETWORKING = 'networking.istio.io';
const SECURITY = 'security.istio.io';
const TELEMETRY = 'telemetry.istio.io';
const EXTENSIONS = 'extensions.istio.io';

/** Groups of which an unknown kind is a mistake. Of other groups it is none of our business. */
export const OWN_GROUPS: readonly string[] = [NETWORKING, SECURITY, TELEMETRY, EXTENSIONS];

const GATEWAY_API = 'gateway.networking.k8s.io';
const GATEWAY_API_TRIAL = 'gateway.networking.x-k8s.io';
const MULTICLUSTER = 'multicluster.x-k8s.io';

/** Groups of configuration that others define and others may serve as well. */
export const SHARED_GROUPS: readonly string[] = [GATEWAY_API, GATEWAY_API_TRIAL, MULTICLUSTER];

const CORE_V1 = ['v1'];
const ISTIO_ALL = ['v1', 'v1beta1', 'v1alpha3', 'v1alpha1'];
const SHARED_ALL = ['v1', 'v1beta1', 'v1alpha3', 'v1alpha2', 'v1alpha1'];

function kindOf(kind: Kind, group: string, versions: readonly string[], plural: string, namespaced = true): KindInfo {
  return { kind, group, versions, plural, namespaced };
}

function idle(kind: Kind, group: string, plural: string): KindInfo {
  return { ...kindOf(kind, group, SHARED_ALL, plural), idle: true };
}

export const KINDS: readonly KindInfo[] = [
  kindOf('Namespace', '', CORE_V1, 'namespaces', false),
  kindOf('Node', '', CORE_V1, 'nodes', false),
  kindOf('Pod', '', CORE_V1, 'pods'),
  kindOf('Service', '', CORE_V1, 'services'),
  kindOf('ServiceAccount', '', CORE_V1, 'serviceaccounts'),
  kindOf('Secret', '', CORE_V1, 'secrets'),
  kindOf('ConfigMap', '', CORE_V1, 'configmaps'),
  kindOf('EndpointSlice', 'discovery.k8s.io', CORE_V1, 'endpointslices'),
  kindOf('VirtualService', NETWORKING, ISTIO_ALL, 'virtualservices'),
  kindOf('DestinationRule', NETWORKING, ISTIO_ALL, 'destinationrules'),
  kindOf('Gateway', NETWORKING, ISTIO_ALL, 'gateways'),
  kindOf('ServiceEntry', NETWORKING, ISTIO_ALL, 'serviceentries'),
  kindOf('WorkloadEntry', NETWORKING, ISTIO_ALL, 'workloadentries'),
  kindOf('WorkloadGroup', NETWORKING, ISTIO_ALL, 'workloadgroups'),
  kindOf('Sidecar', NETWORKING, ISTIO_ALL, 'sidecars'),
  kindOf('EnvoyFilter', NETWORKING, ISTIO_ALL, 'envoyfilters'),
  kindOf('ProxyConfig', NETWORKING, ISTIO_ALL, 'proxyconfigs'),
  kindOf('PeerAuthentication', SECURITY, ISTIO_ALL, 'peerauthentications'),
  kindOf('RequestAuthentication', SECURITY, ISTIO_ALL, 'requestauthentications'),
  kindOf('AuthorizationPolicy', SECURITY, ISTIO_ALL, 'authorizationpolicies'),
  kindOf('Telemetry', TELEMETRY, ISTIO_ALL, 'telemetries'),
  kindOf('WasmPlugin', EXTENSIONS, ISTIO_ALL, 'wasmplugins'),
  kindOf('TrafficExtension', EXTENSIONS, ISTIO_ALL, 'trafficextensions'),
  { ...idle('GatewayClass', GATEWAY_API, 'gatewayclasses'), namespaced: false },
  { ...idle('KubernetesGateway', GATEWAY_API, 'gateways'), written: 'Gateway' },
  idle('HTTPRoute', GATEWAY_API, 'httproutes'),
  idle('GRPCRoute', GATEWAY_API, 'grpcroutes'),
  idle('TLSRoute', GATEWAY_API, 'tlsroutes'),
  idle('TCPRoute', GATEWAY_API, 'tcproutes'),
  idle('UDPRoute', GATEWAY_API, 'udproutes'),
  idle('ReferenceGrant', GATEWAY_API, 'referencegrants'),
  idle('BackendTLSPolicy', GATEWAY_API, 'backendtlspolicies'),
  idle('ListenerSet', GATEWAY_API, 'listenersets'),
  idle('XListenerSet', GATEWAY_API_TRIAL, 'xlistenersets'),
  idle('XBackendTrafficPolicy', GATEWAY_API_TRIAL, 'xbackendtrafficpolicies'),
  idle('ServiceExport', MULTICLUSTER, 'serviceexports'),
  idle('ServiceImport', MULTICLUSTER, 'serviceimports'),
];

const BY_NAME: ReadonlyMap<string, KindInfo> = new Map(
  KINDS.map((info) => [`${info.group}/${writtenKind(info)}`, info]),
);

/** The kind as manifests have it. */
export function writtenKind({ kind, written }: KindInfo): string {
  return written ?? kind;
}

/** Whether a CustomResourceDefinition brings the kind: a server may lack it, or lose it. */
export function isCustom({ group }: KindInfo): boolean {
  return OWN_GROUPS.includes(group) || SHARED_GROUPS.includes(group);
}

export type KindLookup =
  | { readonly kind: 'known'; readonly info: KindInfo }
  /** Of a group that others own. */
  | { readonly kind: 'foreign' }
  /** Of a group or kind of ours, yet neither known nor harmless. */
  | { readonly kind: 'unknown'; readonly expected: string };

export function groupOf(apiVersion: string): string {
  const slash = apiVersion.lastIndexOf('/');
  return slash < 0 ? '' : apiVersion.slice(0, slash);
}

export function lookUpKind(apiVersion: string, kind: string): KindLookup {
  const group = groupOf(apiVersion);
  const version = apiVersion.slice(apiVersion.lastIndexOf('/') + 1);
  const info = BY_NAME.get(`${group}/${kind}`);
  if (info !== undefined) {
    return info.versions.includes(version)
      ? { kind: 'known', info }
      : { kind: 'unknown', expected: `a version of ${kind} among ${info.versions.join(', ')}` };
  }
  if (!OWN_GROUPS.includes(group)) return { kind: 'foreign' };
  const kinds = KINDS.filter((candidate) => candidate.group === group).map((candidate) => candidate.kind);
  return { kind: 'unknown', expected: `one of ${kinds.join(', ')}` };
}
