// ProxyConfig `proxyHeaders` and `gatewayTopology` of one proxy, read once per settings object.

import type { ProxyClass, ProxySettings } from '../../ir/proxy.ts';
import { memo } from '../../lib/memo.ts';
import type { Messages } from '../../messages/index.ts';

type Hcm = Messages['envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager'];
type ClientCertMode = NonNullable<Hcm['forwardClientCertDetails']>;

export interface ProxyHeaders {
  readonly serverName: string | undefined;
  /** The application's `server` header goes through. */
  readonly keepServer: boolean;
  readonly generateRequestId: boolean;
  readonly attemptCount: boolean;
  readonly suppressDebugHeaders: boolean;
  readonly forwardedHost: boolean;
  readonly forwardedPort: boolean;
  readonly preserveCase: boolean;
  readonly forwardedClientCert: ClientCertMode | undefined;
  readonly clientCertDetails: NonNullable<Hcm['setCurrentClientCertDetails']>;
  /** From `gatewayTopology`: the setting of `proxyHeaders` is for inbound sidecar requests. */
  readonly gatewayClientCert: ClientCertMode | undefined;
  readonly trustedProxies: number;
  readonly proxyProtocol: boolean;
}

const CLIENT_CERT_MODES: readonly ClientCertMode[] = [
  'SANITIZE',
  'FORWARD_ONLY',
  'APPEND_FORWARD',
  'SANITIZE_SET',
  'ALWAYS_FORWARD_ONLY',
];

export function proxyHeaders(proxyClass: ProxyClass): ProxyHeaders {
  return read(proxyClass.settings);
}

const read = memo((settings: ProxySettings): ProxyHeaders => {
  const headers = record(settings.proxyConfig['proxyHeaders']);
  const topology = record(settings.proxyConfig['gatewayTopology']);
  const server = record(headers['server']);
  const details = record(headers['setCurrentClientCertDetails']);
  const name = server['value'];
  return {
    serverName: typeof name === 'string' && name !== '' ? name : undefined,
    keepServer: flag(server['disabled'], false),
    generateRequestId: !flag(record(headers['requestId'])['disabled'], false),
    attemptCount: !flag(record(headers['attemptCount'])['disabled'], false),
    suppressDebugHeaders: flag(record(headers['envoyDebugHeaders'])['disabled'], false),
    forwardedHost: flag(record(headers['xForwardedHost'])['enabled'], false),
    forwardedPort: flag(record(headers['xForwardedPort'])['enabled'], false),
    preserveCase: flag(headers['preserveHttp1HeaderCase'], false),
    forwardedClientCert: clientCertMode(headers['forwardedClientCert']),
    clientCertDetails: {
      subject: flag(details['subject'], true),
      cert: flag(details['cert'], false) ? true : undefined,
      chain: flag(details['chain'], false) ? true : undefined,
      dns: flag(details['dns'], true),
      uri: flag(details['uri'], true),
    },
    gatewayClientCert: clientCertMode(topology['forwardClientCertDetails']),
    trustedProxies: count(topology['numTrustedProxies']),
    proxyProtocol: topology['proxyProtocol'] !== undefined,
  };
});

function record(value: unknown): Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null ? (value as Readonly<Record<string, unknown>>) : {};
}

function flag(value: unknown, fallback: boolean): boolean {
  return typeof value === 'boolean' ? value : fallback;
}

function count(value: unknown): number {
  return typeof value === 'number' && Number.isInteger(value) && value > 0 ? value : 0;
}

function clientCertMode(value: unknown): ClientCertMode | undefined {
  return CLIENT_CERT_MODES.find((mode) => mode === value);
}
