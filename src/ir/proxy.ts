// Proxies: what one says of itself (Proxy), what it shares with others (ProxyClass), what is its own (Workload).

import type { ConfigObject } from '../config/object.ts';
import type { IngressListener, PolicySet } from './policy.ts';
import type { Service, ServicePort } from './service.ts';

export type ProxyType = 'sidecar' | 'router';
export type IpFamily = 'v4' | 'v6' | 'dual';
/**
 * Which spelling of fields that Envoy has renamed a proxy gets, by the build that it reports. `current`: 1.33 and later.
 * `latest`: 1.37 and later, all of `current` and what was renamed since. `classic`: an older build, or none reported;
 * the fields that every supported Envoy takes.
 */
export type Dialect = 'classic' | 'current' | 'latest';
export type InterceptionMode = 'REDIRECT' | 'TPROXY' | 'NONE';

/** One connected proxy, parsed from its node. */
export interface Proxy {
  readonly id: string;
  readonly type: ProxyType;
  readonly addresses: readonly string[];
  /** `web-0.shop`: the third part of the node id. */
  readonly instance: string;
  readonly namespace: string;
  readonly dnsDomain: string;
  readonly clusterId: string;
  readonly network: string;
  readonly metadata: Readonly<Record<string, unknown>>;
  readonly labels: Readonly<Record<string, string>>;
  readonly nodeLocality: string;
  /** `node.cluster`, empty when not given. */
  readonly nodeCluster?: string | undefined;
  readonly dialect: Dialect;
  readonly statsLogger: boolean;
  /** N of the Envoy 1.N that it reports to be; 0 when it reports none. */
  readonly release?: number | undefined;
  /** It speaks the incremental protocol, without which nothing can be asked for on demand. */
  readonly incremental?: boolean | undefined;
}

/** How a proxy is given its outbound configuration when it first needs it. */
export interface OnDemand {
  /** Virtual hosts too; else its routes are whole, and clusters alone are on demand. */
  readonly hosts: boolean;
  /** What wasn't used for so long is taken away, ms; 0 = never. */
  readonly idle: number;
}

/**
 * What decides the outbound configuration of a proxy and nothing else: proxies for which all of it is equal get the
 * same object, and with it the same scope, resources and views.
 */
export interface ProxyClass {
  /** Total, deterministic text of all that follows. */
  readonly key: string;
  readonly type: ProxyType;
  readonly namespace: string;
  readonly dnsDomain: string;
  readonly family: IpFamily;
  readonly dialect: Dialect;
  readonly clusterId: string;
  readonly network: string;
  /** REQUESTED_NETWORK_VIEW; empty = all. */
  readonly networkView: readonly string[];
  /** `region/zone/subzone` */
  readonly locality: string;
  readonly interception: InterceptionMode;
  /** Labels that some selector or rule of the present configuration mentions; all others are left out. Routers: all. */
  readonly labels: Readonly<Record<string, string>>;
  /** Set only while something depends on the node (node-local services, failover by host). */
  readonly nodeName: string;
  /** Own addresses that are endpoints of headless services: no listener is made for them. */
  readonly ownHeadlessAddresses: readonly string[];
  readonly settings: ProxySettings;
  /** ISTIO_VERSION; for EnvoyFilter proxyVersion. */
  readonly version: string;
  /** Node metadata, only while an EnvoyFilter matches on it. */
  readonly metadata: Readonly<Record<string, unknown>>;
  /** Routers: ports of the Services that lead to the pod, oldest Service first. */
  readonly gatewayTargets?: readonly GatewayTarget[] | undefined;
  /** Undefined: it is given everything at once. */
  readonly onDemand?: OnDemand | undefined;
  /** Its virtual hosts are resources of their own, all of which it is given. Absent otherwise. */
  readonly splitRoutes?: true | undefined;
  /**
   * Sidecars: the same class without its place (locality, node, network view). What depends on no place is made for it
   * once, for all classes that differ in place alone.
   */
  readonly placeless?: ProxyClass | undefined;
}

/** A port of a Service in front of a router, and where the router listens for it. */
export interface GatewayTarget {
  readonly hostname: string;
  readonly namespace: string;
  readonly port: number;
  readonly targetPort: number;
  /** False where the Service asks for its ports to be taken as they are. */
  readonly translate: boolean;
  /** A port for UDP: traffic that is not QUIC has no use for it. */
  readonly udp?: true | undefined;
}

/** Switches that a proxy brings in its metadata. */
export interface ProxySettings {
  readonly dnsCapture: boolean;
  /** Where the agent answers DNS, `HOST:PORT`; only of proxies with dnsCapture. */
  readonly dnsProxy?: string | undefined;
  readonly httpProxyPort: number;
  readonly http10: boolean;
  /** Envoy duration or undefined. */
  readonly idleTimeout?: string | undefined;
  readonly unprivileged: boolean;
  readonly inboundExactBalance: boolean;
  readonly outboundExactBalance: boolean;
  readonly tlsServerCertChain?: string | undefined;
  readonly tlsServerKey?: string | undefined;
  readonly tlsServerRootCert?: string | undefined;
  readonly tlsClientCertChain?: string | undefined;
  readonly tlsClientKey?: string | undefined;
  readonly tlsClientRootCert?: string | undefined;
  readonly statusPort: number;
  readonly prometheusPort: number;
  readonly generator: string;
  /** credential metadata present: external SDS available. */
  readonly externalSds: boolean;
  /** No agent beside this Envoy: its secrets come over the stream that brings everything else. Absent otherwise. */
  readonly agentless?: true | undefined;
  /** It wants to know the other pods of its workload, which has this name (ENABLE_SELF_DISCOVERY). Absent otherwise. */
  readonly selfDiscovery?: string | undefined;
  /** The build has the `stats` access logger: Envoy 1.38 and later. */
  readonly statsLogger: boolean;
  /** PROXY_CONFIG metadata, else mesh defaultConfig, parsed JSON; same object for equal content. */
  readonly proxyConfig: Readonly<Record<string, unknown>>;
  readonly meshId: string;
  readonly canonicalService: string;
  readonly canonicalRevision: string;
  /** `node.cluster` (`APP.NAMESPACE` from agents): the name of the service in spans. */
  readonly nodeCluster?: string | undefined;
}

/** One inbound port of a workload. */
export interface ServiceTarget {
  readonly service: Service;
  readonly port: ServicePort;
  /** The port on which the workload listens. */
  readonly targetPort: number;
  /** Another service with this target has no address: others call the workload on the workload's own. */
  readonly besideHeadless?: true;
}

/**
 * What decides the inbound configuration: shared by all proxies for which all of it is the same (the pods of one
 * Deployment), so that their inbound listener is rendered once.
 */
export interface Workload {
  readonly key: string;
  readonly proxyClass: ProxyClass;
  /** All labels in use. */
  readonly labels: Readonly<Record<string, string>>;
  /** Sorted by service age, then hostname; one per (targetPort, protocol). */
  readonly targets: readonly ServiceTarget[];
  readonly policies: PolicySet;
  /** The Sidecar's ingress listeners; undefined when inbound ports come from services. */
  readonly ingress?: readonly IngressListener[] | undefined;
  readonly sidecar?: ConfigObject | undefined;
  /** Own addresses, only where a listener has to bind them (mode NONE, bound ingress listeners, IPv6). */
  readonly addresses: readonly string[];
}
