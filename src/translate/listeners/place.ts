// Where a service port is listened for: what of a class decides it, and the claims that follow.

import { isDualStack } from '../../config/features.ts';
import type { MeshConfig } from '../../config/mesh.ts';
import type { InterceptionMode, IpFamily, ProxyClass } from '../../ir/proxy.ts';
import { isHttp, type Service, type ServicePort } from '../../ir/service.ts';
import type { EgressListener, ScopedService } from '../../ir/traffic.ts';
import { memo } from '../../lib/memo.ts';
import { isWildcardAddress, loopback, loopbacks, NO_ADDRESS_V6, serviceAddresses, wildcards } from '../addresses.ts';
import { UNIX_PREFIX } from '../envoy.ts';
import { isPrivileged } from './listener.ts';
import { protocolNamed } from './protocol.ts';
import { type MeshSettings, meshSettings } from '../mesh.ts';

/** What a service port brings to a listener. */
export type ClaimKind = 'http' | 'tcp' | 'auto' | 'proxy';

/** One service port on one listener. */
export interface Claim {
  readonly kind: ClaimKind;
  readonly scoped: ScopedService;
  /** Number and protocol as the listener has them; a Sidecar may set both. */
  readonly port: ServicePort;
  readonly binds: readonly string[];
  readonly bindToPort: boolean;
  /** Prefixes that chains match instead of an address. */
  readonly cidrs: readonly string[];
}

/** The part of a class that decides over addresses: one object for all classes that agree on it. */
export interface PlaceContext {
  readonly family: IpFamily;
  readonly clusterId: string;
  readonly interception: InterceptionMode;
  readonly dnsCapture: boolean;
  readonly dualStack: boolean;
  readonly unprivileged: boolean;
  /** Ports of the proxy itself, which nothing else may take on every address. */
  readonly ownPorts: readonly number[];
}

export function placeContext(
  mesh: MeshConfig,
  { family, clusterId, interception, settings }: ProxyClass,
): PlaceContext {
  const { dnsCapture, unprivileged, statusPort, prometheusPort } = settings;
  return sharedPlace(
    meshSettings(mesh),
    family,
    clusterId,
    interception,
    dnsCapture,
    isDualStack(mesh),
    unprivileged,
    statusPort,
    prometheusPort,
  );
}

const sharedPlace = memo(
  (
    mesh: MeshSettings,
    family: IpFamily,
    clusterId: string,
    interception: InterceptionMode,
    dnsCapture: boolean,
    dualStack: boolean,
    unprivileged: boolean,
    statusPort: number,
    prometheusPort: number,
  ): PlaceContext => ({
    family,
    clusterId,
    interception,
    dnsCapture,
    dualStack,
    unprivileged,
    ownPorts: [statusPort, prometheusPort, mesh.proxyListenPort, mesh.proxyInboundListenPort],
  }),
);

/** An egress listener without its services: two with the same text place services the same way. */
export type EgressShape = Pick<EgressListener, 'port' | 'bind' | 'captureMode'>;

/** What sidecars without a Sidecar have. */
const CATCH_ALL: EgressShape = { port: undefined, bind: '', captureMode: 'DEFAULT' };

export function egressShape({ port, bind, captureMode }: EgressShape): EgressShape {
  return port === undefined && bind === '' && captureMode === 'DEFAULT' ? CATCH_ALL : { port, bind, captureMode };
}

/** Ports of a service on an egress listener, as far as they can be listened for. */
export const portClaims = memo((scoped: ScopedService, place: PlaceContext, shape: EgressShape): readonly Claim[] => {
  const { service } = scoped;
  if (service.resolution === 'Alias') return [];
  const bindToPort = bindsPorts(shape, place) || shape.bind.startsWith(UNIX_PREFIX);
  const bind = shape.bind === '' && bindToPort ? loopback(place.family) : shape.bind;
  return portsOf(service, shape).flatMap((port) => {
    const kind = claimKind(port);
    if (kind === undefined) return [];
    if (bindToPort && place.unprivileged && isPrivileged(bind, port.number)) return [];
    if (meetsOwnPort(bind, port, place)) return [];
    return [{ kind, scoped, port, bindToPort, ...addressOf(kind, service, bind, place) }];
  });
});

export function bindsPorts({ captureMode }: EgressShape, { interception }: PlaceContext): boolean {
  return captureMode === 'NONE' || interception === 'NONE';
}

function portsOf(service: Service, { port }: EgressShape): readonly ServicePort[] {
  if (port === undefined) return service.ports;
  return [{ name: port.name, number: port.number, protocol: protocolNamed(port.protocol) }];
}

/** On every address, one's own listeners are in the way: of what is bound there, and of HTTP, which has no address. */
function meetsOwnPort(bind: string, { number, protocol }: ServicePort, { family, ownPorts }: PlaceContext): boolean {
  const everywhere = bind === '' ? isHttp(protocol) : bind === wildcards(family)[0];
  return everywhere && ownPorts.includes(number);
}

export function claimKind({ protocol }: ServicePort): ClaimKind | undefined {
  if (protocol === 'UDP') return undefined;
  if (protocol === 'HTTP_PROXY') return 'proxy';
  if (isHttp(protocol)) return 'http';
  return protocol === 'AUTO' ? 'auto' : 'tcp';
}

/** HTTP is told apart by its routes, so one listener for all addresses serves a port; the rest needs the address. */
function addressOf(
  kind: ClaimKind,
  service: Service,
  bind: string,
  place: PlaceContext,
): Pick<Claim, 'binds' | 'cidrs'> {
  if (bind !== '') {
    const own = bind === loopback(place.family);
    return { binds: own ? loopbacks(place.family) : [bind], cidrs: [] };
  }
  const any = wildcards(place.family);
  if (kind === 'http' || kind === 'proxy') return { binds: any, cidrs: [] };
  const addresses = serviceAddresses(service, place);
  const [main = ''] = addresses;
  if (main.includes('/')) return { binds: any, cidrs: addresses };
  if (!isWildcardAddress(main)) return { binds: addresses, cidrs: [] };
  return { binds: place.family === 'v6' && service.registry === 'External' ? [NO_ADDRESS_V6] : any, cidrs: [] };
}

/** A port of a headless service on the addresses of one of its endpoints. */
export const endpointClaim = memo(
  (scoped: ScopedService, port: ServicePort, address: string, others: readonly string[] | undefined): Claim => ({
    kind: claimKind(port) ?? 'tcp',
    scoped,
    port,
    binds: others === undefined ? [address] : [address, ...others],
    bindToPort: false,
    cidrs: [],
  }),
);
