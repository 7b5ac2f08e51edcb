// Which outbound listeners a class has, and which service ports share each of them.
// In: the egress listeners of a scope. Out: plans, one per address and port, each with its claims in order of precedence.
// Nothing is rendered here: a plan is cheap, and rendering starts from the identity of its claims.

import type { Endpoint } from '../../ir/endpoint.ts';
import type { ProxyClass } from '../../ir/proxy.ts';
import { isHttp, type Service, type ServicePort } from '../../ir/service.ts';
import type { Scope } from '../../ir/snapshot.ts';
import type { EgressListener, ScopedService } from '../../ir/traffic.ts';
import { isIp } from '../../lib/ip.ts';
import { memo } from '../../lib/memo.ts';
import { tableGet } from '../../lib/table.ts';
import { isWildcardAddress, loopback, NO_ADDRESS_V6, serviceAddresses, wildcards } from '../addresses.ts';
import { UNIX_PREFIX } from '../envoy.ts';
import { canBind, listenerName } from './listener.ts';
import { protocolNamed } from './protocol.ts';

/** What a service port brings to a listener. */
export type ClaimKind = 'http' | 'tcp' | 'auto' | 'proxy';

/** One service port on one listener. The same object for the same service and listener settings. */
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

export interface ClaimedBy {
  readonly claim: Claim;
  readonly egress: EgressListener;
}

export interface ListenerPlan {
  readonly name: string;
  readonly binds: readonly string[];
  readonly port: number;
  readonly bindToPort: boolean;
  readonly claims: readonly ClaimedBy[];
  /** Claims of the catch-all on a listener that a Sidecar set up with a port. */
  readonly refused: readonly Claim[];
}

/** Endpoints that were read: the listeners of headless services depend on nothing else of all endpoints. */
export type EndpointsRead = Map<string, unknown>;

export function outboundPlans(scope: Scope, read: EndpointsRead): ReadonlyMap<string, ListenerPlan> {
  const plans = new Map<string, { plan: ListenerPlan; claims: ClaimedBy[]; refused: Claim[]; locked: boolean }>();
  for (const egress of scope.egress) {
    const explicit = egress.port !== undefined;
    if (!explicit) for (const each of plans.values()) each.locked = true;
    for (const scoped of egress.services) {
      for (const claim of claimsOf(scoped, egress, scope, read)) {
        const name = listenerName(claim.binds[0] ?? '', claim.port.number);
        const present = plans.get(name);
        if (present === undefined) {
          const claims: ClaimedBy[] = [{ claim, egress }];
          const refused: Claim[] = [];
          const { binds, bindToPort } = claim;
          const plan = { name, binds, port: claim.port.number, bindToPort, claims, refused };
          plans.set(name, { plan, claims, refused, locked: false });
        } else if (present.locked) present.refused.push(claim);
        else present.claims.push({ claim, egress });
      }
    }
  }
  return new Map([...plans].map(([name, { plan }]) => [name, plan]));
}

function claimsOf(scoped: ScopedService, egress: EgressListener, scope: Scope, read: EndpointsRead): readonly Claim[] {
  const { service } = scoped;
  if (service.resolution === 'Alias') return NO_CLAIMS;
  const { proxyClass } = scope;
  if (egress.port === undefined && egress.bind === '' && service.resolution === 'Passthrough') {
    const perEndpoint = headlessClaims(scoped, egress, scope, read);
    if (perEndpoint !== undefined) return perEndpoint;
  }
  const { number = 0, protocol = '', name = '' } = egress.port ?? {};
  return portClaims(
    scoped,
    proxyClass,
    egress.port !== undefined,
    number,
    protocol,
    name,
    egress.bind,
    egress.captureMode,
  );
}

const NO_CLAIMS: readonly Claim[] = [];

const portClaims = memo(
  (
    scoped: ScopedService,
    proxyClass: ProxyClass,
    explicit: boolean,
    number: number,
    protocol: string,
    name: string,
    bind: string,
    captureMode: EgressListener['captureMode'],
  ): readonly Claim[] => {
    const bindToPort = captureMode === 'NONE' || proxyClass.interception === 'NONE' || bind.startsWith(UNIX_PREFIX);
    const address = bind === '' && bindToPort ? loopback(proxyClass.family) : bind;
    const ports: readonly ServicePort[] = explicit
      ? [{ name, number, protocol: protocolNamed(protocol) }]
      : scoped.service.ports;
    return ports.flatMap((port) => {
      const kind = claimKind(port);
      if (kind === undefined) return [];
      if (bindToPort && !canBind(proxyClass.settings, address, port.number, PROXY_PORTS)) return [];
      return [{ kind, scoped, port, bindToPort, ...placeOf(kind, scoped.service, address, proxyClass) }];
    });
  },
);

/** Ports on which capture rules hand over traffic. */
const PROXY_PORTS: readonly number[] = [15001, 15006];

function claimKind({ protocol }: ServicePort): ClaimKind | undefined {
  if (protocol === 'UDP') return undefined;
  if (protocol === 'HTTP_PROXY') return 'proxy';
  if (isHttp(protocol)) return 'http';
  return protocol === 'AUTO' ? 'auto' : 'tcp';
}

/** HTTP is told apart by its routes, so one listener for all addresses serves a port; the rest needs the address. */
function placeOf(
  kind: ClaimKind,
  service: Service,
  bind: string,
  proxyClass: ProxyClass,
): Pick<Claim, 'binds' | 'cidrs'> {
  if (bind !== '') return { binds: [bind], cidrs: [] };
  const any = wildcards(proxyClass.family);
  if (kind === 'http' || kind === 'proxy') return { binds: any, cidrs: [] };
  const addresses = serviceAddresses(service, proxyClass);
  const [main = ''] = addresses;
  if (main.includes('/')) return { binds: any, cidrs: addresses };
  if (!isWildcardAddress(main)) return { binds: addresses, cidrs: [] };
  return { binds: proxyClass.family === 'v6' && service.registry === 'External' ? [NO_ADDRESS_V6] : any, cidrs: [] };
}

/**
 * Without an address, connections to a service are told apart by those of its endpoints: a listener for each. Undefined:
 * the service is none of these.
 */
function headlessClaims(
  scoped: ScopedService,
  egress: EgressListener,
  scope: Scope,
  read: EndpointsRead,
): readonly Claim[] | undefined {
  const { service } = scoped;
  const { proxyClass } = scope;
  const wanted = (port: ServicePort): boolean => claimKind(port) === 'tcp' || claimKind(port) === 'auto';
  const bound = egress.captureMode === 'NONE' || proxyClass.interception === 'NONE';
  if (bound || !service.ports.some(wanted)) return undefined;
  const [main = ''] = serviceAddresses(service, proxyClass);
  if (!isWildcardAddress(main)) return undefined;
  const endpoints = tableGet(scope.endpoints, service.hostname);
  read.set(service.hostname, endpoints);
  const plain = portClaims(scoped, proxyClass, false, 0, '', '', '', egress.captureMode);
  return service.ports.flatMap((port) => {
    const ofPort = plain.filter((claim) => claim.port === port);
    if (!wanted(port)) return ofPort;
    const own = (endpoints?.endpoints ?? []).filter((endpoint) => endpoint.portName === port.name);
    const mayComeLater = service.registry === 'Kubernetes' || service.selector !== undefined;
    if (own.length === 0) return mayComeLater ? [] : ofPort;
    return endpointAddresses(own, proxyClass).map((address) => endpointClaim(scoped, port, address));
  });
}

/** What the workload calls on its own address never reaches the proxy's outbound side. */
function endpointAddresses(endpoints: readonly Endpoint[], proxyClass: ProxyClass): readonly string[] {
  const addresses = new Set(endpoints.map(({ address }) => address));
  return [...addresses].filter((address) => isIp(address) && !proxyClass.ownHeadlessAddresses.includes(address));
}

const endpointClaim = memo(
  (scoped: ScopedService, port: ServicePort, address: string): Claim => ({
    kind: claimKind(port) ?? 'tcp',
    scoped,
    port,
    binds: [address],
    bindToPort: false,
    cidrs: [],
  }),
);
