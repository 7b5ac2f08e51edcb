// All services of one hostname, whoever defines them.

import type { Service } from '../ir/service.ts';
import { deepEqual } from '../lib/equal.ts';
import { isWildcard } from '../lib/hosts.ts';
import { memo } from '../lib/memo.ts';
import { compareNumbers, compareStrings, orderBy } from '../lib/order.ts';
import { keepList } from '../lib/table.ts';
import type { Aliases } from './aliases.ts';
import type { Findings } from './findings.ts';
import type { KubeService, ServiceEntry } from './input.ts';
import { kubeService, type ServiceContext } from './kube-service.ts';
import { entryServices, mergeableEntries } from './service-entry.ts';
import { type Vips, vipKey } from './vips.ts';
import { sameVisibility } from './visibility.ts';

/** An object that defines the host. */
export type Claim = KubeService | ServiceEntry;

export interface HostContext extends ServiceContext {
  readonly vips: Vips;
  readonly aliases: Aliases;
}

export function isKubeService(claim: Claim): claim is KubeService {
  return claim.kind === 'Service';
}

/** Of one host: oldest first, then by namespace, Kubernetes Services before ServiceEntries, then by name. */
export const compareClaims = orderBy<Claim>(
  (a, b) => compareNumbers(a.created, b.created),
  (a, b) => compareStrings(a.namespace, b.namespace),
  (a, b) => compareStrings(a.kind, b.kind) * -1,
  (a, b) => compareStrings(a.name, b.name),
);

/** The order in which the mesh lists services: age, name, namespace. */
const compareServices = orderBy<Service>(
  (a, b) => compareNumbers(a.created, b.created),
  (a, b) => compareStrings(a.name, b.name),
  (a, b) => compareStrings(a.namespace, b.namespace),
);

/** Claims of one namespace: its Kubernetes Service if there is one, and the ServiceEntries that are in force. */
export interface NamespaceClaims {
  readonly namespace: string;
  readonly service: KubeService | undefined;
  readonly entries: readonly ServiceEntry[];
}

export function claimsByNamespace(
  hostname: string,
  claims: readonly Claim[],
  findings?: Findings,
): readonly NamespaceClaims[] {
  const groups = new Map<string, { service: KubeService | undefined; entries: ServiceEntry[] }>();
  for (const claim of claims) {
    let group = groups.get(claim.namespace);
    if (group === undefined) {
      group = { service: undefined, entries: [] };
      groups.set(claim.namespace, group);
    }
    if (isKubeService(claim)) group.service = claim;
    else group.entries.push(claim);
  }
  return [...groups].map(([namespace, { service, entries }]) => ({
    namespace,
    service,
    entries: mergeableEntries(hostname, entries, findings),
  }));
}

/** Services of the host in registry order; those equal to ones of `before` are the same objects. */
export function servicesOfHost(
  hostname: string,
  claims: readonly Claim[],
  context: HostContext,
  findings: Findings,
  before: readonly Service[] | undefined,
): readonly Service[] {
  const built = claimsByNamespace(hostname, claims, findings).flatMap(({ namespace, service, entries }) => {
    if (service !== undefined) {
      for (const entry of entries) {
        const message = `host ${hostname} is that of Service ${service.name}: only the endpoints of this object are used`;
        findings.add('MEL0103', entry, 'spec.hosts', message);
      }
      if (context.aliases.loops.has(hostname)) {
        const message = `externalName ${service.spec.externalName ?? ''} leads back to this service`;
        findings.add('MEL0110', service, 'spec.externalName', message);
      }
      return [kubeService(service, context)];
    }
    warnOfWildcard(hostname, entries, findings);
    return entryServices(hostname, entries, context.vips.get(vipKey(namespace, hostname)), context, findings);
  });
  const aliases = context.aliases.of.get(hostname);
  const linked = aliases === undefined ? built : built.map((service) => withAliases(service, aliases));
  const ordered = linked.sort(compareServices);
  return keepList(
    before,
    ordered.map((service) => before?.find((each) => sameService(each, service)) ?? service),
  );
}

function withAliases(service: Service, aliases: readonly string[]): Service {
  return service.resolution === 'Alias' ? service : { ...service, aliases };
}

function warnOfWildcard(hostname: string, entries: readonly ServiceEntry[], findings: Findings): void {
  if (!isWildcard(hostname)) return;
  for (const entry of entries) {
    const { resolution, endpoints } = entry.spec;
    if ((resolution === 'DNS' || resolution === 'DNS_ROUND_ROBIN') && (endpoints?.length ?? 0) === 0) {
      findings.add('MEL0112', entry, 'spec.hosts', `${hostname} can not be resolved by DNS without endpoints`);
    }
  }
}

function sameService(a: Service, b: Service): boolean {
  const { clusterVips: vipsA, exportTo: visibleA, ...restA } = a;
  const { clusterVips: vipsB, exportTo: visibleB, ...restB } = b;
  return deepEqual(restA, restB) && sameVisibility(visibleA, visibleB) && deepEqual([...vipsA], [...vipsB]);
}

/**
 * The services of one host in one namespace as one: where several addresses bring different ports, the first with the
 * ports of all. What does not depend on an address (clusters, endpoints) is made from it. `services` is an entry of the
 * service table; the result is the same object for the same list.
 */
export const unitedService = memo((services: readonly Service[], namespace: string): Service | undefined => {
  const [first, ...others] = services.filter((service) => service.namespace === namespace);
  if (first === undefined) return undefined;
  const ports = new Map(first.ports.map((port) => [port.number, port]));
  const further = others.flatMap((service) => service.ports).filter((port) => !ports.has(port.number));
  if (further.length === 0) return first;
  const added = new Map(further.map((port) => [port.number, port]));
  return { ...first, ports: [...first.ports, ...added.values()] };
});
