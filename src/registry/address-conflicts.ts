// Addresses that several hosts claim. HTTP hosts can share an address and port, for requests name their host; of others
// only one can be reached.

import type { Finding } from '../config/object.ts';
import { isHttp, NO_ADDRESS, type Service } from '../ir/service.ts';
import { compareNumbers, compareStrings, orderBy } from '../lib/order.ts';
import { emptyTable, type Table, tableDiff, tableGet, tableWith } from '../lib/table.ts';
import { keepFindings, newFindings } from './findings.ts';
import { type Change, regroup } from './groups.ts';

export interface AddressState {
  readonly byAddress: Table<readonly Service[]>;
  readonly findings: Table<readonly Finding[]>;
}

export const NO_CONFLICTS: AddressState = { byAddress: emptyTable(), findings: emptyTable() };

const compareServices = orderBy<Service>(
  (a, b) => compareNumbers(a.created, b.created),
  (a, b) => compareStrings(a.hostname, b.hostname),
  (a, b) => compareStrings(a.namespace, b.namespace),
);

/** Looks at the addresses of services that differ between two tables. */
export function updateConflicts(
  state: AddressState,
  before: Table<readonly Service[]>,
  after: Table<readonly Service[]>,
): AddressState {
  const changes: Change<Service>[] = [];
  for (const [host, old, next] of before === after ? [] : tableDiff(before, after)) {
    for (const service of old ?? []) if (!next?.includes(service)) changes.push([host, service, undefined]);
    for (const service of next ?? []) if (!old?.includes(service)) changes.push([host, undefined, service]);
  }
  const { index, touched } = regroup(state.byAddress, changes, addressesOf, compareServices);
  if (index === state.byAddress) return state;
  const found = touched.map((address): [string, readonly Finding[] | undefined] => [
    address,
    keepFindings(tableGet(state.findings, address), conflicts(address, tableGet(index, address) ?? [])),
  ]);
  return { byAddress: index, findings: tableWith(state.findings, found) };
}

function addressesOf(service: Service): readonly string[] {
  return service.defaultAddress === NO_ADDRESS ? [] : [service.defaultAddress];
}

function conflicts(address: string, services: readonly Service[]): readonly Finding[] {
  if (services.length < 2) return [];
  const findings = newFindings();
  const owners = new Map<number, Service>();
  for (const service of services) {
    for (const port of service.ports) {
      const owner = owners.get(port.number);
      if (owner === undefined) owners.set(port.number, service);
      else if (owner.hostname !== service.hostname && !bothHttp(owner, service, port.number)) {
        const [ref] = service.refs;
        if (ref === undefined) continue;
        const message = `${address}:${port.number} of host ${service.hostname} is that of ${owner.hostname} already`;
        findings.add('MEL0106', ref, undefined, message);
      }
    }
  }
  return findings.list;
}

function bothHttp(a: Service, b: Service, number: number): boolean {
  return [a, b].every((service) => service.ports.some((port) => port.number === number && isHttp(port.protocol)));
}
