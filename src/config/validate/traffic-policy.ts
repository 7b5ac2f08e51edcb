// Connection pools, outlier detection and load balancing: DestinationRule, Sidecar, mesh.

import type {
  ConnectionPoolSettings,
  ConsistentHashLB,
  HTTPSettings,
  LoadBalancerSettings,
  LocalityFailover,
  LocalityLoadBalancerSetting,
  OutlierDetection,
  TCPSettings,
  ZoneAwareLoadBalancerSetting,
} from '../generated/types.ts';
import { MAX_MAGLEV, MAX_RING } from '../limits.ts';
import { checkDuration, checkNotNegative, checkPercent } from './common.ts';
import type { Report } from './report.ts';

export function checkConnectionPool(report: Report, path: string, pool: ConnectionPoolSettings | undefined): void {
  if (pool === undefined) return;
  if (pool.http === undefined && pool.tcp === undefined) report.strict(path, 'is empty', 'http, tcp or both');
  if (pool.http !== undefined) checkHttpPool(report, `${path}.http`, pool.http);
  if (pool.tcp !== undefined) checkTcpPool(report, `${path}.tcp`, pool.tcp);
}

function checkHttpPool(report: Report, path: string, http: HTTPSettings): void {
  for (const field of [
    'http1MaxPendingRequests',
    'http2MaxRequests',
    'maxRequestsPerConnection',
    'maxRetries',
    'maxConcurrentStreams',
  ] as const) {
    checkNotNegative(report, `${path}.${field}`, http[field]);
  }
  checkDuration(report, `${path}.idleTimeout`, http.idleTimeout);
  if (http.h2UpgradePolicy === 'UPGRADE' && http.useClientProtocol === true) {
    report.error(`${path}.useClientProtocol`, 'contradicts h2UpgradePolicy UPGRADE', 'one of them');
  }
  if (http.http2KeepAlive === undefined) return;
  for (const field of ['interval', 'timeout'] as const) {
    const value = http.http2KeepAlive[field];
    if (value === undefined) report.error(`${path}.http2KeepAlive.${field}`, 'is missing', 'a duration');
    else checkDuration(report, `${path}.http2KeepAlive.${field}`, value);
  }
}

function checkTcpPool(report: Report, path: string, tcp: TCPSettings): void {
  checkNotNegative(report, `${path}.maxConnections`, tcp.maxConnections);
  checkDuration(report, `${path}.connectTimeout`, tcp.connectTimeout);
  checkDuration(report, `${path}.maxConnectionDuration`, tcp.maxConnectionDuration);
  // 0s switches the idle timeout off.
  checkDuration(report, `${path}.idleTimeout`, tcp.idleTimeout, { zero: true });
  checkNotNegative(report, `${path}.tcpKeepalive.probes`, tcp.tcpKeepalive?.probes);
  checkDuration(report, `${path}.tcpKeepalive.time`, tcp.tcpKeepalive?.time);
  checkDuration(report, `${path}.tcpKeepalive.interval`, tcp.tcpKeepalive?.interval);
}

export function checkOutlierDetection(report: Report, path: string, outlier: OutlierDetection | undefined): void {
  if (outlier === undefined) return;
  checkDuration(report, `${path}.baseEjectionTime`, outlier.baseEjectionTime);
  checkDuration(report, `${path}.interval`, outlier.interval);
  checkPercent(report, `${path}.maxEjectionPercent`, outlier.maxEjectionPercent);
  checkPercent(report, `${path}.minHealthPercent`, outlier.minHealthPercent);
  for (const field of OUTLIER_COUNTS) checkNotNegative(report, `${path}.${field}`, outlier[field]);
  if ((outlier.consecutiveErrors ?? 0) !== 0) {
    report.warn(
      `${path}.consecutiveErrors`,
      'is deprecated',
      'consecutive5xxErrors or consecutiveGatewayErrors',
      'IST0002',
    );
  }
  if (outlier.splitExternalLocalOriginErrors !== true && (outlier.consecutiveLocalOriginFailures ?? 0) > 0) {
    report.strict(`${path}.consecutiveLocalOriginFailures`, 'has no effect', 'splitExternalLocalOriginErrors: true');
  }
}

const OUTLIER_COUNTS = [
  'consecutiveErrors',
  'consecutive5xxErrors',
  'consecutiveGatewayErrors',
  'consecutiveLocalOriginFailures',
] as const;

export function checkLoadBalancer(
  report: Report,
  path: string,
  lb: LoadBalancerSettings | undefined,
  outlier: OutlierDetection | undefined,
): void {
  if (lb === undefined) return;
  if (lb.simple === 'LEAST_CONN') report.warn(`${path}.simple`, 'LEAST_CONN is deprecated', 'LEAST_REQUEST', 'IST0002');
  if (lb.simple !== undefined && lb.consistentHash !== undefined) {
    report.error(path, 'has both simple and consistentHash', 'one of them');
  }
  if (lb.consistentHash !== undefined) checkHash(report, `${path}.consistentHash`, lb.consistentHash);
  if (lb.localityLbSetting !== undefined && lb.zoneAwareLbSetting !== undefined) {
    report.error(path, 'has both localityLbSetting and zoneAwareLbSetting', 'one of them');
  }
  if (lb.localityLbSetting !== undefined)
    checkLocality(report, `${path}.localityLbSetting`, lb.localityLbSetting, outlier);
  if (lb.zoneAwareLbSetting !== undefined)
    checkZones(report, `${path}.zoneAwareLbSetting`, lb.zoneAwareLbSetting, outlier);
  checkDuration(report, `${path}.warmupDurationSecs`, lb.warmupDurationSecs);
  if (lb.warmup === undefined) return;
  if (lb.warmup.duration === undefined) report.error(`${path}.warmup.duration`, 'is missing', 'a duration');
  checkDuration(report, `${path}.warmup.duration`, lb.warmup.duration);
  checkPercent(report, `${path}.warmup.minimumPercent`, lb.warmup.minimumPercent);
  if (lb.warmup.aggression !== undefined && lb.warmup.aggression <= 0) {
    report.error(`${path}.warmup.aggression`, `${lb.warmup.aggression} is not positive`, 'more than 0');
  }
}

const HASH_KEYS = ['httpHeaderName', 'httpCookie', 'useSourceIp', 'httpQueryParameterName'] as const;

function checkHash(report: Report, path: string, hash: ConsistentHashLB): void {
  const keys = HASH_KEYS.filter((key) => hash[key] !== undefined);
  if (keys.length !== 1) {
    report.error(
      path,
      keys.length === 0 ? 'has no key' : `has ${keys.join(' and ')}`,
      `exactly one of ${HASH_KEYS.join(', ')}`,
    );
  }
  if (hash.httpCookie !== undefined) {
    if ((hash.httpCookie.name ?? '') === '')
      report.error(`${path}.httpCookie.name`, 'is missing', 'the name of the cookie');
    const names = new Set<string>();
    for (const [index, attribute] of (hash.httpCookie.attributes ?? []).entries()) {
      const at = `${path}.httpCookie.attributes[${index}].name`;
      const name = attribute.name ?? '';
      if (name === '') report.error(at, 'is missing', 'the name of the attribute');
      else if (names.has(name)) report.error(at, `${name} is listed twice`, 'each attribute once');
      names.add(name);
    }
  }
  if ((hash.minimumRingSize ?? 0) !== 0) {
    report.warn(`${path}.minimumRingSize`, 'is deprecated', 'ringHash.minimumRingSize', 'IST0002');
    if (hash.ringHash !== undefined || hash.maglev !== undefined) {
      report.error(`${path}.minimumRingSize`, 'stands beside ringHash or maglev', 'one of them');
    }
  }
  for (const [at, size = 0] of [
    ['minimumRingSize', hash.minimumRingSize],
    ['ringHash.minimumRingSize', hash.ringHash?.minimumRingSize],
  ] as const) {
    if (size > MAX_RING) report.warn(`${path}.${at}`, `${size} is more than Envoy takes; ${MAX_RING} is used`);
  }
  if (hash.maglev === undefined) return;
  const size = hash.maglev.tableSize ?? 0;
  if (size <= 0 || size >= MAX_MAGLEV || !isPrime(size)) {
    report.error(`${path}.maglev.tableSize`, `${size} is no usable table size`, `a prime below ${MAX_MAGLEV}`);
  }
}

function isPrime(value: number): boolean {
  if (value < 2 || (value % 2 === 0 && value !== 2)) return false;
  for (let factor = 3; factor * factor <= value; factor += 2) if (value % factor === 0) return false;
  return true;
}

/** Distribution and failover exclude each other; without outlier detection nothing ever fails over. */
export function checkLocality(
  report: Report,
  path: string,
  locality: LocalityLoadBalancerSetting,
  outlier: OutlierDetection | undefined,
): void {
  const distribute = locality.distribute ?? [];
  const failover = locality.failover ?? [];
  const priority = locality.failoverPriority ?? [];
  if (distribute.length > 0 && failover.length > 0) {
    report.error(path, 'has both distribute and failover', 'one of them');
  }
  for (const [index, rule] of distribute.entries())
    checkDistribution(report, `${path}.distribute[${index}]`, rule.to ?? {});
  checkSources(
    report,
    `${path}.distribute`,
    distribute.map((rule) => rule.from ?? ''),
  );
  checkFailover(report, path, failover);
  if (failover.length > 0) checkPriorities(report, path, priority, 'beside failover');
  if ((failover.length > 0 || priority.length > 0) && outlier === undefined) {
    report.warn(path, 'has no effect without outlierDetection', 'outlierDetection in the same policy');
  }
}

function checkZones(
  report: Report,
  path: string,
  { failover = [], failoverPriority = [] }: ZoneAwareLoadBalancerSetting,
  outlier: OutlierDetection | undefined,
): void {
  checkPriorities(report, path, failoverPriority, 'where zones are balanced');
  checkFailover(report, path, failover);
  if ((failover.length > 0 || failoverPriority.length > 0) && outlier === undefined) {
    report.warn(path, 'has little effect without outlierDetection', 'outlierDetection in the same policy');
  }
}

function checkFailover(report: Report, path: string, failover: readonly LocalityFailover[]): void {
  for (const [index, rule] of failover.entries()) {
    const at = `${path}.failover[${index}]`;
    if (rule.from === rule.to)
      report.error(at, `fails over from ${rule.from ?? ''} to itself`, 'two different regions');
    for (const side of ['from', 'to'] as const) {
      if ((rule[side] ?? '').includes('/') || (rule[side] ?? '').includes('*')) {
        report.error(`${at}.${side}`, 'is no region', 'a region without zone or wildcard');
      }
    }
  }
}

const PLACES: ReadonlySet<string> = new Set([
  'topology.kubernetes.io/region',
  'topology.kubernetes.io/zone',
  'topology.istio.io/subzone',
]);

/** Places rank by themselves there: as labels they would rank twice. */
function checkPriorities(report: Report, path: string, labels: readonly string[], where: string): void {
  for (const [index, label] of labels.entries())
    if (PLACES.has(label))
      report.error(`${path}.failoverPriority[${index}]`, `${label} can not be used ${where}`, 'another label');
}

function checkDistribution(report: Report, path: string, to: Readonly<Record<string, number>>): void {
  const weights = Object.values(to);
  const total = weights.reduce((sum, weight) => sum + weight, 0);
  if (weights.some((weight) => weight <= 0)) report.error(`${path}.to`, 'has a weight of 0', '1 to 100');
  if (total !== 100) report.strict(`${path}.to`, `the weights add up to ${total}`, '100');
  checkSources(report, `${path}.to`, Object.keys(to));
}

/** Localities of one list must not contain each other. */
function checkSources(report: Report, path: string, localities: readonly string[]): void {
  for (const [index, locality] of localities.entries()) {
    if (locality === '') report.error(path, 'has an empty locality', 'region/zone/subzone');
    if (/\*[^/]|[^/]\*/.test(locality) || (locality.includes('*/') && locality !== '*')) {
      report.error(path, `${JSON.stringify(locality)}: "*" may only stand for the last part`, 'region/zone/*');
    }
    const before = localities
      .slice(0, index)
      .find((other) => localityCovers(other, locality) || localityCovers(locality, other));
    if (before !== undefined)
      report.error(path, `${locality} overlaps with ${before}`, 'localities that do not overlap');
  }
}

function localityCovers(wide: string, narrow: string): boolean {
  const plain = (text: string): string[] => text.split('/').filter((part) => part !== '*');
  const a = plain(wide);
  const b = plain(narrow);
  return a.length <= b.length && a.every((part, index) => part === b[index]);
}
