// Which RouteConfigurations the listeners of a class ask for: how many services need each name.
// In: the services of a listener, what was counted before. Out: names in order. Only services that came or went are
// looked at. Called by index.ts.

import type { ScopedService } from '../../ir/traffic.ts';
import { compareStrings } from '../../lib/order.ts';
import { differenceOf } from '../../lib/positions.ts';
import { type Addressing, hasVip, seeSameAddresses } from './domains.ts';
import { carriesHttp } from './listener-services.ts';
import { portRouteName, sniffedRouteName } from './names.ts';

/** What of a listener decides which names its services need. */
export interface NamingInputs {
  readonly addressing: Addressing;
  /** Ports that listeners of their own have. */
  readonly explicit: readonly number[];
  /** The listener binds the ports of its services. */
  readonly bound: boolean;
}

export interface ServiceNames {
  readonly inputs: NamingInputs;
  readonly services: readonly ScopedService[];
  /** How many ports of services need each name. */
  readonly counts: ReadonlyMap<string, number>;
  /** In order. */
  readonly names: readonly string[];
}

/** Services of which the names were found; counted by tests. */
export const NAMED = { services: 0 };

export function namesOfServices(
  inputs: NamingInputs,
  services: readonly ScopedService[],
  previous: ServiceNames | undefined,
): ServiceNames {
  const before = previous !== undefined && sameNaming(previous.inputs, inputs) ? previous : undefined;
  if (before?.services === services) return before;
  const { gone, come } = before === undefined ? { gone: [], come: services } : differenceOf(before.services, services);
  const counts = new Map(before?.counts);
  let others = before === undefined;
  const count = (scoped: ScopedService, by: 1 | -1): void => {
    NAMED.services++;
    for (const name of namesOf(scoped, inputs)) {
      const now = (counts.get(name) ?? 0) + by;
      others ||= now === 0 || (now === 1 && by === 1);
      if (now === 0) counts.delete(name);
      else counts.set(name, now);
    }
  };
  for (const scoped of gone) count(scoped, -1);
  for (const scoped of come) count(scoped, 1);
  const names = others ? [...counts.keys()].sort(compareStrings) : (before?.names ?? []);
  return { inputs, services, counts, names };
}

function sameNaming(a: NamingInputs, b: NamingInputs): boolean {
  return seeSameAddresses(a.addressing, b.addressing) && a.bound === b.bound && a.explicit.join() === b.explicit.join();
}

/** A port needs routes for all its services as soon as one of them is reached on the wildcard address. */
function namesOf({ service }: ScopedService, { addressing, explicit, bound }: NamingInputs): string[] {
  const names: string[] = [];
  if (service.resolution === 'Alias') return names;
  for (const port of service.ports) {
    if (!carriesHttp(port) || explicit.includes(port.number)) continue;
    const sniffed = port.protocol === 'AUTO';
    const vip = sniffed && (bound || hasVip(service, addressing));
    // A headless service is listened for on each of its endpoints.
    if (sniffed && (vip || service.headless)) names.push(sniffedRouteName(service.hostname, port.number));
    const own = vip || (sniffed && service.headless && service.registry === 'Kubernetes');
    if (!own) names.push(portRouteName(port.number));
  }
  return names;
}
