// Which outbound listeners a class has, and which service ports share each of them.
// In: the egress listeners of a scope, the plans before. Out: plans, one per address and port, each with its claims in
// order of precedence. Only the plans of services that came, went or changed are made anew; nothing is rendered here.

import type { Endpoint, ServiceEndpoints } from '../../ir/endpoint.ts';
import type { Service, ServicePort } from '../../ir/service.ts';
import type { Scope } from '../../ir/snapshot.ts';
import type { EgressListener, ScopedService } from '../../ir/traffic.ts';
import { isIp } from '../../lib/ip.ts';
import { memo } from '../../lib/memo.ts';
import { compareNumbers, compareStrings, orderBy } from '../../lib/order.ts';
import { differenceOf } from '../../lib/positions.ts';
import { successor } from '../../lib/successor.ts';
import { emptyTable, sameList, type Table, tableGet, tableWith } from '../../lib/table.ts';
import { isWildcardAddress, serviceAddresses } from '../addresses.ts';
import { listenerName } from './listener.ts';
import {
  bindsPorts,
  type Claim,
  claimKind,
  type EgressShape,
  egressShape,
  endpointClaim,
  type PlaceContext,
  placeContext,
  portClaims,
} from './place.ts';

export interface ClaimedBy {
  readonly claim: Claim;
  /** Position of the egress listener; ones with a port come before the catch-all and keep what they have. */
  readonly egress: number;
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

/** A headless service whose endpoints have listeners, and the endpoints that were read. */
interface Headless {
  readonly scoped: ScopedService;
  readonly endpoints: ServiceEndpoints | undefined;
}

export interface OutboundPlans {
  readonly plans: Table<ListenerPlan>;
  readonly place: PlaceContext;
  /** The class's own addresses, for which no listener is made. */
  readonly own: string;
  readonly shapes: readonly EgressShape[];
  readonly services: readonly (readonly ScopedService[])[];
  /** Of the catch-all: the only one whose services may be headless. */
  readonly headless: ReadonlyMap<ScopedService, Headless>;
}

/**
 * The plans of a scope; the previous ones themselves when nothing that they were made from changed. Classes that see the
 * same services get the same plans.
 */
export function outboundPlans(scope: Scope, previous: OutboundPlans | undefined): OutboundPlans {
  const { proxyClass, mesh, egress, endpoints } = scope;
  const place = placeContext(mesh, proxyClass);
  const own = proxyClass.ownHeadlessAddresses.join();
  const kept = previous?.place === place && previous.own === own && sameShapes(previous, egress) ? previous : undefined;
  const [only] = egress;
  if (egress.length !== 1 || only === undefined) return nextPlans({ egress, place, own, endpoints }, kept);
  const shape = egressShape(only);
  return kept === undefined
    ? firstPlans(only.services, shape, place, own, endpoints)
    : plansAfter(kept, only.services, endpoints);
}

interface PlanInputs {
  readonly egress: readonly (EgressShape & Pick<EgressListener, 'services'>)[];
  readonly place: PlaceContext;
  readonly own: string;
  readonly endpoints: Table<ServiceEndpoints>;
}

const firstPlans = memo(
  (
    services: readonly ScopedService[],
    shape: EgressShape,
    place: PlaceContext,
    own: string,
    endpoints: Table<ServiceEndpoints>,
  ): OutboundPlans => nextPlans({ egress: [{ ...shape, services }], place, own, endpoints }, undefined),
);

const plansAfter = successor(
  (kept: OutboundPlans, services: readonly ScopedService[], endpoints: Table<ServiceEndpoints>): OutboundPlans => {
    const { place, own, shapes } = kept;
    return nextPlans({ egress: shapes.map((shape) => ({ ...shape, services })), place, own, endpoints }, kept);
  },
);

function nextPlans(inputs: PlanInputs, kept: OutboundPlans | undefined): OutboundPlans {
  const { egress, place, own, endpoints } = inputs;
  const edits = new Edits();
  const headless = new Map(kept?.headless);
  const shapes = kept?.shapes ?? egress.map((each) => egressShape(each));
  shapes.forEach((shape, index) => {
    const { gone: removed, come: added } = differenceOf(kept?.services[index] ?? [], egress[index]?.services ?? []);
    const stale = index === catchAllIndex(shapes) ? staleHeadless(headless, endpoints, removed) : [];
    for (const scoped of [...removed, ...stale]) {
      const claims = claimsOf(scoped, shape, place, own, headless.get(scoped)?.endpoints);
      for (const claim of claims) edits.remove(claimName(claim), index, scoped);
      headless.delete(scoped);
    }
    for (const scoped of [...added, ...stale]) {
      const perAddress = isHeadless(scoped.service, shape, place);
      const found = perAddress ? tableGet(endpoints, scoped.service.hostname) : undefined;
      if (perAddress) headless.set(scoped, { scoped, endpoints: found });
      const claims = claimsOf(scoped, shape, place, own, found);
      for (const claim of claims) edits.add(claimName(claim), { claim, egress: index });
    }
  });
  const services = egress.map((each) => each.services);
  if (kept !== undefined && edits.byName.size === 0 && sameList(kept.services, services)) return kept;
  const before = kept?.plans ?? emptyTable<ListenerPlan>();
  return { plans: tableWith(before, edited(before, edits, shapes)), place, own, shapes, services, headless };
}

function sameShapes({ shapes }: OutboundPlans, egress: readonly EgressListener[]): boolean {
  if (shapes.length !== egress.length) return false;
  return shapes.every((shape, index) => {
    const next = egress[index];
    if (next === undefined || shape.bind !== next.bind || shape.captureMode !== next.captureMode) return false;
    const { number, protocol, name } = next.port ?? {};
    return shape.port?.number === number && shape.port?.protocol === protocol && shape.port?.name === name;
  });
}

function catchAllIndex(shapes: readonly EgressShape[]): number {
  return shapes.findIndex((shape) => shape.port === undefined);
}

/** Headless services of which the endpoints are others now. */
function staleHeadless(
  headless: ReadonlyMap<ScopedService, Headless>,
  current: Table<ServiceEndpoints>,
  removed: readonly ScopedService[],
): readonly ScopedService[] {
  const stale: ScopedService[] = [];
  for (const { scoped, endpoints } of headless.values()) {
    if (tableGet(current, scoped.service.hostname) !== endpoints && !removed.includes(scoped)) stale.push(scoped);
  }
  return stale;
}

interface Edit {
  /** By egress listener. */
  readonly removed: Set<ScopedService>[];
  readonly added: ClaimedBy[];
}

/** Changes of plans by name. */
class Edits {
  readonly byName = new Map<string, Edit>();

  add(name: string, claim: ClaimedBy): void {
    this.#of(name).added.push(claim);
  }

  remove(name: string, egress: number, scoped: ScopedService): void {
    const { removed } = this.#of(name);
    (removed[egress] ??= new Set()).add(scoped);
  }

  #of(name: string): Edit {
    let edit = this.byName.get(name);
    if (edit === undefined) {
      edit = { removed: [], added: [] };
      this.byName.set(name, edit);
    }
    return edit;
  }
}

function claimName({ binds, port }: Claim): string {
  return listenerName(binds[0] ?? '', port.number);
}

/** Older services first; between equals of one host the address decides. */
const byAge = orderBy<Service>(
  (a, b) => compareNumbers(a.created, b.created),
  (a, b) => compareStrings(a.name, b.name),
  (a, b) => compareStrings(a.namespace, b.namespace),
  (a, b) => compareStrings(a.hostname, b.hostname),
  (a, b) => compareStrings(a.defaultAddress, b.defaultAddress),
);

const byPrecedence = orderBy<ClaimedBy>(
  (a, b) => compareNumbers(a.egress, b.egress),
  (a, b) => byAge(a.claim.scoped.service, b.claim.scoped.service),
);

function* edited(
  before: Table<ListenerPlan>,
  edits: Edits,
  shapes: readonly EgressShape[],
): Generator<readonly [string, ListenerPlan | undefined]> {
  for (const [name, { removed, added }] of edits.byName) {
    const plan = tableGet(before, name);
    const present = plan === undefined ? [] : allClaims(plan, shapes);
    const gone = ({ claim, egress }: ClaimedBy): boolean => removed[egress]?.has(claim.scoped) === true;
    const rest = removed.length === 0 ? present : present.filter((each) => !gone(each));
    const all = [...rest, ...added];
    if (added.length > 0) all.sort(byPrecedence);
    yield [name, planOf(name, all, shapes)];
  }
}

function allClaims({ claims, refused }: ListenerPlan, shapes: readonly EgressShape[]): readonly ClaimedBy[] {
  const egress = catchAllIndex(shapes);
  return refused.length === 0 ? claims : [...claims, ...refused.map((claim) => ({ claim, egress }))];
}

function planOf(name: string, all: readonly ClaimedBy[], shapes: readonly EgressShape[]): ListenerPlan | undefined {
  const [first] = all;
  if (first === undefined) return undefined;
  const { binds, bindToPort, port } = first.claim;
  const locked = shapes[first.egress]?.port !== undefined;
  const explicit = locked ? all.filter(({ egress }) => shapes[egress]?.port !== undefined) : all;
  const refused = explicit.length === all.length ? [] : all.slice(explicit.length).map(({ claim }) => claim);
  return { name, binds, port: port.number, bindToPort, claims: explicit, refused };
}

/**
 * Without an address, connections to a service are told apart by those of its endpoints. Only the catch-all does so, and
 * only where it listens on behalf of others.
 */
function isHeadless(service: Service, shape: EgressShape, place: PlaceContext): boolean {
  if (shape.port !== undefined || shape.bind !== '' || service.resolution !== 'Passthrough') return false;
  if (bindsPorts(shape, place) || !service.ports.some(perEndpoint)) return false;
  return isWildcardAddress(serviceAddresses(service, place)[0] ?? '');
}

function perEndpoint(port: ServicePort): boolean {
  const kind = claimKind(port);
  return kind === 'tcp' || kind === 'auto';
}

function claimsOf(
  scoped: ScopedService,
  shape: EgressShape,
  place: PlaceContext,
  own: string,
  endpoints: ServiceEndpoints | undefined,
): readonly Claim[] {
  const { service } = scoped;
  const plain = portClaims(scoped, place, shape);
  if (!isHeadless(service, shape, place)) return plain;
  return plain.flatMap((claim) => {
    const { port } = claim;
    if (!perEndpoint(port)) return [claim];
    const ofPort = (endpoints?.endpoints ?? []).filter((endpoint) => endpoint.portName === port.name);
    // Of a service that selects its endpoints there will be some; until then, nobody can be meant.
    const mayComeLater = service.registry === 'Kubernetes' || service.selector !== undefined;
    if (ofPort.length === 0) return mayComeLater ? [] : [claim];
    return endpointsElsewhere(ofPort, own).map((each) =>
      endpointClaim(scoped, port, each.address, each.otherAddresses),
    );
  });
}

/** What the workload calls on its own address never reaches the proxy's outbound side. */
function endpointsElsewhere(endpoints: readonly Endpoint[], own: string): readonly Endpoint[] {
  const ownAddresses = own.split(',');
  const byAddress = new Map(endpoints.map((endpoint) => [endpoint.address, endpoint]));
  return [...byAddress.values()].filter(({ address }) => isIp(address) && !ownAddresses.includes(address));
}
