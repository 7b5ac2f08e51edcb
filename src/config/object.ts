// Objects as the control plane holds them: projected to what it uses, immutable, identity means equality.
// In: what sources read. Out: to store, registry and snapshot. A field that no translator reads is not here, so a write
// to it (managedFields, most of status) is no change.

/** Group and kind of everything a source may bring; the API version is left behind at parsing. */
export type Kind =
  | 'Namespace'
  | 'Node'
  | 'Pod'
  | 'Service'
  | 'ServiceAccount'
  | 'Secret'
  | 'ConfigMap'
  | 'EndpointSlice'
  | 'VirtualService'
  | 'DestinationRule'
  | 'Gateway'
  | 'ServiceEntry'
  | 'WorkloadEntry'
  | 'WorkloadGroup'
  | 'Sidecar'
  | 'EnvoyFilter'
  | 'ProxyConfig'
  | 'PeerAuthentication'
  | 'RequestAuthentication'
  | 'AuthorizationPolicy'
  | 'Telemetry'
  | 'WasmPlugin'
  | 'TrafficExtension'
  // Of the Gateway API, whose Gateway needs another name here than Istio's.
  | 'GatewayClass'
  | 'KubernetesGateway'
  | 'HTTPRoute'
  | 'GRPCRoute'
  | 'TLSRoute'
  | 'TCPRoute'
  | 'UDPRoute'
  | 'ReferenceGrant'
  | 'BackendTLSPolicy'
  | 'ListenerSet'
  | 'XListenerSet'
  | 'XBackendTrafficPolicy'
  // Of Multi-Cluster Services.
  | 'ServiceExport'
  | 'ServiceImport';

export interface ObjectRef {
  readonly kind: Kind;
  readonly namespace: string;
  readonly name: string;
}

export interface ConfigObject<Spec = unknown, Status = unknown> extends ObjectRef {
  /** As written: `networking.istio.io/v1`. Of no meaning to translation. */
  readonly apiVersion: string;
  readonly labels: Readonly<Record<string, string>>;
  readonly annotations: Readonly<Record<string, string>>;
  /** Milliseconds since the epoch; 0 where the source doesn't know (files without creationTimestamp). */
  readonly created: number;
  /** 0 where the source doesn't know. */
  readonly generation: number;
  readonly uid?: string | undefined;
  /** `spec` of kinds that have one; the whole body (`data`, `type`…) of Secret, ConfigMap, EndpointSlice. */
  readonly spec: Spec;
  /** Only where translation reads it: Pod, Service (load balancer), ServiceEntry (addresses), WorkloadEntry (conditions). */
  readonly status?: Status | undefined;
  /** Where it was read: `file.yaml:12` or a cluster id. Not part of equality. */
  readonly origin?: string | undefined;
}

/** Most users' objects are told apart by this key. */
export function refKey(ref: ObjectRef): string {
  return `${ref.kind}/${ref.namespace}/${ref.name}`;
}

export type Severity = 'error' | 'warning' | 'info';

/** Something the user should know about an object: the same value goes to log, status, webhook, CLI and metric. */
export interface Finding {
  readonly severity: Severity;
  /** From the table in `codes.ts`. */
  readonly code: string;
  readonly ref?: ObjectRef | undefined;
  /** `file.yaml:12:3` where the object came from a file. */
  readonly origin?: string | undefined;
  /** `spec.http[0].route[1].weight`. */
  readonly path?: string | undefined;
  readonly message: string;
  readonly expected?: string | undefined;
}

/** Where the text of a field stands, as `file.yaml:12:3`; undefined where the source has no text. */
export type Locate = (path: string) => string | undefined;

export type ObjectEvent =
  | {
      readonly kind: 'upsert';
      readonly object: ConfigObject;
      /** Found while reading: unknown fields that were left out. */
      readonly warnings?: readonly Finding[] | undefined;
      /** Called for findings only, and only while the event is applied. */
      readonly locate?: Locate | undefined;
    }
  | { readonly kind: 'delete'; readonly ref: ObjectRef }
  /**
   * An object that can't be used. Its last valid version, if any, stays in force. Several of one batch for one object
   * add up; the next upsert or delete of it clears them.
   */
  | { readonly kind: 'invalid'; readonly finding: Finding; readonly ref?: ObjectRef | undefined }
  /** All findings of a scope (a file) that belong to no object of its own; they replace those given for it before. */
  | { readonly kind: 'findings'; readonly scope: string; readonly findings: readonly Finding[] };
