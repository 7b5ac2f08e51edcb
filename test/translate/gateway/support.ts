import type { ConfigObject } from '../../../src/config/object.ts';
import type { Server } from '../../../src/config/generated/types.ts';
import { gateway } from '../../support/builders.ts';
import { type ClassOptions, proxyClass, world } from '../routes/support.ts';
import type { LinkedScope } from '../../../src/snapshot/scope.ts';

export const ROUTER = { type: 'router', namespace: 'istio-system', labels: { istio: 'ingressgateway' } } as const;

/** The scope of a router that all Gateways made by `edge` select. */
export function gatewayScope(objects: readonly ConfigObject[], options: ClassOptions = {}): LinkedScope {
  return world(objects).scope(proxyClass({ ...ROUTER, ...options }));
}

export function edge(name: string, servers: readonly Server[], created = 0): ConfigObject {
  return gateway(name, { selector: ROUTER.labels, servers }, { namespace: 'istio-system', created });
}

/** `http:80`, `https:443`; TLS settings as given. */
export function server(port: string, hosts: readonly string[], tls?: Server['tls']): Server {
  const [name = '', number = '0'] = port.split(':');
  const protocol = name.split('-')[0]?.toUpperCase();
  return { port: { number: Number(number), name, protocol }, hosts, ...(tls === undefined ? {} : { tls }) };
}
