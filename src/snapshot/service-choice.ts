// Which of several services of one host a client means, which rule applies to it, and which mTLS mode its servers take.

import type { ServiceEndpoints } from '../ir/endpoint.ts';
import type { MtlsMode } from '../ir/policy.ts';
import type { Service } from '../ir/service.ts';
import type { PeerAuthnIndex } from '../ir/snapshot.ts';
import type { DestinationRule, ScopedService } from '../ir/traffic.ts';
import { memo } from '../lib/memo.ts';
import { type Derived, type Derived2, deriveTable2, type Table } from '../lib/table.ts';
import { type DestinationRuleIndex, type RuleClient, ruleFor } from './destination-rules.ts';

/** Which of a host's services have endpoints that all take mTLS, as text: equal text, equal facts. */
export type TlsFacts = string;

export function isServiceVisible(service: Service, namespace: string): boolean {
  return service.exportTo === '*' || service.exportTo.has(namespace);
}

/** The one of a host's services that clients of the namespace mean. */
export function visibleService(list: readonly Service[], namespace: string): Service | undefined {
  return preferred(list.length === 1 ? list : inLookupOrder(list, namespace), namespace, isServiceVisible);
}

/** Services exported by name are looked up before public ones. */
export function inLookupOrder(list: readonly Service[], namespace: string): readonly Service[] {
  if (list.length < 2 || !list.some((service) => isExportedByName(service, namespace))) return list;
  return [
    ...list.filter((service) => isExportedByName(service, namespace)),
    ...list.filter((service) => !isExportedByName(service, namespace)),
  ];
}

function isExportedByName(service: Service, namespace: string): boolean {
  return service.exportTo !== '*' && service.exportTo.has(namespace);
}

/** Own namespace first, then Kubernetes over ServiceEntries, then the order of the list (age). */
export function preferred(
  list: readonly Service[],
  namespace: string,
  admits: (service: Service, namespace: string) => boolean,
): Service | undefined {
  let best: Service | undefined;
  for (const service of list) {
    if (!admits(service, namespace)) continue;
    if (service.namespace === namespace) return service;
    if (best === undefined || (best.registry !== 'Kubernetes' && service.registry === 'Kubernetes')) best = service;
  }
  return best;
}

/** A service and the rule chosen for it. */
interface Ruled {
  readonly service: Service;
  readonly rule: DestinationRule | undefined;
}

/** Rules and modes for a table of services. One changed rule looks at its own host only, a wildcard at all. */
export interface Choices {
  readonly ruled: Derived2<Service, readonly DestinationRule[], Ruled>;
  readonly scoped: Derived2<Ruled, TlsFacts, ScopedService>;
}

/** Decides over a table of services for one client. `previous` has to be of the same client. */
export function chooseRules(
  previous: Choices | undefined,
  services: Table<Service>,
  context: ServiceContext & { readonly facts: Derived<readonly ServiceEndpoints[], TlsFacts> },
  client: RuleClient,
): Choices {
  const { rules, peerAuthn, facts } = context;
  const shared = [rules.wildcards, rules.rootNamespace];
  const ruled = deriveTable2(previous?.ruled, services, rules.byHost, shared, (service, _own, _host, before) => {
    const rule = ruleFor(rules, client, service);
    return before !== undefined && before.service === service && before.rule === rule ? before : { service, rule };
  });
  const scoped = deriveTable2(previous?.scoped, ruled.output, facts.output, [peerAuthn], ({ service, rule }, fact) =>
    node(service, rule, inferredMode(peerAuthn, service, rule, fact)),
  );
  return previous !== undefined && previous.ruled === ruled && previous.scoped === scoped
    ? previous
    : { ruled, scoped };
}

/** What deciding over a service takes beside the client. */
export interface ServiceContext {
  readonly rules: DestinationRuleIndex;
  readonly peerAuthn: PeerAuthnIndex;
}

/** The same object for the same service, rule and mode, for whichever class of clients. */
export function scopedService(
  context: ServiceContext,
  client: RuleClient,
  service: Service,
  fact: TlsFacts | undefined,
): ScopedService {
  const rule = ruleFor(context.rules, client, service);
  return node(service, rule, inferredMode(context.peerAuthn, service, rule, fact));
}

const node = memo(
  (service: Service, rule: DestinationRule | undefined, mtls: MtlsMode | undefined): ScopedService => ({
    service,
    rule,
    mtls,
  }),
);

/** Where the proxy does not choose the endpoint itself, all have to take mTLS before it can be offered. */
function inferredMode(
  peerAuthn: PeerAuthnIndex,
  service: Service,
  rule: DestinationRule | undefined,
  fact: TlsFacts | undefined,
): MtlsMode | undefined {
  if (service.meshExternal) return undefined;
  const passthrough =
    service.resolution === 'Passthrough' || rule?.trafficPolicy?.loadBalancer?.simple === 'PASSTHROUGH';
  if (passthrough && fact?.includes(`${service.namespace};`) !== true) return 'DISABLE';
  return peerAuthn.namespaceMode(service.namespace);
}
