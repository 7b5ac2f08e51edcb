// `proxy-config endpoint` and `eds`.

import { compareNumbers, compareStrings, orderBy } from '../../lib/order.ts';
import { addressText } from './addresses.ts';
import { type Dump, resourcesOf } from './dump.ts';
import { at, type Json, listAt, numberAt, textAt } from './json.ts';
import { byClusterName } from './names.ts';

export interface EndpointFilter {
  readonly address: string;
  readonly port: number;
  readonly cluster: string;
  readonly status: string;
}

const PATHS = [
  ['dynamicEndpointConfigs', 'endpointConfig'],
  ['staticEndpointConfigs', 'endpointConfig'],
] as const;

/** envoy.config.endpoint.v3.ClusterLoadAssignment of each cluster with the endpoints that fit; none without any. */
export function assignments(dump: Dump, filter: EndpointFilter): readonly Json[] {
  return resourcesOf(dump, 'EndpointsConfigDump', PATHS)
    .map((assignment) => narrowed(assignment, filter))
    .filter((assignment) => listAt(assignment, 'endpoints').some((group) => listAt(group, 'lbEndpoints').length > 0))
    .sort((a, b) => byClusterName(textAt(a, 'clusterName'), textAt(b, 'clusterName')));
}

function narrowed(assignment: Json, filter: EndpointFilter): Json {
  const cluster = textAt(assignment, 'clusterName');
  const endpoints = listAt(assignment, 'endpoints').map((group) => ({
    ...group,
    lbEndpoints: listAt(group, 'lbEndpoints').filter((endpoint) => fits(endpoint, cluster, filter)),
  }));
  return { ...assignment, endpoints };
}

function fits(endpoint: Json, cluster: string, filter: EndpointFilter): boolean {
  const port = numberAt(endpoint, 'endpoint', 'address', 'socketAddress', 'portValue');
  const named = [...addressesOf(endpoint), addressText(at(endpoint, 'endpoint', 'address'))?.host ?? ''];
  return (
    (filter.address === '' || named.some((address) => same(address, filter.address))) &&
    (filter.port === 0 || filter.port === port) &&
    (filter.cluster === '' || same(filter.cluster, cluster)) &&
    (filter.status === '' || same(filter.status, healthOf(endpoint)))
  );
}

function same(a: string, b: string): boolean {
  return a.toLowerCase() === b.toLowerCase();
}

function healthOf(endpoint: Json): string {
  return textAt(endpoint, 'healthStatus') || 'UNKNOWN';
}

/** All addresses of an endpoint, `ADDRESS:PORT`. */
function addressesOf(endpoint: Json): readonly string[] {
  const more = listAt(endpoint, 'endpoint', 'additionalAddresses').map((additional) => at(additional, 'address'));
  return [at(endpoint, 'endpoint', 'address'), ...more].map((address) => {
    const text = addressText(address);
    if (text === undefined) return 'unknown';
    return at(address, 'socketAddress') === undefined ? text.host : `${text.host}:${text.port}`;
  });
}

/** As the control plane sends them: `eds`. */
export function assignmentTable(found: readonly Json[], prefix: boolean): readonly (readonly string[])[] {
  const rows = found.flatMap((assignment) =>
    listAt(assignment, 'endpoints').flatMap((group) =>
      listAt(group, 'lbEndpoints').map((endpoint) => {
        const addresses = addressesOf(endpoint).join(',');
        const name = prefix ? `endpoint/${addresses}` : addresses;
        return [name, healthOf(endpoint), localityText(at(group, 'locality')), textAt(assignment, 'clusterName')];
      }),
    ),
  );
  return [['NAME', 'STATUS', 'LOCALITY', 'CLUSTER'], ...rows];
}

function localityText(locality: unknown): string {
  const parts = [textAt(locality, 'region'), textAt(locality, 'zone'), textAt(locality, 'subZone')];
  const end = parts.findIndex((part, i) => i > 0 && part === '');
  return (end < 0 ? parts : parts.slice(0, end)).join('/');
}

interface HostRow {
  readonly host: string;
  readonly port: number;
  readonly status: string;
  readonly outlier: string;
  readonly cluster: string;
}

const byAddress = orderBy<HostRow>(
  (a, b) => compareStrings(a.host, b.host),
  (a, b) => compareNumbers(a.port, b.port),
  (a, b) => compareStrings(a.cluster, b.cluster),
);

/**
 * As a proxy uses them: `endpoint`. Whether outlier detection has ejected one, only Envoy's own `/clusters` page knows;
 * in dumps that cell is `-`.
 */
export function endpointTable(dump: Dump, filter: EndpointFilter): readonly (readonly string[])[] {
  const rows = dump.clusterStatuses === undefined ? rowsOfDump(dump, filter) : rowsOfPage(dump.clusterStatuses, filter);
  return [
    ['ENDPOINT', 'STATUS', 'OUTLIER CHECK', 'CLUSTER'],
    ...[...rows]
      .sort(byAddress)
      .map(({ host, port, status, outlier, cluster }) => [
        port === 0 ? host : `${host}:${port}`,
        status,
        outlier,
        cluster,
      ]),
  ];
}

function rowsOfDump(dump: Dump, filter: EndpointFilter): readonly HostRow[] {
  return assignments(dump, filter).flatMap((assignment) =>
    listAt(assignment, 'endpoints').flatMap((group) =>
      listAt(group, 'lbEndpoints').map((endpoint) =>
        hostRow(at(endpoint, 'endpoint', 'address'), healthOf(endpoint), '-', textAt(assignment, 'clusterName')),
      ),
    ),
  );
}

/** envoy.admin.v3.ClusterStatus of the clusters with hosts that fit. */
export function fittingStatuses(statuses: readonly Json[], filter: EndpointFilter): readonly Json[] {
  return statuses.filter((cluster) => rowsOfPage([cluster], filter).length > 0);
}

function rowsOfPage(statuses: readonly Json[], filter: EndpointFilter): readonly HostRow[] {
  return statuses.flatMap((cluster) =>
    listAt(cluster, 'hostStatuses')
      .map((host) => {
        const failed = at(host, 'healthStatus', 'failedOutlierCheck') === true;
        const status = textAt(host, 'healthStatus', 'edsHealthStatus') || 'UNKNOWN';
        return hostRow(at(host, 'address'), status, failed ? 'FAILED' : 'OK', textAt(cluster, 'name'));
      })
      .filter(
        (row) =>
          (filter.address === '' || same(row.host, filter.address)) &&
          (filter.port === 0 || row.port === filter.port) &&
          (filter.cluster === '' || same(row.cluster, filter.cluster)) &&
          (filter.status === '' || same(row.status, filter.status)),
      ),
  );
}

function hostRow(address: unknown, status: string, outlier: string, cluster: string): HostRow {
  const { host, port } = addressText(address) ?? { host: 'unknown', port: 0 };
  const shown = at(address, 'pipe') === undefined ? host : `unix://${host}`;
  return { host: shown, port, status, outlier, cluster };
}
