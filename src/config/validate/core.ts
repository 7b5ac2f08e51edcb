// Kubernetes' own kinds. The API server has validated them; files have been validated by nobody.

import type { EndpointSliceBody, PodSpec, PodStatus, ServiceSpec } from '../core.ts';
import type { ConfigObject } from '../object.ts';
import { isFqdn, isIp, isIpv4, isIpv6 } from './addresses.ts';
import { duplicates } from './common.ts';
import type { KindValidator, Report } from './report.ts';

const PROTOCOLS = ['TCP', 'UDP', 'SCTP'];

export const validateService: KindValidator<ServiceSpec> = ({ spec }, report) => {
  for (const [index, ip] of spec.clusterIPs.entries()) {
    if (ip !== 'None' && !isIp(ip))
      report.error(`spec.clusterIPs[${index}]`, `${JSON.stringify(ip)} is no address`, 'an IP address or None');
  }
  for (const [index, ip] of spec.externalIPs.entries()) {
    if (!isIp(ip)) report.error(`spec.externalIPs[${index}]`, `${JSON.stringify(ip)} is no address`, 'an IP address');
  }
  if (spec.type === 'ExternalName') {
    if (!isFqdn(spec.externalName ?? ''))
      report.error('spec.externalName', `${JSON.stringify(spec.externalName ?? '')} is no host name`, 'a DNS name');
  } else if (spec.ports.length === 0 && !spec.clusterIPs.includes('None'))
    report.error('spec.ports', 'is missing', 'at least one port');
  checkServicePorts(report, spec);
};

function checkServicePorts(report: Report, spec: ServiceSpec): void {
  for (const [index, port] of spec.ports.entries()) {
    const path = `spec.ports[${index}]`;
    if (!PROTOCOLS.includes(port.protocol))
      report.error(`${path}.protocol`, `${JSON.stringify(port.protocol)} is no protocol`, PROTOCOLS.join(', '));
    if (port.name === '' && spec.ports.length > 1)
      report.error(`${path}.name`, 'is missing', 'a name for each of several ports');
    if (typeof port.targetPort === 'number' && (port.targetPort < 1 || port.targetPort > 65535)) {
      report.error(`${path}.targetPort`, `${port.targetPort} is no port`, '1 to 65535');
    }
  }
  for (const [index, first] of duplicates(spec.ports, (port) => (port.name === '' ? undefined : port.name))) {
    report.error(
      `spec.ports[${index}].name`,
      `${spec.ports[index]?.name ?? ''} is the name of port ${first} as well`,
      'each name once',
    );
  }
  for (const [index, first] of duplicates(spec.ports, (port) => `${port.protocol}/${port.port}`)) {
    report.error(
      `spec.ports[${index}].port`,
      `${spec.ports[index]?.port ?? ''} is the number of port ${first} as well`,
      'each number once for a protocol',
    );
  }
}

const ADDRESS_CHECKS: Readonly<Record<string, (text: string) => boolean>> = {
  IPv4: isIpv4,
  IPv6: isIpv6,
  FQDN: isFqdn,
};

export const validateEndpointSlice: KindValidator<EndpointSliceBody> = ({ spec }, report) => {
  const check = ADDRESS_CHECKS[spec.addressType];
  if (check === undefined)
    return report.error(
      'addressType',
      `${JSON.stringify(spec.addressType)} is not known`,
      Object.keys(ADDRESS_CHECKS).join(', '),
    );
  for (const [index, endpoint] of spec.endpoints.entries()) {
    if (endpoint.addresses.length === 0)
      report.error(`endpoints[${index}].addresses`, 'is empty', 'at least one address');
    for (const [at, address] of endpoint.addresses.entries()) {
      if (!check(address))
        report.error(
          `endpoints[${index}].addresses[${at}]`,
          `${JSON.stringify(address)} is no ${spec.addressType} address`,
          `an address of type ${spec.addressType}`,
        );
    }
  }
  for (const [index, port] of spec.ports.entries()) {
    if (!PROTOCOLS.includes(port.protocol))
      report.error(`ports[${index}].protocol`, `${JSON.stringify(port.protocol)} is no protocol`, PROTOCOLS.join(', '));
  }
  if (spec.serviceName === '')
    report.info('metadata.labels', 'names no service: the slice is not used', 'kubernetes.io/service-name');
};

export const validatePod = ({ status }: ConfigObject<PodSpec, PodStatus>, report: Report): void => {
  for (const [index, ip] of (status?.podIPs ?? []).entries()) {
    if (!isIp(ip)) report.error(`status.podIPs[${index}].ip`, `${JSON.stringify(ip)} is no address`, 'an IP address');
  }
};
