// Small constructors of Envoy messages that several translators need. Nothing here knows an Istio API.

import { lasting, typeUrlOf } from '../codec/index.ts';
import { parseCidr } from '../lib/ip.ts';
import type { AnyMessage, Messages } from '../messages/index.ts';

export const TYPE_PREFIX = 'type.googleapis.com/';

type Address = Messages['envoy.config.core.v3.Address'];
type CidrRange = Messages['envoy.config.core.v3.CidrRange'];
type ConfigSource = Messages['envoy.config.core.v3.ConfigSource'];
type SdsSecretConfig = Messages['envoy.extensions.transport_sockets.tls.v3.SdsSecretConfig'];

/** A message packed into an Any. */
export function typed<T extends keyof Messages>(type: T, message: Messages[T]): AnyMessage {
  return { '@type': typeUrlOf(type), ...(message as object) };
}

/** An extension by its name and its packed settings. */
export function extension<T extends keyof Messages>(
  name: string,
  type: T,
  message: Messages[T],
): { readonly name: string; readonly typedConfig: AnyMessage } {
  return { name, typedConfig: typed(type, message) };
}

/** An extension that stands in many chains as it is: encoded once. */
export function constantExtension<T extends keyof Messages>(
  name: string,
  type: T,
  message: Messages[T],
): { readonly name: string; readonly typedConfig: AnyMessage } {
  return lasting({ name, typedConfig: lasting(typed(type, message)) });
}

export const UNIX_PREFIX = 'unix://';

/** An IP address and port, or the pipe that `unix://PATH` names. */
export function socketAddress(address: string, port: number, protocol?: 'UDP'): Address {
  if (address.startsWith(UNIX_PREFIX)) return { pipe: { path: address.slice(UNIX_PREFIX.length) } };
  return { socketAddress: { protocol, address, portValue: port } };
}

/** Over the stream that brought this resource; without a fetch timeout, so that a listener waits for its routes. */
export const ADS_CONFIG_SOURCE: ConfigSource = { ads: {}, initialFetchTimeout: '0s', resourceApiVersion: 'V3' };

/** Secrets over the stream that brought this resource, with Envoy's default fetch timeout. */
export const ADS_SECRET_SOURCE: ConfigSource = { ads: {}, resourceApiVersion: 'V3' };

/** Cluster of the bootstrap that leads to the agent's secret socket. */
export const SDS_CLUSTER = 'sds-grpc';

/** Cluster of the bootstrap that leads to a secret provider other than the agent. */
export const EXTERNAL_SDS_CLUSTER = 'sds-external';

/** Secrets over a socket of the proxy's own machine. */
export function localSecretSource(cluster: string, initialFetchTimeout: string | undefined): ConfigSource {
  return {
    apiConfigSource: {
      apiType: 'GRPC',
      grpcServices: [{ envoyGrpc: { clusterName: cluster } }],
      setNodeOnFirstMessageOnly: true,
      transportApiVersion: 'V3',
    },
    initialFetchTimeout,
    resourceApiVersion: 'V3',
  };
}

/** A secret that the agent serves; `wait` = the listener stays warming until it is there. */
export function agentSecret(name: string, wait: boolean): SdsSecretConfig {
  return { name, sdsConfig: wait ? OF_AGENT_WAITED_FOR : OF_AGENT };
}

const OF_AGENT: ConfigSource = lasting(localSecretSource(SDS_CLUSTER, undefined));
const OF_AGENT_WAITED_FOR: ConfigSource = lasting(localSecretSource(SDS_CLUSTER, '0s'));

/** `10.0.0.0/8`, `2001:db8::/32` or a plain address, which is one whole host. */
export function cidrRange(text: string): CidrRange | undefined {
  const cidr = parseCidr(text);
  const [addressPrefix] = text.split('/');
  return cidr === undefined ? undefined : { addressPrefix, prefixLen: cidr.bits };
}

/** Envoy's stat names end where this does: names such as `0.0.0.0_80` hold dots themselves. */
export const STAT_NAME_END = ';';

/** Text escaped for RE2, which knows every escape used here. */
export function escapeRegex(text: string): string {
  return text.replace(/[\\.+*?()|[\]{}^$]/g, '\\$&');
}
