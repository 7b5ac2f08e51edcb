// VirtualService: hosts and gateways, and the TLS and TCP routes. HTTP routes are in http-route.ts.

import { hostSubsetOf, hostsOverlap } from '../../lib/hosts.ts';
import type {
  L4MatchAttributes,
  TCPRoute,
  TLSMatchAttributes,
  TLSRoute,
  VirtualServiceSpec,
} from '../generated/types.ts';
import { isDnsLabel, isIp, isIpOrCidr, isWildcardFqdn } from './addresses.ts';
import { checkExportTo, checkPort, checkSelectorLabels, member } from './common.ts';
import { checkDestinations, checkGatewayNames } from './destinations.ts';
import { checkHttpRoute, isClaimHeader } from './http-route.ts';
import { checkLabels } from './labels.ts';
import type { KindValidator, Report } from './report.ts';
import { checkReachable } from './unreachable.ts';

const MESH = 'mesh';

export const validateVirtualService: KindValidator<VirtualServiceSpec> = ({ spec }, report) => {
  const delegate = (spec.hosts ?? []).length === 0;
  if (delegate) checkDelegate(report, spec);
  checkGatewayNames(report, 'spec.gateways', spec.gateways);
  checkHosts(report, spec);
  checkClaimMatches(report, spec);
  if ((spec.http ?? []).length + (spec.tls ?? []).length + (spec.tcp ?? []).length === 0) {
    report.error('spec', 'has no routes', 'http, tls or tcp');
  }
  for (const [index, route] of (spec.http ?? []).entries())
    checkHttpRoute(report, `spec.http[${index}]`, route, delegate);
  for (const [index, route] of (spec.tls ?? []).entries())
    checkTlsRoute(report, `spec.tls[${index}]`, route, spec.hosts ?? []);
  for (const [index, route] of (spec.tcp ?? []).entries()) checkTcpRoute(report, `spec.tcp[${index}]`, route);
  checkExportTo(report, 'spec.exportTo', spec.exportTo);
  checkReachable(report, spec);
};

/** Without hosts a VirtualService only lends its HTTP routes to others. */
function checkDelegate(report: Report, spec: VirtualServiceSpec): void {
  if ((spec.gateways ?? []).length > 0)
    report.strict('spec.gateways', 'a delegate has no gateways of its own', 'hosts, or no gateways');
  for (const field of ['tls', 'tcp'] as const) {
    if ((spec[field] ?? []).length > 0)
      report.strict(`spec.${field}`, 'a delegate has HTTP routes only', 'hosts, or no such routes');
  }
}

function boundToMesh(spec: VirtualServiceSpec): boolean {
  return (spec.gateways ?? []).length === 0 || (spec.gateways ?? []).includes(MESH);
}

function onlyMesh(spec: VirtualServiceSpec): boolean {
  return (spec.gateways ?? []).every((gateway) => gateway === MESH);
}

function checkHosts(report: Report, spec: VirtualServiceSpec): void {
  const hosts = spec.hosts ?? [];
  let valid = true;
  for (const [index, host] of hosts.entries()) {
    const path = `spec.hosts[${index}]`;
    if (host === '*' && boundToMesh(spec) && onlyMesh(spec)) {
      valid = false;
      report.error(path, '"*" is not allowed for the mesh gateway', 'the names of services');
    } else if (!isWildcardFqdn(host) && !isIp(host)) {
      valid = false;
      report.error(
        path,
        `${JSON.stringify(host)} is no host name`,
        'a DNS name, "*" at most as its beginning, or an IP address',
      );
    }
  }
  if (!valid) return;
  for (const [index, host] of hosts.entries()) {
    const earlier = hosts.findIndex((other, at) => at < index && hostsOverlap(other, host));
    if (earlier >= 0)
      report.strict(`spec.hosts[${index}]`, `${host} overlaps with ${hosts[earlier]}`, 'hosts that do not overlap');
  }
}

/** Tokens are verified at gateways before routing; in sidecars only after it. */
function checkClaimMatches(report: Report, spec: VirtualServiceSpec): void {
  if (!onlyMesh(spec) || (spec.hosts ?? []).length === 0) return;
  for (const [index, route] of (spec.http ?? []).entries()) {
    for (const [at, match] of (route.match ?? []).entries()) {
      for (const field of ['headers', 'withoutHeaders'] as const) {
        for (const name of Object.keys(match[field] ?? {}).filter(isClaimHeader)) {
          const path = member(`spec.http[${index}].match[${at}].${field}`, name);
          report.strict(path, 'routing by claims works at gateways only', 'a gateway in spec.gateways');
        }
      }
    }
  }
}

function checkTlsRoute(report: Report, path: string, route: TLSRoute, hosts: readonly string[]): void {
  if ((route.match ?? []).length === 0) report.error(`${path}.match`, 'is missing', 'at least one match');
  for (const [index, match] of (route.match ?? []).entries())
    checkTlsMatch(report, `${path}.match[${index}]`, match, hosts);
  checkL4Destinations(report, path, route.route ?? []);
}

function checkTlsMatch(report: Report, path: string, match: TLSMatchAttributes, hosts: readonly string[]): void {
  if ((match.sniHosts ?? []).length === 0) report.error(`${path}.sniHosts`, 'is missing', 'at least one SNI host');
  for (const [index, sni] of (match.sniHosts ?? []).entries()) {
    const at = `${path}.sniHosts[${index}]`;
    if (isIp(sni))
      report.warn(at, `${sni} is an IP address, which clients do not send as SNI (RFC 6066)`, 'a DNS name');
    else if (!isWildcardFqdn(sni))
      report.error(at, `${JSON.stringify(sni)} is no host name`, 'a DNS name, "*" at most as its beginning');
    else if (!hosts.some((host) => hostSubsetOf(sni, host))) {
      report.strict(at, `${sni} is outside the hosts of the VirtualService`, `a name covered by ${hosts.join(', ')}`);
    }
  }
  checkL4Match(report, path, match);
}

function checkTcpRoute(report: Report, path: string, route: TCPRoute): void {
  for (const [index, match] of (route.match ?? []).entries()) checkL4Match(report, `${path}.match[${index}]`, match);
  checkL4Destinations(report, path, route.route ?? []);
}

function checkL4Destinations(report: Report, path: string, routes: NonNullable<TCPRoute['route']>): void {
  if (routes.length === 0) report.error(`${path}.route`, 'is missing', 'at least one destination');
  checkDestinations(report, `${path}.route`, routes);
}

function checkL4Match(report: Report, path: string, match: TLSMatchAttributes & L4MatchAttributes): void {
  for (const [index, subnet] of (match.destinationSubnets ?? []).entries()) {
    if (!isIpOrCidr(subnet))
      report.error(
        `${path}.destinationSubnets[${index}]`,
        `${JSON.stringify(subnet)} is no subnet`,
        'an IP address or CIDR',
      );
  }
  if (match.port !== undefined && match.port !== 0) checkPort(report, `${path}.port`, match.port);
  if (match.sourceLabels !== undefined && Object.keys(match.sourceLabels).length > 0) {
    checkSelectorLabels(report, `${path}.sourceLabels`, match.sourceLabels);
    checkLabels(report, `${path}.sourceLabels`, match.sourceLabels);
  }
  if (match.sourceNamespace !== undefined && match.sourceNamespace !== '' && !isDnsLabel(match.sourceNamespace)) {
    report.error(`${path}.sourceNamespace`, `${JSON.stringify(match.sourceNamespace)} is no namespace`, 'a namespace');
  }
  checkGatewayNames(report, `${path}.gateways`, match.gateways);
}
