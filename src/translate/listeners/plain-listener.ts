// Listeners of one port of a service on an address of its own, of which nothing but texts tells them from each other: with a
// mesh of a thousand TCP services there are a thousand. In: a plan. Out: bytes, from a template that all of a kind share.
// Called by outbound.ts, which renders all other listeners one by one.

import { slot, type Template, template } from '../../codec/index.ts';
import type { Protocol, Service } from '../../ir/service.ts';
import type { ScopedService } from '../../ir/traffic.ts';
import { memo } from '../../lib/memo.ts';
import { isWildcardAddress } from '../addresses.ts';
import type { ChainContext, L4Context } from '../context.ts';
import { FREE_SLOT, frameOf } from '../frame.ts';
import type { TcpTarget } from '../network/index.ts';
import { LISTENER, listenerName } from './listener.ts';
import { type HttpChain, type OutboundChain, plainlyFolded } from './outbound-chains.ts';
import { outboundListener, tcpListener, type Unknowns } from './outbound-message.ts';
import type { ListenerPlan } from './outbound-plan.ts';
import type { Claim } from './place.ts';

/** What tells two plain listeners apart. */
export interface PlainListener {
  readonly kind: 'tcp' | 'auto';
  readonly address: string;
  /** The address itself where it stands for any, of which more follows than a text; else empty. */
  readonly wildcard: string;
  readonly host: string;
  readonly port: number;
  readonly protocol: Protocol;
  /** The port in the name of the cluster. */
  readonly clusterPort: number;
}

/**
 * The listener of such a claim; undefined where there is more to it. On any address there is one for each port: that is worth
 * a template only if others have a context like that.
 */
export function plainListener(
  { kind, scoped, port, binds, bindToPort, cidrs }: Claim,
  { origins }: Pick<L4Context, 'origins'>,
): PlainListener | undefined {
  const [address = ''] = binds;
  const { service, rule } = scoped;
  if (kind === 'http' || kind === 'proxy' || binds.length !== 1 || bindToPort || cidrs.length > 0) return undefined;
  if (rule !== undefined || service.resolution === 'DynamicDNS') return undefined;
  if (address === '' || service.hostname === '') return undefined;
  const clusterPort = onlyPort(scoped) ?? port.number;
  const wildcard = isWildcardAddress(address) ? address : '';
  if (wildcard !== '' && origins.length > 0) return undefined;
  return { kind, address, wildcard, host: service.hostname, port: port.number, protocol: port.protocol, clusterPort };
}

function onlyPort({ service: { ports } }: ScopedService): number | undefined {
  return ports.length === 1 ? ports[0]?.number : undefined;
}

/** Bytes of a plain listener without HTTP. */
export function plainTcp(
  { address, wildcard, host, port, protocol, clusterPort }: PlainListener,
  l4: L4Context,
  to: TcpTarget,
): Uint8Array {
  return tcpTemplate(l4, to, wildcard, port, protocol, clusterPort).fill(address, host);
}

/** Bytes of a plain listener whose bytes are looked into for HTTP. */
export function plainSniffed(
  { address, wildcard, host, port, protocol, clusterPort }: PlainListener,
  of: ChainContext,
  { catchAll, anyHost }: Unknowns,
): Uint8Array {
  const { context, names } = frameOf(of);
  return sniffedTemplate(context, catchAll, anyHost, wildcard, port, protocol, clusterPort).fill(
    ...names,
    address,
    host,
  );
}

/**
 * Whether it takes HTTP on all addresses and nothing else, so that of services nothing but the protocol shows, and whether
 * others have a context like that.
 */
export function isPlainHttp(plan: ListenerPlan, chains: readonly OutboundChain[], context: ChainContext): boolean {
  const [chain] = chains;
  if (frameOf(context).context === context) return false;
  if (chains.length !== 1 || chain?.kind !== 'http' || chain.routeName !== String(plan.port)) return false;
  return plan.claims.every(({ claim }) => claim.scoped.service.resolution !== 'DynamicDNS');
}

/** Bytes of such a listener, of which every workload has its own for the names that it has in traces. */
export function plainHttp(
  { binds, port, bindToPort }: ListenerPlan,
  { claim, inspected }: HttpChain,
  of: ChainContext,
  { catchAll, anyHost }: Unknowns,
): Uint8Array {
  const { context, names } = frameOf(of);
  const { kind, port: claimed } = claim.claim;
  const made = httpTemplate(context, catchAll, anyHost, port, claimed.protocol, kind, inspected, bindToPort, ...binds);
  return made.fill(...names);
}

const tcpTemplate = memo(
  (
    l4: L4Context,
    catchAll: TcpTarget,
    wildcard: string,
    port: number,
    protocol: Protocol,
    clusterPort: number,
  ): Template => {
    const plan = standIn('tcp', 0, wildcard, port, protocol, clusterPort);
    return template(LISTENER, tcpListener(plan, plainlyFolded(plan).chains, catchAll, l4));
  },
);

const sniffedTemplate = memo(
  (
    context: ChainContext,
    catchAll: TcpTarget,
    anyHost: boolean,
    wildcard: string,
    port: number,
    protocol: Protocol,
    clusterPort: number,
  ): Template => {
    const plan = standIn('auto', FREE_SLOT, wildcard, port, protocol, clusterPort);
    return template(LISTENER, outboundListener(plan, plainlyFolded(plan).chains, { catchAll, anyHost }, context));
  },
);

/** Counted by tests. */
export const httpTemplate = memo(
  (
    context: ChainContext,
    catchAll: TcpTarget,
    anyHost: boolean,
    number: number,
    protocol: Protocol,
    kind: Claim['kind'],
    inspected: boolean,
    bindToPort: boolean,
    ...binds: readonly string[]
  ): Template => {
    const port = { name: '', number, protocol };
    const scoped = { service: NO_SERVICE, rule: undefined, mtls: undefined };
    const by = { claim: { kind, scoped, port, binds, bindToPort, cidrs: [] }, egress: 0 };
    const name = listenerName(binds[0] ?? '', number);
    const plan: ListenerPlan = { name, binds, port: number, bindToPort, claims: [by], refused: [] };
    const chain: HttpChain = { kind: 'http', claim: by, routeName: String(number), inspected };
    return template(LISTENER, outboundListener(plan, [chain], { catchAll, anyHost }, context));
  },
);

/** The plan of such a listener, with slots for address and hostname: the given one, and the next. */
function standIn(
  kind: PlainListener['kind'],
  first: number,
  wildcard: string,
  number: number,
  protocol: Protocol,
  clusterPort: number,
): ListenerPlan {
  const binds = [wildcard === '' ? slot(first) : wildcard];
  const service: Service = {
    ...NO_SERVICE,
    hostname: slot(first + 1),
    ports: [{ name: '', number: clusterPort, protocol }],
  };
  const scoped = { service, rule: undefined, mtls: undefined };
  const claim: Claim = { kind, scoped, port: { name: '', number, protocol }, binds, bindToPort: false, cidrs: [] };
  const name = listenerName(binds[0] ?? '', number);
  return { name, binds, port: number, bindToPort: false, claims: [{ claim, egress: 0 }], refused: [] };
}

/** Of a service listeners show its hostname and its ports, or whether it is resolved on demand. */
const NO_SERVICE: Service = {
  hostname: '',
  name: '',
  namespace: '',
  registry: 'Kubernetes',
  resolution: 'ClientSideLB',
  ports: [],
  defaultAddress: '',
  clusterVips: new Map(),
  exportTo: '*',
  labels: {},
  meshExternal: false,
  nodeLocal: false,
  publishNotReadyAddresses: false,
  subjectAltNames: [],
  serviceAccounts: [],
  aliases: [],
  clusterLocal: false,
  headless: false,
  selectsWorkloads: false,
  created: 0,
  refs: [],
};
