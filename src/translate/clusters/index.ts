// Clusters (CDS). In: a class's visible services, their DestinationRules and the identities of their endpoints.
// Out: drafts by hostname. Endpoint addresses matter only to DNS clusters, which carry them: for all others an endpoint
// change ends at the comparison of the identity list.

import type { Subset } from '../../config/generated/types.ts';
import type { Draft } from '../../ir/draft.ts';
import type { ServiceEndpoints } from '../../ir/endpoint.ts';
import type { ServicePort } from '../../ir/service.ts';
import type { Scope } from '../../ir/snapshot.ts';
import type { ScopedService } from '../../ir/traffic.ts';
import { exact } from '../../lib/exact.ts';
import { memo } from '../../lib/memo.ts';
import { compareStrings } from '../../lib/order.ts';
import type { Steps } from '../../lib/steps.ts';
import {
  type Derived2,
  deriveTable2Once,
  keepList,
  type Table,
  tableGet,
  tableValues,
  tableWith,
} from '../../lib/table.ts';
import { dnsAssignment, placed } from '../endpoints/index.ts';
import { type ClusterContext, scopeContext } from './context.ts';
import { outboundCluster } from './outbound.ts';
import { effectivePolicy } from './policy.ts';
import type { MeshSettings } from '../mesh.ts';

export { inboundClusters } from './inbound.ts';

export interface OutboundClusters {
  /** By hostname. */
  readonly table: Table<readonly Draft[]>;
  readonly derived: Derived2<ScopedService, ServiceEndpoints, readonly Draft[]>;
}

const NO_IDENTITIES: readonly string[] = [];

/** Outbound clusters of a class; services whose inputs are the same keep their drafts. */
export function* outboundClusters(scope: Scope, previous: OutboundClusters | undefined): Steps<OutboundClusters> {
  const context = scopeContext(scope);
  const sniDnat = scope.gateway?.hasAutoPassthrough === true;
  const shared = [context, scope.networks, scope.peerAuthn, placed(scope.proxyClass), sniDnat];
  const derived = yield* deriveTable2Once(
    previous?.derived,
    scope.services,
    scope.endpoints,
    shared,
    (scoped, endpoints, _host, before) => keepList(before, serviceClusters(scope, scoped, endpoints, context, sniDnat)),
  );
  return derived === previous?.derived ? previous : { table: derived.output, derived };
}

/**
 * Those of a class with a place, made from what its placeless class has: clusters that carry their addresses are its own, all
 * others are the same.
 */
export function placedClusters(
  scope: Scope,
  shared: OutboundClusters,
  previous: OutboundClusters | undefined,
): OutboundClusters {
  const hosts = dnsHosts(scope.services);
  if (hosts.length === 0) return shared;
  const context = scopeContext(scope);
  const own = hosts.map((scoped): [string, readonly Draft[] | undefined] => {
    const host = scoped.service.hostname;
    const before = previous === undefined ? undefined : tableGet(previous.table, host);
    const drafts = serviceClusters(scope, scoped, tableGet(scope.endpoints, host), context, false);
    return [host, keepList(before, drafts)];
  });
  const table = tableWith(shared.table, own);
  return { table, derived: shared.derived };
}

const dnsHosts = memo((services: Table<ScopedService>): readonly ScopedService[] =>
  [...tableValues(services)].filter(isDns),
);

function serviceClusters(
  scope: Scope,
  scoped: ScopedService,
  endpoints: ServiceEndpoints | undefined,
  context: ClusterContext,
  sniDnat: boolean,
): readonly Draft[] {
  const { service, rule } = scoped;
  if (service.resolution === 'Alias') return [];
  const drafts: Draft[] = [];
  for (const port of service.ports) {
    if (port.protocol === 'UDP' || !servable(scoped, port)) continue;
    const subsets = service.resolution === 'DynamicDNS' ? [undefined] : [undefined, ...(rule?.subsets ?? [])];
    for (const subset of subsets) addClusters(drafts, scope, scoped, endpoints, context, port, subset, sniDnat);
  }
  return exact(drafts);
}

function addClusters(
  drafts: Draft[],
  scope: Scope,
  scoped: ScopedService,
  endpoints: ServiceEndpoints | undefined,
  context: ClusterContext,
  port: ServicePort,
  subset: Subset | undefined,
  sniDnat: boolean,
): void {
  const { service, rule, mtls } = scoped;
  const dns = isDns(scoped);
  const assignment = dns ? dnsAssignment(scope, scoped, endpoints, port, subset, false) : undefined;
  if (dns && assignment === undefined) return;
  const policy = effectivePolicy(rule, port.number, subset);
  const known = accounts(endpoints?.identities ?? NO_IDENTITIES, service.serviceAccounts, scope.mesh);
  drafts.push(outboundCluster(service, port, subset, rule, policy, mtls, known, assignment, false, context));
  if (!sniDnat || service.meshExternal) return;
  const forSni = dns ? dnsAssignment(scope, scoped, endpoints, port, subset, true) : undefined;
  drafts.push(outboundCluster(service, port, subset, rule, policy, mtls, NO_IDENTITIES, forSni, true, context));
}

/** A dynamic forward proxy resolves what HTTP or SNI names; opaque TCP names nothing. */
function servable(scoped: ScopedService, port: ServicePort): boolean {
  if (scoped.service.resolution !== 'DynamicDNS') return true;
  return port.protocol === 'HTTP' || port.protocol === 'TLS' || port.protocol === 'GRPC' || port.protocol === 'HTTP2';
}

function isDns({ service }: ScopedService): boolean {
  return service.resolution === 'DNSLB' || service.resolution === 'DNSRoundRobinLB';
}

/** Identities that endpoints may present: in every trust domain that stands for the mesh's own. */
function accounts(identities: readonly string[], declared: readonly string[], mesh: MeshSettings): readonly string[] {
  const all = declared.length === 0 ? identities : withDeclared(identities, declared);
  return mesh.trustDomainAliases.length === 0 ? all : withAliases(all, mesh);
}

const withDeclared = memo((identities: readonly string[], declared: readonly string[]): readonly string[] =>
  [...new Set([...identities, ...declared])].sort(compareStrings),
);

const withAliases = memo((identities: readonly string[], mesh: MeshSettings): readonly string[] => {
  const domains = [mesh.trustDomain, ...mesh.trustDomainAliases];
  const expanded = identities.flatMap((identity) => {
    const own = domains.find((domain) => identity.startsWith(`spiffe://${domain}/`));
    return own === undefined
      ? [identity]
      : domains.map((domain) => identity.replace(`spiffe://${own}/`, `spiffe://${domain}/`));
  });
  return [...new Set(expanded)].sort(compareStrings);
});
