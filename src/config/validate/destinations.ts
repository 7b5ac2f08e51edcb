// Destinations of routes and the gateways that routes name: shared by HTTP, TLS and TCP routes.

import type { Destination } from '../generated/types.ts';
import { isDnsLabel, isFqdn, isWildcardFqdn } from './addresses.ts';
import { checkPort } from './common.ts';
import type { Report } from './report.ts';

interface Weighted {
  readonly destination?: Destination | undefined;
  readonly weight?: number | undefined;
}

/** Weights of several destinations must add up to something. */
export function checkDestinations(report: Report, path: string, routes: readonly Weighted[]): void {
  let total = 0;
  for (const [index, route] of routes.entries()) {
    const weight = route.weight ?? 0;
    if (weight < 0) report.error(`${path}[${index}].weight`, `${weight} is negative`, '0 or more');
    total += weight;
    checkDestination(report, `${path}[${index}].destination`, route.destination ?? {});
  }
  if (routes.length > 1 && total === 0) report.error(path, 'the weights add up to 0', 'a sum above 0');
  if (total > 4_294_967_295) report.error(path, `the weights add up to ${total}`, 'at most 4294967295');
}

export function checkDestination(report: Report, path: string, destination: Destination): void {
  const host = destination.host ?? '';
  if (host === '') report.error(`${path}.host`, 'is missing', 'a host');
  else if (host === '*' || !isWildcardFqdn(host)) {
    report.error(`${path}.host`, `${JSON.stringify(host)} is no host name`, 'a DNS name');
  }
  if (destination.subset !== undefined && destination.subset !== '' && !isDnsLabel(destination.subset)) {
    report.error(
      `${path}.subset`,
      `${JSON.stringify(destination.subset)} is no subset name`,
      'lower-case letters, digits and -',
    );
  }
  if (destination.port !== undefined) checkPort(report, `${path}.port.number`, destination.port.number);
}

/** `mesh`, NAME, NAMESPACE/NAME or, long deprecated, an FQDN. */
export function checkGatewayNames(report: Report, path: string, gateways: readonly string[] | undefined): void {
  for (const [index, name] of (gateways ?? []).entries()) {
    const at = `${path}[${index}]`;
    const slash = name.indexOf('/');
    if (slash < 0) {
      if (!isFqdn(name)) report.error(at, `${JSON.stringify(name)} is no gateway`, 'NAME or NAMESPACE/NAME');
      else if (name.includes('.'))
        report.warn(at, `${JSON.stringify(name)} is the legacy form`, 'NAMESPACE/NAME', 'IST0002');
    } else if (!isDnsLabel(name.slice(0, slash)) || !isDnsLabel(name.slice(slash + 1))) {
      report.error(at, `${JSON.stringify(name)} is no gateway`, 'NAME or NAMESPACE/NAME');
    }
  }
}
