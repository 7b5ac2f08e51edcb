import type { GatewaySpec, Server } from '../generated/types.ts';
import { isDnsLabel, isIp, isWildcardFqdn } from './addresses.ts';
import { checkPort, duplicates, isKnownProtocol, isUnixAddress } from './common.ts';
import type { KindValidator, Report } from './report.ts';
import { checkServerTls } from './tls-settings.ts';

/** Servers: their ports, hosts and certificates. */
export const validateGateway: KindValidator<GatewaySpec> = ({ spec, name }, report) => {
  if (!isDnsLabel(name)) report.strict('metadata.name', `${name} is no gateway name`, 'a name without dots');
  const servers = spec.servers ?? [];
  if (servers.length === 0) report.error('spec.servers', 'is missing', 'at least one server');
  for (const [index, server] of servers.entries()) checkServer(report, `spec.servers[${index}]`, server);
  for (const [index, first] of duplicates(servers, (server) => server.port?.name)) {
    report.strict(
      `spec.servers[${index}].port.name`,
      `${servers[index]?.port?.name ?? ''} is the name of server ${first}'s port as well`,
      'each name once',
    );
  }
};

const TLS_PROTOCOLS: ReadonlySet<string> = new Set(['https', 'tls']);
const HTTP_PROTOCOLS: ReadonlySet<string> = new Set(['http', 'http2', 'grpc', 'grpc-web', 'http_proxy']);

function checkServer(report: Report, path: string, server: Server): void {
  const hosts = server.hosts ?? [];
  if (hosts.length === 0) report.error(`${path}.hosts`, 'is missing', 'at least one host');
  for (const [index, host] of hosts.entries()) checkServerHost(report, `${path}.hosts[${index}]`, host);
  checkBindAndPort(report, path, server);
  checkServerTls(report, `${path}.tls`, server.tls);
  checkTlsFitsProtocol(report, path, server);
}

/** `HOST` or `NAMESPACE/HOST`, where the namespace may also be a star or a dot. */
function checkServerHost(report: Report, path: string, host: string): void {
  const slash = host.indexOf('/');
  const namespace = slash < 0 ? '*' : host.slice(0, slash);
  const name = slash < 0 ? host : host.slice(slash + 1);
  if (namespace !== '*' && namespace !== '.' && !isDnsLabel(namespace)) {
    report.error(path, `${JSON.stringify(namespace)} is no namespace`, 'NAMESPACE/HOST, "." or "*" as namespace');
  }
  if (!isWildcardFqdn(name) && !isIp(name))
    report.error(path, `${JSON.stringify(name)} is no host name`, 'a DNS name, "*" at most as its beginning');
}

function checkBindAndPort(report: Report, path: string, server: Server): void {
  const { port, bind = '' } = server;
  if (port === undefined) return report.error(`${path}.port`, 'is missing', 'number, name and protocol');
  const unix = bind.startsWith('unix:');
  if (unix && !isUnixAddress(bind))
    report.error(`${path}.bind`, `${JSON.stringify(bind)} is no socket`, 'unix:///path');
  if (!unix && bind !== '' && !isIp(bind))
    report.error(`${path}.bind`, `${JSON.stringify(bind)} is no address`, 'an IP address or unix:///path');
  if (!unix) checkPort(report, `${path}.port.number`, port.number);
  else if ((port.number ?? 0) !== 0) report.error(`${path}.port.number`, 'a unix socket has no port', '0');
  if ((port.name ?? '') === '') report.error(`${path}.port.name`, 'is missing', 'a name');
  if (!isKnownProtocol(port.protocol ?? '')) {
    report.error(
      `${path}.port.protocol`,
      `${JSON.stringify(port.protocol ?? '')} is no known protocol`,
      'HTTP, HTTPS, GRPC, HTTP2, MONGO, TCP, TLS',
    );
  }
  if ((port.targetPort ?? 0) > 0)
    report.strict(`${path}.port.targetPort`, 'has no effect on gateways', 'no targetPort');
}

function checkTlsFitsProtocol(report: Report, path: string, server: Server): void {
  const protocol = (server.port?.protocol ?? '').toLowerCase();
  if (!isKnownProtocol(protocol)) return;
  const { tls } = server;
  if (TLS_PROTOCOLS.has(protocol)) {
    if (tls === undefined) report.error(`${path}.tls`, 'is missing', `tls settings for ${protocol.toUpperCase()}`);
  } else if (tls !== undefined && HTTP_PROTOCOLS.has(protocol)) {
    // On plain HTTP the one thing tls can say is httpsRedirect.
    const passive = tls.mode === undefined || tls.mode === 'PASSTHROUGH' || tls.mode === 'AUTO_PASSTHROUGH';
    const files = [tls.caCertificates, tls.privateKey, tls.serverCertificate].some((file) => (file ?? '') !== '');
    if (!passive || files) report.error(`${path}.tls`, 'has no place on a plain text port', 'HTTPS or TLS as protocol');
  } else if (tls !== undefined)
    report.error(`${path}.tls`, 'has no place on a plain text port', 'HTTPS or TLS as protocol');
  if (tls?.httpsRedirect === true && !HTTP_PROTOCOLS.has(protocol)) {
    report.warn(`${path}.tls.httpsRedirect`, 'has no effect here', 'an HTTP server');
  }
}
