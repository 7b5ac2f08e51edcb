// What the listeners of one class import, put together: services per listener, all services of the class, and the
// destinations of its VirtualServices that no listener names.

import type { IstioEgressListener } from '../config/generated/types.ts';
import type { Service } from '../ir/service.ts';
import type { EgressListener, ScopedService, VirtualService } from '../ir/traffic.ts';
import { deepEqual } from '../lib/equal.ts';
import { memo } from '../lib/memo.ts';
import { type Derived, deriveTable, keepList, type Table, tableEntries, tableFrom, tableGet } from '../lib/table.ts';
import type { RuleClient } from './destination-rules.ts';
import {
  type EgressImport,
  egressImport,
  importedService,
  importedVirtualServices,
  routedHosts,
  withPorts,
} from './egress.ts';
import { keepEqual, keepMembers } from './keep.ts';
import { allVisible, compareScoped, type ServiceBase } from './scoped-services.ts';
import { type Choices, chooseRules, isServiceVisible, preferred, scopedService } from './service-choice.ts';
import { keepTable, mergeSorted, type Ordered, orderedFrom } from './tables.ts';

/** One listener's share, kept for the next time. */
export interface ListenerPart {
  readonly imported: EgressImport;
  /** VirtualServices of which it imports some. */
  readonly visible: readonly VirtualService[];
  readonly selected?: Derived<readonly Service[], Service> | undefined;
  readonly choices?: Choices | undefined;
  readonly services: Table<ScopedService>;
  readonly ordered: Ordered<ScopedService>;
  readonly listener: EgressListener;
}

/** Builds one listener's imports from what it imported before. */
export function listenerPart(
  base: ServiceBase,
  client: RuleClient,
  spec: IstioEgressListener,
  visible: readonly VirtualService[],
  previous: ListenerPart | undefined,
): ListenerPart {
  const before =
    previous?.imported.listener === spec && previous.imported.namespace === client.namespace ? previous : undefined;
  const imported = before?.imported ?? egressImport(spec, client.namespace);
  const found: Imported = imported.everything
    ? { services: allVisible(base, client, before?.services) }
    : importedServices(base, client, imported, before);
  // Another Sidecar may import the same: what is equal to the listener in this place stays.
  const services = keepTable(previous?.services, found.services);
  const from = before?.ordered ?? (imported.everything ? base.ordered : undefined);
  const ordered =
    services === base.scoped
      ? base.ordered
      : orderedFrom(from, services, compareScoped, previous?.ordered.list ?? from?.list);
  const old = previous?.listener;
  const listener: EgressListener = keepMembers(old, {
    services: keepList(old?.services, withSiblings(base, services, ordered.list)),
    virtualServices:
      before?.visible === visible
        ? before.listener.virtualServices
        : keepList(old?.virtualServices, importedVirtualServices(imported, visible)),
    ...listenerFace(spec, old),
  });
  return keepMembers(before, { imported, visible, ...found, services, ordered, listener });
}

type Imported = Pick<ListenerPart, 'services' | 'selected' | 'choices'>;

/** Further addresses of one host are services of their own to a listener. */
function withSiblings(
  base: ServiceBase,
  services: Table<ScopedService>,
  list: readonly ScopedService[],
): readonly ScopedService[] {
  const extra: ScopedService[] = [];
  for (const [host, siblings] of tableEntries(base.siblings.output)) {
    const main = tableGet(services, host);
    if (main === undefined) continue;
    const numbers = main.service.ports.map((port) => port.number);
    const own = siblings.filter((each) => each.namespace === main.service.namespace);
    for (const service of own.slice(1)) {
      const trimmed = withPorts(service, numbers);
      if (trimmed !== undefined) extra.push(siblingOf(trimmed, main));
    }
  }
  return extra.length === 0 ? list : mergeSorted(list, extra.sort(compareScoped), compareScoped);
}

const siblingOf = memo((service: Service, main: ScopedService): ScopedService => ({ ...main, service }));

function listenerFace(
  spec: IstioEgressListener,
  old: EgressListener | undefined,
): Pick<EgressListener, 'port' | 'bind' | 'captureMode'> {
  const { port } = spec;
  const next = port && { number: port.number ?? 0, protocol: port.protocol ?? '', name: port.name ?? '' };
  return {
    bind: spec.bind ?? '',
    captureMode: spec.captureMode ?? 'DEFAULT',
    port: keepEqual(old?.port, next),
  };
}

function importedServices(
  base: ServiceBase,
  client: RuleClient,
  imported: EgressImport,
  before: ListenerPart | undefined,
): Imported {
  const selected = deriveTable(before?.selected, base.services, [], (list) => importedService(imported, list));
  const choices = chooseRules(before?.choices, selected.output, base, client);
  return { selected, choices, services: choices.scoped.output };
}

/**
 * All services of the class. Those that the listeners name come first; destinations of VirtualServices are added where
 * their host is not there yet. Ports of one service imported by several listeners are united.
 */
export function unitedServices(
  base: ServiceBase,
  client: RuleClient,
  parts: readonly ListenerPart[],
  previous: Table<ScopedService> | undefined,
): Table<ScopedService> {
  const [only] = parts;
  if (parts.length === 1 && only !== undefined) {
    const extra = routedServices(base, client, only, (host) => tableGet(only.services, host) === undefined);
    if (extra.length === 0) return keepTable(previous, only.services);
  }
  const found = new Map<string, Service>();
  for (const part of parts) {
    for (const [host, scoped] of tableEntries(part.services)) addService(base, found, host, scoped.service);
    for (const service of routedServices(base, client, part, () => true))
      addService(base, found, service.hostname, service);
  }
  const entries = [...found].map(([host, service]): [string, ScopedService] => {
    return [host, scopedService(base, client, service, tableGet(base.facts.output, host))];
  });
  return keepTable(previous, tableFrom(entries, previous));
}

function addService(base: ServiceBase, found: Map<string, Service>, host: string, service: Service): void {
  const existing = found.get(host);
  if (existing === undefined || (existing.registry !== 'Kubernetes' && service.registry === 'Kubernetes')) {
    found.set(host, service);
    return;
  }
  if (existing === service || existing.registry !== service.registry) return;
  if (existing.namespace !== service.namespace) return;
  const whole = (tableGet(base.services, host) ?? []).find((each) => each.namespace === service.namespace);
  const ports = [...existing.ports, ...service.ports].map((port) => port.number);
  const union = whole === undefined ? undefined : withPorts(whole, ports);
  if (union !== undefined && !deepEqual(union.ports, existing.ports)) found.set(host, union);
}

/** Services that VirtualServices of the listener lead to: of the own namespace if there, else the best visible one. */
function routedServices(
  base: ServiceBase,
  client: RuleClient,
  part: ListenerPart,
  wanted: (host: string) => boolean,
): readonly Service[] {
  const { namespace } = client;
  // What such a listener lacks is visible to nobody here, except for hidden services of the own namespace.
  if (part.imported.everything && !hasHidden(base, namespace)) return [];
  const out: Service[] = [];
  for (const node of part.listener.virtualServices) {
    for (const { host, ports } of routedHosts(node, namespace)) {
      if (!wanted(host)) continue;
      const list = tableGet(base.services, host);
      if (list === undefined) continue;
      const service = list.find((each) => each.namespace === namespace) ?? preferred(list, namespace, isServiceVisible);
      if (service === undefined) continue;
      const only = part.imported.onlyPort === undefined ? ports : [part.imported.onlyPort];
      const trimmed = only === undefined ? service : withPorts(service, only);
      if (trimmed !== undefined) out.push(trimmed);
    }
  }
  return out;
}

function hasHidden(base: ServiceBase, namespace: string): boolean {
  return (tableGet(base.hiddenIn, namespace) ?? []).length > 0;
}
