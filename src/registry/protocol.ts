// Which protocol a port speaks, from what its definition declares.

import type { KubePort } from '../config/core.ts';
import type { Protocol } from '../ir/service.ts';

const BY_NAME: Readonly<Record<string, Protocol>> = {
  tcp: 'TCP',
  udp: 'UDP',
  grpc: 'GRPC',
  'grpc-web': 'GRPC-Web',
  http: 'HTTP',
  http_proxy: 'HTTP_PROXY',
  http2: 'HTTP2',
  https: 'HTTPS',
  tls: 'TLS',
  mongo: 'Mongo',
  redis: 'Redis',
  mysql: 'MySQL',
};

/** Values of `appProtocol` that Kubernetes itself defines. */
const APP_PROTOCOLS: Readonly<Record<string, Protocol>> = {
  'kubernetes.io/h2c': 'HTTP2',
  'kubernetes.io/ws': 'HTTP',
  'kubernetes.io/wss': 'HTTPS',
};

/** Ports of protocols in which the server speaks first: waiting for the client's first bytes would hang them. */
const SERVER_FIRST: ReadonlySet<number> = new Set([25, 53, 3306, 27017]);

/** A protocol by its name, case-insensitive; undefined when there is none of this name. */
export function protocolByName(name: string): Protocol | undefined {
  const lower = name.toLowerCase();
  return Object.hasOwn(BY_NAME, lower) ? BY_NAME[lower] : undefined;
}

/** Protocol of a Kubernetes service port: transport, then `appProtocol`, then the prefix of the name, then the number. */
export function kubePortProtocol(port: KubePort): Protocol {
  if (port.protocol === 'UDP') return 'UDP';
  const app = port.appProtocol;
  if (app !== undefined && Object.hasOwn(APP_PROTOCOLS, app)) return APP_PROTOCOLS[app] ?? 'AUTO';
  const text = (app ?? port.name).toLowerCase();
  const declared = text.startsWith('grpc-web') ? 'GRPC-Web' : protocolByName(text.split('-', 1)[0] ?? '');
  return declared ?? (SERVER_FIRST.has(port.port) ? 'TCP' : 'AUTO');
}
