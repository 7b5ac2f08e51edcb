// What istioctl reads out of names and metadata of Envoy resources.

import { compareNumbers, compareStrings, orderBy } from '../../lib/order.ts';
import { at, type Json, textAt } from './json.ts';

export interface ClusterName {
  readonly direction: string;
  readonly port: number;
  readonly subset: string;
  readonly host: string;
}

/** The parts of `DIRECTION|PORT|SUBSET|HOST`; undefined for clusters that are of no service. */
export function parseClusterName(name: string): ClusterName | undefined {
  const [direction, port, subset, host] = name.split('|');
  if (direction === undefined || port === undefined || subset === undefined || host === undefined) return undefined;
  return { direction, port: Number(port), subset, host };
}

/** By host, subset, port and direction. */
export const byClusterName: (a: string, b: string) => number = (a, b) =>
  byParts(parseClusterName(a) ?? nameless(a), parseClusterName(b) ?? nameless(b));

function nameless(host: string): ClusterName {
  return { direction: '', port: 0, subset: '', host };
}

const byParts = orderBy<ClusterName>(
  (a, b) => compareStrings(a.host, b.host),
  (a, b) => compareStrings(a.subset, b.subset),
  (a, b) => compareNumbers(a.port, b.port),
  (a, b) => compareStrings(a.direction, b.direction),
);

/** `NAME.NAMESPACE` of the object that the metadata says a resource was made from. */
export function managedBy(resource: Json): string {
  const config = textAt(at(resource, 'metadata', 'filterMetadata', 'istio'), 'config');
  if (config === '') return '';
  if (!config.startsWith('/apis/networking.istio.io/')) return '<unknown>';
  const [, , , , , namespace, , name, more] = config.split('/');
  return name === undefined || more !== undefined ? '' : `${name}.${namespace}`;
}
