// The part of the mesh configuration that listeners and clusters read: one object while those fields are the same, so that
// they stay when another field changes. In: MeshConfig. Out: MeshSettings. Called where contexts are made; whatever is
// rendered is handed contexts, and can read no other field.

import type { MeshConfig } from '../config/mesh.ts';
import { memo } from '../lib/memo.ts';

/** Extension providers are none of them: contexts have those that they name. */
const FIELDS = [
  'trustDomain',
  'trustDomainAliases',
  'caCertificates',
  'proxyListenPort',
  'proxyInboundListenPort',
  'proxyHttpPort',
  'connectTimeout',
  'tcpKeepalive',
  'protocolDetectionTimeout',
  'dnsRefreshRate',
  'enableAutoMtls',
  'meshMTLS',
  'tlsDefaults',
  'enableTracing',
  'accessLogFile',
  'accessLogFormat',
  'accessLogEncoding',
  'enableEnvoyAccessLogService',
  'disableEnvoyListenerLog',
  'defaultProviders',
  'outboundTrafficPolicy',
  'inboundTrafficPolicy',
  'localityLbSetting',
  'zoneAwareLbSetting',
  'h2UpgradePolicy',
  'defaultTrafficPolicy',
  'pathNormalization',
  'defaultHttpRetryPolicy',
  'defaultInboundHttpRetryPolicy',
  'outboundClusterStatName',
  'inboundClusterStatName',
  'defaultConfig',
  'features',
] as const satisfies readonly (keyof MeshConfig)[];

export type MeshSettings = Pick<MeshConfig, (typeof FIELDS)[number]>;

export const meshSettings = memo((mesh: MeshConfig): MeshSettings => {
  const known = recent.find((each) => FIELDS.every((name) => each[name] === mesh[name]));
  if (known !== undefined) return known;
  const made = Object.fromEntries(FIELDS.map((name) => [name, mesh[name]])) as unknown as MeshSettings;
  recent.push(made);
  if (recent.length > MAX_RECENT) recent.shift();
  return made;
});

/** Much is kept with each: those that nobody has any more should go. */
const recent: MeshSettings[] = [];
const MAX_RECENT = 4;
