// WorkloadEntry, WorkloadGroup and the endpoints of a ServiceEntry.

import type { ReadinessProbe, WorkloadEntrySpec, WorkloadGroupSpec } from '../generated/types.ts';
import { isDnsLabel, isFqdn, isHttpToken, isIp } from './addresses.ts';
import { checkNotNegative, checkPort, isUnixAddress, member } from './common.ts';
import { checkLabels } from './labels.ts';
import type { KindValidator, Report } from './report.ts';

export const validateWorkloadEntry: KindValidator<WorkloadEntrySpec> = ({ spec }, report) => {
  checkEndpoint(report, 'spec', spec, { hostnames: true });
};

export const validateWorkloadGroup: KindValidator<WorkloadGroupSpec> = ({ spec }, report) => {
  if (spec.template === undefined) report.error('spec.template', 'is missing', 'a WorkloadEntry without address');
  for (const [name, port] of Object.entries(spec.template?.ports ?? {})) {
    checkPort(report, member('spec.template.ports', name), port);
  }
  checkLabels(report, 'spec.metadata.labels', spec.metadata?.labels);
  checkLabels(report, 'spec.template.labels', spec.template?.labels);
  if (spec.probe !== undefined) checkProbe(report, 'spec.probe', spec.probe);
};

export interface EndpointRules {
  /** STATIC resolution takes addresses only. */
  readonly hostnames: boolean;
  /** The names of the service's ports, where there is a service. */
  readonly servicePorts?: ReadonlySet<string>;
}

export function checkEndpoint(report: Report, path: string, endpoint: WorkloadEntrySpec, rules: EndpointRules): void {
  checkAddress(report, path, endpoint, rules);
  for (const [name, port] of Object.entries(endpoint.ports ?? {})) {
    const at = member(`${path}.ports`, name);
    if (rules.servicePorts !== undefined && !rules.servicePorts.has(name)) {
      report.error(
        at,
        `${JSON.stringify(name)} is no port of the service`,
        `one of ${[...rules.servicePorts].join(', ')}`,
      );
    } else if (!isDnsLabel(name))
      report.error(at, `${JSON.stringify(name)} is no port name`, 'lower-case letters, digits and -');
    checkPort(report, at, port);
  }
  checkLabels(report, `${path}.labels`, endpoint.labels);
  checkNotNegative(report, `${path}.weight`, endpoint.weight);
}

function checkAddress(report: Report, path: string, endpoint: WorkloadEntrySpec, rules: EndpointRules): void {
  const address = endpoint.address ?? '';
  const at = `${path}.address`;
  if (address === '') {
    // With a network the workload is reached through that network's gateway.
    if ((endpoint.network ?? '') === '') report.error(at, 'is missing', 'an address');
    else report.warn(at, `is missing: only the gateway of network ${endpoint.network ?? ''} is used`, 'an address');
  } else if (address.startsWith('unix:')) {
    if (!isUnixAddress(address)) report.error(at, `${JSON.stringify(address)} is no socket`, 'unix:///path');
    if (Object.keys(endpoint.ports ?? {}).length > 0)
      report.error(`${path}.ports`, 'a unix socket has no ports', 'no ports');
    if (rules.servicePorts !== undefined && rules.servicePorts.size !== 1) {
      report.error(at, 'a unix socket serves one port', 'a service with exactly one port');
    }
  } else if (!isIp(address) && !rules.hostnames) {
    report.error(
      at,
      `${JSON.stringify(address)} is no IP address`,
      'an IP address or unix:///path (names need resolution DNS)',
    );
  } else if (!isIp(address) && !isFqdn(address)) {
    report.error(at, `${JSON.stringify(address)} is no address`, 'an IP address or a DNS name');
  }
}

const PROBE_METHODS = ['httpGet', 'tcpSocket', 'exec', 'grpc'] as const;

function checkProbe(report: Report, path: string, probe: ReadinessProbe): void {
  const methods = PROBE_METHODS.filter((method) => probe[method] !== undefined);
  if (methods.length !== 1) {
    report.error(
      path,
      methods.length === 0 ? 'has no method' : `has ${methods.join(' and ')}`,
      `exactly one of ${PROBE_METHODS.join(', ')}`,
    );
  }
  for (const field of [
    'periodSeconds',
    'initialDelaySeconds',
    'timeoutSeconds',
    'successThreshold',
    'failureThreshold',
  ] as const) {
    checkNotNegative(report, `${path}.${field}`, probe[field]);
  }
  if (probe.httpGet !== undefined) {
    checkPort(report, `${path}.httpGet.port`, probe.httpGet.port);
    const scheme = probe.httpGet.scheme ?? '';
    if (scheme !== '' && scheme !== 'HTTP' && scheme !== 'HTTPS')
      report.error(`${path}.httpGet.scheme`, `${JSON.stringify(scheme)} is not supported`, 'HTTP or HTTPS');
    for (const [index, header] of (probe.httpGet.httpHeaders ?? []).entries()) {
      if (!isHttpToken(header.name ?? ''))
        report.error(`${path}.httpGet.httpHeaders[${index}].name`, 'is no header name', 'a header name');
    }
  }
  if (probe.tcpSocket !== undefined) checkPort(report, `${path}.tcpSocket.port`, probe.tcpSocket.port);
  if (probe.grpc !== undefined) checkPort(report, `${path}.grpc.port`, probe.grpc.port);
  if (probe.exec !== undefined && (probe.exec.command ?? []).length === 0)
    report.error(`${path}.exec.command`, 'is missing', 'a command');
}
