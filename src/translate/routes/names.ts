// Names of the RouteConfigurations of sidecars, as their listeners ask for them.

/** Of the listener that is an explicit HTTP proxy. */
export const HTTP_PROXY_ROUTE = 'http_proxy';

/** Of the listener on one port for all services. */
export function portRouteName(port: number): string {
  return String(port);
}

/** Of the listener on one service's own address, where the protocol is sniffed. */
export function sniffedRouteName(hostname: string, port: number): string {
  return `${hostname}:${port}`;
}

export type RouteName =
  | { readonly kind: 'port'; readonly port: number }
  | { readonly kind: 'sniffed'; readonly hostname: string; readonly port: number }
  | { readonly kind: 'proxy' }
  | { readonly kind: 'unix'; readonly bind: string };

/** Undefined for names that no listener of this control plane has. */
export function parseRouteName(name: string): RouteName | undefined {
  if (name === HTTP_PROXY_ROUTE) return { kind: 'proxy' };
  if (name.startsWith('unix://')) return { kind: 'unix', bind: name };
  const colon = name.lastIndexOf(':');
  const port = name.slice(colon + 1);
  if (!/^\d{1,5}$/.test(port)) return undefined;
  if (colon < 0) return { kind: 'port', port: Number(port) };
  return { kind: 'sniffed', hostname: name.slice(0, colon), port: Number(port) };
}
