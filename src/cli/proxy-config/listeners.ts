// `proxy-config listener`.

import { compareNumbers, compareStrings, orderBy } from '../../lib/order.ts';
import { addressText } from './addresses.ts';
import { type Dump, resourcesOf } from './dump.ts';
import { filterChains, destinationText, HTTP_FILTER, isBlackHole, matchOf, TCP_FILTER } from './filter-chains.ts';
import { at, type Json, listAt, textAt } from './json.ts';

export interface ListenerFilter {
  readonly address: string;
  readonly port: number;
  readonly type: string;
}

/** The listeners of a dump that fit, by port, address and type. */
export function listeners(dump: Dump, filter: ListenerFilter): readonly Json[] {
  return resourcesOf(dump, 'ListenersConfigDump', [
    ['dynamicListeners', 'activeState', 'listener'],
    ['staticListeners', 'listener'],
  ])
    .filter((listener) => fits(listener, filter))
    .sort(byPort);
}

function fits(listener: Json, { address, port, type }: ListenerFilter): boolean {
  return (
    (address === '' || addressesOf(listener).some((one) => one.toLowerCase() === address.toLowerCase())) &&
    (port === 0 || portOf(listener) === port) &&
    (type === '' || listenerType(listener).toLowerCase() === type.toLowerCase())
  );
}

const byPort = orderBy<Json>(
  (a, b) => compareNumbers(portOf(a), portOf(b)),
  (a, b) => compareStrings(addressesOf(a)[0] ?? '', addressesOf(b)[0] ?? ''),
  (a, b) => compareStrings(listenerType(a), listenerType(b)),
);

function portOf(listener: Json): number {
  return addressText(listener['address'])?.port ?? 0;
}

/** The address first, then the additional ones. */
function addressesOf(listener: Json): readonly string[] {
  const more = listAt(listener, 'additionalAddresses').map((one) => textAt(one, 'address', 'socketAddress', 'address'));
  return [addressText(listener['address'])?.host ?? '', ...more];
}

/** HTTP, TCP, HTTP+TCP or UNKNOWN, by the filters of its chains. */
export function listenerType(listener: Json): string {
  const filters = filterChains(listener).flatMap((chain) => listAt(chain, 'filters'));
  const http = filters.some((filter) => textAt(filter, 'name') === HTTP_FILTER);
  const tcp = filters.some((filter) => textAt(filter, 'name') === TCP_FILTER && !isBlackHole(filter));
  if (http) return tcp ? 'HTTP+TCP' : 'HTTP';
  return tcp ? 'TCP' : 'UNKNOWN';
}

/** One row for each filter chain; without `verbose`, one for each listener. */
export function listenerTable(
  found: readonly Json[],
  how: { readonly prefix: boolean; readonly verbose: boolean },
): readonly (readonly string[])[] {
  const header = ['ADDRESSES', 'PORT', ...(how.verbose ? ['MATCH', 'DESTINATION'] : ['TYPE'])];
  const rows = found.flatMap((listener) => {
    const about = [addressesOf(listener).join(','), `${portOf(listener)}`];
    const named = how.prefix ? [`listener/${textAt(listener, 'name')}`, ...about] : about;
    return how.verbose
      ? chainRows(listener).map((cells) => [...named, ...cells])
      : [[...named, listenerType(listener)]];
  });
  return [how.prefix ? ['NAME', ...header] : header, ...rows];
}

/** Match and destination of every chain; those to routes come before those to clusters. */
function chainRows(listener: Json): readonly (readonly string[])[] {
  return filterChains(listener)
    .map((chain) => [matchOf(at(chain, 'filterChainMatch')), destinationText(chain)] as const)
    .sort(([, a], [, b]) => compareStrings(b, a));
}
