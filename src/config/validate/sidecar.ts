import type { IstioEgressListener, IstioIngressListener, SidecarPort, SidecarSpec } from '../generated/types.ts';
import { isDnsLabel, isFqdn, isIp, isWildcardFqdn } from './addresses.ts';
import { checkPort, checkProtocol, checkSelectorLabels, duplicates, isUnixAddress } from './common.ts';
import { checkDestination } from './destinations.ts';
import type { KindValidator, Report } from './report.ts';
import { checkServerTls } from './tls-settings.ts';
import { checkConnectionPool } from './traffic-policy.ts';

/** Listeners of both directions and the outbound policy. */
export const validateSidecar: KindValidator<SidecarSpec> = ({ spec }, report) => {
  if (spec.workloadSelector !== undefined)
    checkSelectorLabels(report, 'spec.workloadSelector.labels', spec.workloadSelector.labels);
  const ingress = spec.ingress ?? [];
  const egress = spec.egress ?? [];
  if (
    ingress.length === 0 &&
    egress.length === 0 &&
    spec.outboundTrafficPolicy === undefined &&
    spec.inboundConnectionPool === undefined
  ) {
    report.error('spec', 'is empty', 'ingress, egress, outboundTrafficPolicy or inboundConnectionPool');
  }
  for (const [index, listener] of ingress.entries()) checkIngress(report, `spec.ingress[${index}]`, listener);
  for (const [index, first] of duplicates(ingress, (listener) => listener.port?.number)) {
    report.error(`spec.ingress[${index}].port.number`, `is the port of listener ${first} as well`, 'each port once');
  }
  checkConnectionPool(report, 'spec.inboundConnectionPool', spec.inboundConnectionPool);
  for (const [index, listener] of egress.entries()) {
    checkEgress(report, `spec.egress[${index}]`, listener, index === egress.length - 1);
  }
  const keyOf = (listener: IstioEgressListener): string | number | undefined =>
    (listener.port?.number ?? 0) === 0
      ? listener.port === undefined
        ? undefined
        : listener.bind
      : listener.port?.number;
  for (const [index, first] of duplicates(egress, keyOf)) {
    report.error(`spec.egress[${index}].port`, `is the port or socket of listener ${first} as well`, 'each once');
  }
  checkOutboundPolicy(report, spec);
};

function checkListenerPort(report: Report, path: string, port: SidecarPort): void {
  if ((port.name ?? '') !== '' && !isDnsLabel(port.name ?? '')) {
    report.error(`${path}.name`, `${JSON.stringify(port.name)} is no port name`, 'lower-case letters, digits and -');
  }
  checkProtocol(report, `${path}.protocol`, port.protocol);
  if ((port.targetPort ?? 0) > 0) report.strict(`${path}.targetPort`, 'has no effect on sidecars', 'no targetPort');
}

function checkIngress(report: Report, path: string, listener: IstioIngressListener): void {
  if (listener.port === undefined) report.error(`${path}.port`, 'is missing', 'number, protocol and name');
  else {
    checkListenerPort(report, `${path}.port`, listener.port);
    checkPort(report, `${path}.port.number`, listener.port.number);
  }
  if ((listener.bind ?? '') !== '' && !isIp(listener.bind ?? ''))
    report.error(`${path}.bind`, `${JSON.stringify(listener.bind)} is no address`, 'an IP address');
  checkDefaultEndpoint(report, `${path}.defaultEndpoint`, listener.defaultEndpoint ?? '');
  checkConnectionPool(report, `${path}.connectionPool`, listener.connectionPool);
  checkIngressTls(report, path, listener);
}

const LOCAL = /^(?:127\.0\.0\.1|0\.0\.0\.0|\[::1\]|\[::\])?:(\d{1,5})$/;

function checkDefaultEndpoint(report: Report, path: string, endpoint: string): void {
  if (endpoint === '') return;
  if (endpoint.startsWith('unix:')) {
    if (!isUnixAddress(endpoint)) report.error(path, `${JSON.stringify(endpoint)} is no socket`, 'unix:///path');
    return;
  }
  const match = LOCAL.exec(endpoint);
  if (match === null)
    report.error(
      path,
      `${JSON.stringify(endpoint)} is no local endpoint`,
      '127.0.0.1:PORT, 0.0.0.0:PORT, [::1]:PORT, [::]:PORT, :PORT or unix:///path',
    );
  else checkPort(report, path, Number(match[1]));
}

function checkIngressTls(report: Report, path: string, listener: IstioIngressListener): void {
  const { tls } = listener;
  if (tls === undefined) return;
  if ((tls.subjectAltNames ?? []).length > 0) report.error(`${path}.tls.subjectAltNames`, 'is for gateways', 'none');
  if (tls.httpsRedirect === true) report.error(`${path}.tls.httpsRedirect`, 'is for gateways', 'none');
  if ((tls.credentialName ?? '') !== '') report.error(`${path}.tls.credentialName`, 'is for gateways', 'files');
  for (const field of ['credentialNames', 'tlsCertificates'] as const) {
    if ((tls[field] ?? []).length > 0) report.error(`${path}.tls.${field}`, 'is for gateways', 'files');
  }
  if (tls.mode === 'ISTIO_MUTUAL' || tls.mode === 'AUTO_PASSTHROUGH')
    report.error(`${path}.tls.mode`, `${tls.mode} is for gateways`, 'SIMPLE or MUTUAL');
  const protocol = (listener.port?.protocol ?? '').toLowerCase();
  if (protocol !== 'https' && protocol !== 'tls')
    report.error(`${path}.tls`, 'has no place on a plain text port', 'HTTPS or TLS as protocol');
  checkServerTls(report, `${path}.tls`, tls);
}

function checkEgress(report: Report, path: string, listener: IstioEgressListener, last: boolean): void {
  if (listener.port === undefined) {
    if (!last)
      report.error(
        path,
        'a listener without port takes everything and comes before others',
        'the catch-all listener last, and one only',
      );
  } else checkEgressPort(report, path, listener, listener.port);
  const hosts = listener.hosts ?? [];
  if (hosts.length === 0) report.error(`${path}.hosts`, 'is missing', 'at least one NAMESPACE/HOST');
  for (const [index, host] of hosts.entries()) checkEgressHost(report, `${path}.hosts[${index}]`, host);
  for (const [index] of duplicates(hosts, (host) => host))
    report.warn(`${path}.hosts[${index}]`, 'is listed twice', 'each host once');
  if (hosts.includes('*/*') && hosts.length > 1)
    report.warn(`${path}.hosts`, '"*/*" selects all, the others add nothing', '"*/*" alone');
}

function checkEgressPort(report: Report, path: string, listener: IstioEgressListener, port: SidecarPort): void {
  const bind = listener.bind ?? '';
  checkListenerPort(report, `${path}.port`, port);
  if ((port.number ?? 0) !== 0) {
    checkPort(report, `${path}.port.number`, port.number);
    if (bind !== '' && !isIp(bind))
      report.error(`${path}.bind`, `${JSON.stringify(bind)} is no address`, 'an IP address');
    return;
  }
  if (!isUnixAddress(bind))
    report.error(`${path}.bind`, 'a listener without port number needs a socket', 'unix:///path');
  if (listener.captureMode === 'IPTABLES')
    report.error(`${path}.captureMode`, 'a socket can not be captured', 'DEFAULT or NONE');
}

/** `NAMESPACE/HOST`, where the namespace may be `*`, `.` or `~`. */
function checkEgressHost(report: Report, path: string, host: string): void {
  const slash = host.indexOf('/');
  if (slash < 0) return report.error(path, `${JSON.stringify(host)} has no namespace`, 'NAMESPACE/HOST');
  const namespace = host.slice(0, slash);
  if (!['*', '.', '~'].includes(namespace) && !isDnsLabel(namespace)) {
    report.error(path, `${JSON.stringify(namespace)} is no namespace`, 'a namespace, "*", "." or "~"');
  }
  if (!isWildcardFqdn(host.slice(slash + 1)))
    report.error(
      path,
      `${JSON.stringify(host.slice(slash + 1))} is no host name`,
      'a DNS name, "*" at most as its beginning',
    );
}

function checkOutboundPolicy(report: Report, spec: SidecarSpec): void {
  const policy = spec.outboundTrafficPolicy;
  if (policy?.egressProxy === undefined) return;
  const path = 'spec.outboundTrafficPolicy.egressProxy';
  // An unset mode is REGISTRY_ONLY, protobuf's first value.
  if (policy.mode !== 'ALLOW_ANY')
    report.error(path, 'is for unknown hosts, which REGISTRY_ONLY refuses', 'mode ALLOW_ANY');
  if (!isFqdn(policy.egressProxy.host ?? ''))
    report.error(
      `${path}.host`,
      `${JSON.stringify(policy.egressProxy.host ?? '')} is no host name`,
      'a DNS name without wildcard',
    );
  else checkDestination(report, path, policy.egressProxy);
  if (policy.egressProxy.port === undefined) report.error(`${path}.port`, 'is missing', 'number');
}
