// Pieces of manifests of which the shapes are made: always new objects, so that nothing is answered from a memory.

export type Manifest = Readonly<Record<string, unknown>>;

type Port = readonly [number: number, name: string, protocol: string];

export const HTTP: Port = [80, 'http', 'HTTP'];
export const HTTPS: Port = [443, 'https', 'HTTPS'];
export const TCP: Port = [7070, 'tcp', 'TCP'];
export const TLS: Port = [7070, 'tls', 'TLS'];
export const AUTO: Port = [7070, 'auto', ''];
export const FOUR_PORTS: readonly Port[] = [HTTP, TCP, HTTPS, [9090, 'auto', '']];

/** Labels by which gateways and policies find the proxy. */
export const PROXY_LABELS = { 'istio.io/benchmark': 'true' };
const MTLS = { 'security.istio.io/tlsMode': 'istio' };

export function manifest(
  apiVersion: string,
  kind: string,
  name: string,
  spec: object,
  namespace = 'default',
): Manifest {
  return { apiVersion, kind, metadata: { name, namespace }, spec };
}

export function randomHost(index: number): string {
  return `random-${index}.host.example`;
}

/** An address of the block for each index. */
function addressIn(block: string, index: number): string {
  return `${block}.${Math.floor(index / 255)}.${index % 255}`;
}

interface EntryOptions {
  readonly hosts: readonly string[];
  readonly ports: readonly Port[];
  readonly endpoint?: string;
  readonly inside?: boolean;
  readonly labels?: Readonly<Record<string, string>>;
  readonly more?: object;
}

export function entry(name: string, options: EntryOptions, namespace?: string): Manifest {
  const { hosts, ports, endpoint, inside = false, more } = options;
  const labels = options.labels ?? (inside ? MTLS : undefined);
  const spec = {
    hosts,
    ports: ports.map(([number, portName, protocol]) => ({ number, name: portName, protocol })),
    resolution: 'STATIC',
    ...(inside && { location: 'MESH_INTERNAL' }),
    ...(endpoint !== undefined && { endpoints: [{ address: endpoint, ...(labels && { labels: { ...labels } }) }] }),
    ...more,
  };
  return manifest('networking.istio.io/v1', 'ServiceEntry', name, spec, namespace);
}

/** The service that the proxy itself runs. */
export function own(ports: readonly Port[], options: Partial<EntryOptions> = {}): Manifest {
  return entry('proxy-service-instance', { hosts: ['example.com'], ports, endpoint: '1.1.1.1', ...options });
}

/** A service of the mesh with an address of its own, mutual TLS and one endpoint. */
export function inside(index: number, port: Port): Manifest {
  return entry(`service-${index}`, {
    hosts: [randomHost(index)],
    ports: [port],
    endpoint: addressIn('240.241', index),
    inside: true,
    more: { addresses: [addressIn('240.240', index)] },
  });
}

/** A service outside of the mesh, without an address of its own. */
export function outside(index: number, ports: readonly Port[] = [HTTP]): Manifest {
  return entry(`service-${index}`, { hosts: [randomHost(index)], ports, endpoint: '1.2.3.4' });
}

/** A service whose endpoints are WorkloadEntries. */
export function selecting(index: number): Manifest {
  return entry(`service-${index}`, {
    hosts: [randomHost(index)],
    ports: FOUR_PORTS,
    inside: true,
    more: { workloadSelector: { labels: { app: `random-${index}` } } },
  });
}

export function workloadEntry(index: number, services: number): Manifest {
  return manifest('networking.istio.io/v1', 'WorkloadEntry', `random-${index}`, {
    serviceAccount: 'random',
    address: addressIn('240.241', index),
    labels: { app: `random-${index % services}` },
  });
}

export function peerAuthentication(mode: string): Manifest {
  return manifest('security.istio.io/v1', 'PeerAuthentication', 'default', { mtls: { mode } });
}

export function times<T>(count: number, make: (index: number) => T): T[] {
  return Array.from({ length: count }, (_, index) => make(index));
}
