// The filter chains of one outbound listener, folded from its claims: who shares, who merges, who loses.
// In: a plan. Out: chains before rendering, and the claims that got nothing. The older service comes first and wins.

import { isTls, NO_ADDRESS, type Service } from '../../ir/service.ts';
import type { ScopedService } from '../../ir/traffic.ts';
import { parseCidr } from '../../lib/ip.ts';
import { memo } from '../../lib/memo.ts';
import { isWildcardAddress } from '../addresses.ts';
import { ANYBODY, type L4Chain, type L4Client, type L4Index, type L4Inputs, l4Chains, NO_L4 } from './l4-routes.ts';
import type { ClaimedBy, ListenerPlan } from './outbound-plan.ts';
import type { Claim } from './place.ts';

export interface HttpChain {
  readonly kind: 'http';
  readonly claim: ClaimedBy;
  readonly routeName: string;
  /** Only bytes that look like plain HTTP; else every connection. */
  readonly inspected: boolean;
}

export interface TcpChain {
  readonly kind: 'tcp';
  readonly claim: ClaimedBy;
  readonly outline: L4Chain;
}

export type OutboundChain = HttpChain | TcpChain;

export interface Loser {
  readonly service: Service;
  readonly reason: string;
}

export interface Folded {
  readonly chains: readonly OutboundChain[];
  readonly losers: readonly Loser[];
}

type State = 'empty' | 'http' | 'tcp' | 'auto';

export interface FoldInputs {
  readonly plan: ListenerPlan;
  readonly client: L4Client;
  readonly lookup: (host: string) => ScopedService | undefined;
  /** Routes for connections, by egress listener. */
  readonly l4: readonly L4Index[];
}

export function foldClaims(inputs: FoldInputs): Folded {
  const { plan } = inputs;
  const fold = new Fold(inputs);
  for (const claim of plan.claims) fold.add(claim);
  for (const { scoped } of plan.refused) {
    fold.losers.push({ service: scoped.service, reason: `port ${plan.port} is set up by the Sidecar` });
  }
  return { chains: fold.chains, losers: fold.losers };
}

/** Without routes for connections it is the same for every client. */
export const plainlyFolded = memo(
  (plan: ListenerPlan): Folded => foldClaims({ plan, client: ANYBODY, lookup: () => undefined, l4: NO_L4 }),
);

/** A listener while its claims are added. */
class Fold {
  readonly losers: Loser[] = [];
  private readonly inputs: FoldInputs;
  private readonly wildcard: boolean;
  private readonly matches = new Map<string, Service>();
  private http: HttpChain[] = [];
  private tcp: TcpChain[] = [];
  private state: State = 'empty';
  /** Of the first claim whose bytes are parsed by a protocol of its own, if any. */
  private serverFirst: ClaimedBy | undefined;

  constructor(inputs: FoldInputs) {
    this.inputs = inputs;
    this.wildcard = isWildcardAddress(inputs.plan.binds[0] ?? '');
  }

  get chains(): readonly OutboundChain[] {
    return [...this.http, ...this.tcp];
  }

  add(by: ClaimedBy): void {
    if (this.clashesWithServerFirst(by)) return;
    switch (by.claim.kind) {
      case 'http':
      case 'proxy':
        this.addHttp(by);
        return;
      case 'tcp':
        this.addTcp(by);
        this.state = this.state === 'empty' || this.state === 'tcp' ? 'tcp' : 'auto';
        return;
      case 'auto':
        this.addAuto(by);
    }
  }

  private addHttp(by: ClaimedBy): void {
    // On all addresses anything may come, so HTTP has to be recognised first; requests of all services share routes.
    if (this.http.length > 0) return;
    const routeName = httpRouteName(this.inputs.plan);
    const inspected = this.wildcard && by.claim.kind !== 'proxy';
    const holder = inspected ? undefined : this.matches.get(MATCH_ALL);
    if (holder !== undefined) this.lose(by.claim.scoped.service, holder);
    else this.http = [{ kind: 'http', claim: by, routeName, inspected }];
    this.state = this.state === 'empty' && !inspected ? 'http' : 'auto';
  }

  private addAuto(by: ClaimedBy): void {
    const { plan } = this.inputs;
    if (this.state !== 'auto') {
      const routeName = this.wildcard ? String(plan.port) : `${by.claim.scoped.service.hostname}:${plan.port}`;
      this.http = [{ kind: 'http', claim: by, routeName, inspected: true }];
      // What was there for HTTP alone makes way as a whole.
      if (this.state === 'http') this.dropTcp();
    }
    this.addTcp(by);
    this.state = 'auto';
  }

  private dropTcp(): void {
    this.tcp = [];
    this.matches.clear();
  }

  private lose(service: Service, holder: Service): void {
    this.losers.push({ service, reason: `port ${this.inputs.plan.port} is taken by ${holder.hostname}` });
  }

  private addTcp(by: ClaimedBy): void {
    for (const chain of this.candidates(by)) this.keep(by, chain);
  }

  /** Of equal matches Envoy would refuse the second: the older service has it. */
  private keep(by: ClaimedBy, { outline, key }: Candidate): void {
    const holder = this.matches.get(key) ?? (key === MATCH_ALL ? this.plainHttp : undefined);
    const { service } = by.claim.scoped;
    if (holder !== undefined) {
      if (holder !== service) this.lose(service, holder);
      return;
    }
    this.matches.set(key, service);
    this.tcp.push({ kind: 'tcp', claim: by, outline });
  }

  /** Where an address has but HTTP, that takes every connection. */
  private get plainHttp(): Service | undefined {
    return this.http.find(({ inspected }) => !inspected)?.claim.claim.scoped.service;
  }

  /** A server that speaks first leaves nothing to inspect. */
  private clashesWithServerFirst(by: ClaimedBy): boolean {
    const own = isServerFirst(by);
    if (this.state === 'empty') {
      if (own) this.serverFirst = by;
      return false;
    }
    const clash = own || this.serverFirst !== undefined;
    if (clash && this.serverFirst?.claim.port.protocol === by.claim.port.protocol) return false;
    if (clash) {
      const { protocol, number } = by.claim.port;
      const reason = `${protocol} can't share port ${number} with another protocol`;
      this.losers.push({ service: by.claim.scoped.service, reason });
    }
    return clash;
  }

  private candidates({ claim, egress }: ClaimedBy): readonly Candidate[] {
    const { client, lookup, plan, l4 } = this.inputs;
    const ownAddress = plan.binds[0] === claim.binds[0] && claim.cidrs.length === 0;
    const resolved = claim.scoped.service.resolution === 'DynamicDNS';
    const sniNeeded = isTls(claim.port.protocol) && (resolved || (this.wildcard && ownAddress));
    const virtualServices = l4[egress]?.forHost(claim.scoped.service.hostname) ?? [];
    if (virtualServices.length === 0) return unroutedChains(claim, sniNeeded);
    return candidatesOf(claim, { client, sniNeeded, virtualServices, lookup });
  }
}

/** A chain that a listener gets, unless another one has its match. */
interface Candidate {
  readonly outline: L4Chain;
  /** The same for matches that are the same to Envoy. */
  readonly key: string;
}

function candidatesOf(
  { scoped, port, cidrs }: Claim,
  own: Omit<L4Inputs, 'scoped' | 'port' | 'cidrs'>,
): readonly Candidate[] {
  return l4Chains({ scoped, port, cidrs, ...own }).map((chain) => {
    const outline = { ...chain, subnets: chain.subnets.filter((subnet) => !isAnywhere(subnet)) };
    return { outline, key: matchKey(outline) };
  });
}

/** Without routes nothing but the claim shows, whoever else claims the port: so a claim more leaves those of all others as they are. */
const unroutedChains = memo((claim: Claim, sniNeeded: boolean): readonly Candidate[] =>
  candidatesOf(claim, { client: ANYBODY, sniNeeded, virtualServices: [], lookup: () => undefined }),
);

function isServerFirst({ claim }: ClaimedBy): boolean {
  return claim.port.protocol === 'MySQL' || claim.port.protocol === 'Mongo';
}

/** Sockets have no port to be named by. */
function httpRouteName({ port, binds }: ListenerPlan): string {
  return port === 0 ? (binds[0] ?? '') : String(port);
}

const MATCH_ALL = JSON.stringify([[], []]);

/** Envoy sees prefixes without what stands behind them: 10.1.2.3/8 is 10.0.0.0/8 to it. */
function matchKey({ serverNames, subnets }: L4Chain): string {
  const networks = subnets.map((subnet) => {
    const cidr = parseCidr(subnet);
    return cidr === undefined ? subnet : `${cidr.version} ${cidr.network}/${cidr.bits}`;
  });
  return JSON.stringify([[...serverNames].sort(), [...new Set(networks)].sort()]);
}

/** As in istiod: no prefix of the unspecified address tells connections apart. */
function isAnywhere(subnet: string): boolean {
  return subnet.split('/')[0] === NO_ADDRESS;
}
