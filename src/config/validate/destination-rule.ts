import type { DestinationRuleSpec, PortTrafficPolicy, TrafficPolicy, TunnelSettings } from '../generated/types.ts';
import { isDnsLabel, isFqdn, isIp } from './addresses.ts';
import { checkExportTo, checkPort, checkSelectorLabels, checkWildcardHost, duplicates } from './common.ts';
import { checkLabels } from './labels.ts';
import type { KindValidator, Report } from './report.ts';
import { checkClientTls } from './tls-settings.ts';
import { checkConnectionPool, checkLoadBalancer, checkOutlierDetection } from './traffic-policy.ts';

/** Host, subsets and the three levels of traffic policy. */
export const validateDestinationRule: KindValidator<DestinationRuleSpec> = ({ spec, namespace }, report) => {
  if ((spec.host ?? '') === '') report.error('spec.host', 'is missing', 'a host');
  else checkWildcardHost(report, 'spec.host', spec.host ?? '');
  checkTrafficPolicy(report, 'spec.trafficPolicy', spec.trafficPolicy);
  const subsets = spec.subsets ?? [];
  for (const [index, subset] of subsets.entries()) {
    const path = `spec.subsets[${index}]`;
    if (!isDnsLabel(subset.name ?? '')) {
      report.error(
        `${path}.name`,
        `${JSON.stringify(subset.name ?? '')} is no subset name`,
        'lower-case letters, digits and -',
      );
    }
    checkLabels(report, `${path}.labels`, subset.labels);
    checkTrafficPolicy(report, `${path}.trafficPolicy`, subset.trafficPolicy);
  }
  for (const [index, first] of duplicates(subsets, (subset) => subset.name)) {
    report.error(
      `spec.subsets[${index}].name`,
      `${subsets[index]?.name ?? ''} is the name of subset ${first} as well`,
      'each name once',
    );
  }
  checkExportTo(report, 'spec.exportTo', spec.exportTo);
  if (spec.workloadSelector === undefined) return;
  checkSelectorLabels(report, 'spec.workloadSelector.matchLabels', spec.workloadSelector.matchLabels);
  const beyond = (spec.exportTo ?? []).find((entry) => entry !== '.' && entry !== namespace);
  if (beyond !== undefined) {
    report.strict('spec.exportTo', 'a rule with workloadSelector stays in its namespace', '"." or nothing');
  }
};

const POLICY_FIELDS = [
  'connectionPool',
  'loadBalancer',
  'outlierDetection',
  'portLevelSettings',
  'proxyProtocol',
  'retryBudget',
  'tls',
  'tunnel',
] as const;

function checkTrafficPolicy(report: Report, path: string, policy: TrafficPolicy | undefined): void {
  if (policy === undefined) return;
  if (POLICY_FIELDS.every((field) => policy[field] === undefined))
    report.strict(path, 'is empty', `one of ${POLICY_FIELDS.join(', ')}`);
  if (policy.tunnel !== undefined && policy.proxyProtocol !== undefined) {
    report.error(path, 'has both tunnel and proxyProtocol', 'one of them');
  }
  checkConnectionPool(report, `${path}.connectionPool`, policy.connectionPool);
  checkOutlierDetection(report, `${path}.outlierDetection`, policy.outlierDetection);
  checkLoadBalancer(report, `${path}.loadBalancer`, policy.loadBalancer, policy.outlierDetection);
  checkClientTls(report, `${path}.tls`, policy.tls, 'IST0128');
  for (const [index, port] of (policy.portLevelSettings ?? []).entries()) {
    checkPortPolicy(report, `${path}.portLevelSettings[${index}]`, port);
  }
  checkTunnel(report, `${path}.tunnel`, policy.tunnel);
}

function checkPortPolicy(report: Report, path: string, policy: PortTrafficPolicy): void {
  checkPort(report, `${path}.port.number`, policy.port?.number);
  const fields = [policy.connectionPool, policy.loadBalancer, policy.outlierDetection, policy.tls];
  if (fields.every((field) => field === undefined)) {
    report.error(path, 'is empty', 'connectionPool, loadBalancer, outlierDetection or tls');
  }
  checkConnectionPool(report, `${path}.connectionPool`, policy.connectionPool);
  checkOutlierDetection(report, `${path}.outlierDetection`, policy.outlierDetection);
  checkLoadBalancer(report, `${path}.loadBalancer`, policy.loadBalancer, policy.outlierDetection);
  checkClientTls(report, `${path}.tls`, policy.tls, 'IST0129');
}

function checkTunnel(report: Report, path: string, tunnel: TunnelSettings | undefined): void {
  if (tunnel === undefined) return;
  const protocol = tunnel.protocol ?? '';
  if (protocol !== '' && protocol !== 'CONNECT' && protocol !== 'POST') {
    report.error(`${path}.protocol`, `${JSON.stringify(protocol)} is no tunnel protocol`, 'CONNECT or POST');
  }
  const host = tunnel.targetHost ?? '';
  if (!isFqdn(host) && !isIp(host))
    report.error(`${path}.targetHost`, `${JSON.stringify(host)} is no host`, 'a DNS name or IP address');
  checkPort(report, `${path}.targetPort`, tunnel.targetPort);
}
