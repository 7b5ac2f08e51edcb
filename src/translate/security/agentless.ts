// Secrets of a proxy without an agent: no socket serves them, so they come over ADS or are files that Envoy opens itself.
// In: a CommonTlsContext as a proxy with an agent has it. Out: the same for one without. Called by tls.ts here and in clusters.

import type { Messages } from '../../messages/index.ts';
import { ADS_CONFIG_SOURCE } from '../envoy.ts';

type CommonTlsContext = Messages['envoy.extensions.transport_sockets.tls.v3.CommonTlsContext'];
type SdsSecretConfig = Messages['envoy.extensions.transport_sockets.tls.v3.SdsSecretConfig'];
type TlsCertificate = Messages['envoy.extensions.transport_sockets.tls.v3.TlsCertificate'];

const FILE_CERT = 'file-cert:';
const FILE_ROOT = 'file-root:';
/** What `file-root:system` stands for in the image, as in most distributions. */
const SYSTEM_ROOTS = '/etc/ssl/certs/ca-certificates.crt';
const OF_WORKLOAD: ReadonlySet<string> = new Set(['default', 'ROOTCA']);

export function withoutAgent(common: CommonTlsContext): CommonTlsContext {
  const { tlsCertificateSdsSecretConfigs: certificates, ...rest } = common;
  return { ...rest, ...ownCertificates((certificates ?? []) as readonly SdsSecretConfig[]), ...validation(common) };
}

function ownCertificates(configs: readonly SdsSecretConfig[]): CommonTlsContext {
  const files = configs.flatMap(({ name = '' }) => filePair(name) ?? []);
  // Envoy takes the one or the other, and so does whoever configures a server.
  if (files.length > 0) return { tlsCertificates: files };
  return configs.length === 0 ? {} : { tlsCertificateSdsSecretConfigs: configs.map(overAds) };
}

function filePair(name: string): TlsCertificate | undefined {
  if (!name.startsWith(FILE_CERT)) return undefined;
  const [certificate = '', key = ''] = name.slice(FILE_CERT.length).split('~');
  return { certificateChain: { filename: certificate }, privateKey: { filename: key } };
}

type Combined =
  Messages['envoy.extensions.transport_sockets.tls.v3.CommonTlsContext.CombinedCertificateValidationContext'];
type ValidationContext = Messages['envoy.extensions.transport_sockets.tls.v3.CertificateValidationContext'];

function validation(common: CommonTlsContext): CommonTlsContext {
  const combined = common.combinedValidationContext as Combined | undefined;
  if (combined === undefined) return {};
  const secret = (combined.validationContextSdsSecretConfig ?? {}) as SdsSecretConfig;
  const { name = '' } = secret;
  if (!name.startsWith(FILE_ROOT))
    return { combinedValidationContext: { ...combined, validationContextSdsSecretConfig: overAds(secret) } };
  const path = name.slice(FILE_ROOT.length);
  const trustedCa = { filename: path === 'system' ? SYSTEM_ROOTS : path };
  const settings = combined.defaultValidationContext as ValidationContext | undefined;
  return { combinedValidationContext: undefined, validationContext: { ...settings, trustedCa } };
}

/** Those that came over ADS anyway, such as credentials of gateways, stay as they are. */
function overAds(secret: SdsSecretConfig): SdsSecretConfig {
  return OF_WORKLOAD.has(secret.name ?? '') ? { ...secret, sdsConfig: ADS_CONFIG_SOURCE } : secret;
}
