import type { ServiceEntrySpec, ServicePort } from '../generated/types.ts';
import type { ConfigObject } from '../object.ts';
import { isCidr, isDnsLabel, isFqdn, isIpOrCidr } from './addresses.ts';
import {
  checkExportTo,
  checkPort,
  checkProtocol,
  checkSelectorLabels,
  checkWildcardHost,
  duplicates,
} from './common.ts';
import type { KindValidator, Report } from './report.ts';
import { checkEndpoint } from './workload.ts';

/** Hosts, addresses and ports, then what each resolution needs and excludes. */
export const validateServiceEntry: KindValidator<ServiceEntrySpec> = (object, report) => {
  const { spec } = object;
  if (spec.workloadSelector !== undefined)
    checkSelectorLabels(report, 'spec.workloadSelector.labels', spec.workloadSelector.labels);
  if (spec.workloadSelector !== undefined && (spec.endpoints ?? []).length > 0) {
    report.error('spec.endpoints', 'stands beside workloadSelector', 'one of them');
  }
  checkHosts(report, spec);
  checkAddresses(report, spec);
  checkPorts(report, object);
  checkResolution(report, spec);
  checkExportTo(report, 'spec.exportTo', spec.exportTo);
};

function checkHosts(report: Report, spec: ServiceEntrySpec): void {
  const hosts = spec.hosts ?? [];
  if (hosts.length === 0) report.error('spec.hosts', 'is missing', 'at least one host');
  for (const [index, host] of hosts.entries()) {
    const path = `spec.hosts[${index}]`;
    if (host === '*') report.error(path, '"*" stands for every host', 'a name, or a wildcard below a domain');
    else checkWildcardHost(report, path, host);
    if (/^\*[^.]/.test(host) && spec.resolution !== 'DYNAMIC_DNS') {
      report.warn(path, `${JSON.stringify(host)}: a wildcard for a part of a label`, '"*." as the beginning');
    }
  }
  const plain = (spec.ports ?? []).some((port) => !isHttp(port) && !isTls(port));
  if ((spec.resolution ?? 'NONE') !== 'NONE' && hosts.length > 1 && plain) {
    report.strict('spec.hosts', 'plain TCP can not tell several hosts apart', 'one host, or HTTP and TLS ports only');
  }
}

function isHttp(port: ServicePort): boolean {
  return ['http', 'http2', 'http_proxy', 'grpc', 'grpc-web'].includes((port.protocol ?? '').toLowerCase());
}

function isTls(port: ServicePort): boolean {
  return ['https', 'tls'].includes((port.protocol ?? '').toLowerCase());
}

function checkAddresses(report: Report, spec: ServiceEntrySpec): void {
  const resolution = spec.resolution ?? 'NONE';
  for (const [index, address] of (spec.addresses ?? []).entries()) {
    const path = `spec.addresses[${index}]`;
    if (!isIpOrCidr(address)) report.error(path, `${JSON.stringify(address)} is no address`, 'an IP address or CIDR');
    else if (isCidr(address) && resolution !== 'NONE' && resolution !== 'STATIC') {
      report.error(path, `a CIDR can not be combined with resolution ${resolution}`, 'resolution NONE or STATIC');
    }
  }
}

const AUTO_ALLOCATE_LABEL = 'networking.istio.io/enable-autoallocate-ip';

function checkPorts(report: Report, { spec, labels }: ConfigObject<ServiceEntrySpec>): void {
  const ports = spec.ports ?? [];
  for (const [index, port] of ports.entries()) {
    const path = `spec.ports[${index}]`;
    checkPort(report, `${path}.number`, port.number);
    if (!isDnsLabel(port.name ?? '')) {
      report.error(
        `${path}.name`,
        `${JSON.stringify(port.name ?? '')} is no port name`,
        'lower-case letters, digits and -',
      );
    }
    checkProtocol(report, `${path}.protocol`, port.protocol);
    if ((port.targetPort ?? 0) !== 0) checkPort(report, `${path}.targetPort`, port.targetPort);
    const allocated =
      (spec.resolution ?? 'NONE') !== 'NONE' && (labels[AUTO_ALLOCATE_LABEL] ?? '').toLowerCase() !== 'false';
    const tcp = (port.protocol ?? '') === '' || port.protocol === 'TCP';
    if (tcp && (spec.addresses ?? []).length === 0 && !allocated) {
      report.warn(path, 'a TCP port without addresses takes all traffic of that port', 'spec.addresses', 'IST0134');
    }
  }
  for (const [index, first] of duplicates(ports, (port) => port.number)) {
    report.error(
      `spec.ports[${index}].number`,
      `${ports[index]?.number ?? ''} is the number of port ${first} as well`,
      'each number once',
    );
  }
  for (const [index, first] of duplicates(ports, (port) => port.name)) {
    report.error(
      `spec.ports[${index}].name`,
      `${ports[index]?.name ?? ''} is the name of port ${first} as well`,
      'each name once',
    );
  }
}

function checkResolution(report: Report, spec: ServiceEntrySpec): void {
  switch (spec.resolution ?? 'NONE') {
    case 'NONE':
      if ((spec.endpoints ?? []).length > 0)
        report.error('spec.endpoints', 'resolution NONE keeps the original destination', 'no endpoints, or STATIC');
      if (spec.workloadSelector !== undefined)
        report.warn('spec.workloadSelector', 'has no effect with resolution NONE', 'resolution STATIC');
      return;
    case 'STATIC':
      return checkEndpoints(report, spec, false);
    case 'DNS':
    case 'DNS_ROUND_ROBIN':
      return checkDns(report, spec);
    case 'DYNAMIC_DNS':
      return checkDynamicDns(report, spec);
  }
}

function checkEndpoints(report: Report, spec: ServiceEntrySpec, hostnames: boolean): void {
  const servicePorts = new Set((spec.ports ?? []).map((port) => port.name ?? ''));
  for (const [index, endpoint] of (spec.endpoints ?? []).entries()) {
    checkEndpoint(report, `spec.endpoints[${index}]`, endpoint, { hostnames, servicePorts });
  }
}

function checkDns(report: Report, spec: ServiceEntrySpec): void {
  const endpoints = spec.endpoints ?? [];
  checkEndpoints(report, spec, true);
  for (const [index, endpoint] of endpoints.entries()) {
    if ((endpoint.address ?? '').startsWith('unix:'))
      report.error(`spec.endpoints[${index}].address`, 'a unix socket needs no DNS', 'resolution STATIC');
  }
  if (spec.resolution === 'DNS_ROUND_ROBIN' && endpoints.length > 1) {
    report.error('spec.endpoints', 'DNS_ROUND_ROBIN resolves one name', 'at most one endpoint');
  }
  if (endpoints.length > 0 || spec.workloadSelector !== undefined) return;
  for (const [index, host] of (spec.hosts ?? []).entries()) {
    if (!isFqdn(host))
      report.error(
        `spec.hosts[${index}]`,
        `${JSON.stringify(host)} can not be resolved`,
        'a DNS name without wildcard, or endpoints',
      );
  }
}

function checkDynamicDns(report: Report, spec: ServiceEntrySpec): void {
  for (const [index, host] of (spec.hosts ?? []).entries()) {
    if (!host.startsWith('*'))
      report.error(`spec.hosts[${index}]`, 'DYNAMIC_DNS is for wildcard hosts', 'a host that begins with "*"');
  }
  for (const field of ['addresses', 'endpoints'] as const) {
    if ((spec[field] ?? []).length > 0)
      report.error(`spec.${field}`, 'DYNAMIC_DNS resolves the name that the client asks for', `no ${field}`);
  }
  for (const [index, port] of (spec.ports ?? []).entries()) {
    const protocol = (port.protocol ?? '').toLowerCase();
    if (!['http', 'http2', 'grpc', 'tls'].includes(protocol)) {
      report.error(
        `spec.ports[${index}].protocol`,
        `DYNAMIC_DNS needs a host name in the traffic, which ${port.protocol ?? 'this protocol'} has not`,
        'HTTP, HTTP2, GRPC or TLS',
      );
    }
  }
}
