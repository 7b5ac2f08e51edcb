// The bodies of the Kubernetes kinds, projected to the fields that this control plane reads.

export interface PodSpec {
  readonly nodeName?: string | undefined;
  readonly serviceAccountName: string;
  readonly hostNetwork?: boolean | undefined;
  readonly hostname?: string | undefined;
  readonly subdomain?: string | undefined;
  readonly containers: readonly PodContainer[];
}

export interface PodContainer {
  readonly name: string;
  readonly ports: readonly {
    readonly name?: string | undefined;
    readonly containerPort: number;
    readonly protocol: string;
  }[];
}

export interface PodStatus {
  readonly phase?: string | undefined;
  readonly podIPs: readonly string[];
  readonly ready: boolean;
}

export interface ServiceSpec {
  readonly type: string;
  readonly clusterIPs: readonly string[];
  readonly selector?: Readonly<Record<string, string>> | undefined;
  readonly ports: readonly KubePort[];
  readonly externalName?: string | undefined;
  readonly externalIPs: readonly string[];
  readonly publishNotReadyAddresses: boolean;
  readonly internalTrafficPolicy?: string | undefined;
  readonly trafficDistribution?: string | undefined;
}

export interface KubePort {
  readonly name: string;
  readonly port: number;
  readonly protocol: string;
  readonly appProtocol?: string | undefined;
  readonly targetPort?: number | string | undefined;
  readonly nodePort?: number | undefined;
}

export interface ServiceStatus {
  readonly ingress: readonly { readonly ip?: string | undefined; readonly hostname?: string | undefined }[];
}

export interface EndpointSliceBody {
  readonly serviceName: string;
  readonly addressType: string;
  readonly ports: readonly {
    readonly name: string;
    readonly port?: number | undefined;
    readonly protocol: string;
    readonly appProtocol?: string | undefined;
  }[];
  readonly endpoints: readonly SliceEndpoint[];
}

export interface SliceEndpoint {
  readonly addresses: readonly string[];
  readonly ready?: boolean | undefined;
  readonly serving?: boolean | undefined;
  readonly terminating?: boolean | undefined;
  readonly hostname?: string | undefined;
  readonly nodeName?: string | undefined;
  readonly zone?: string | undefined;
  readonly targetRef?: { readonly kind: string; readonly namespace: string; readonly name: string } | undefined;
}

export interface NodeStatus {
  readonly kubeletVersion?: string | undefined;
  readonly addresses: readonly { readonly type: string; readonly address: string }[];
}

/** Values are base64, as in the API: decoding is left to whoever may see them. Never logged. */
export interface SecretBody {
  readonly type: string;
  readonly data: Readonly<Record<string, string>>;
}

export interface ConfigMapBody {
  readonly data: Readonly<Record<string, string>>;
}

export interface ServiceEntryStatus {
  readonly addresses: readonly { readonly host?: string | undefined; readonly value: string }[];
}

export interface WorkloadEntryStatus {
  readonly conditions: readonly { readonly type: string; readonly status: string }[];
}
