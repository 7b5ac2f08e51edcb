// What the control plane is started with and a mesh configuration file can't say: features that are off unless asked for,
// and labels that may have other names. In: the environment, in istiod's names. Carried by the MeshConfig in force to all
// that depends on it.

import { deepEqual } from '../lib/equal.ts';
import { memo } from '../lib/memo.ts';
import type { MeshConfig } from './mesh-defaults.ts';

export interface Features {
  /** HTTPS servers of gateways are served over QUIC too, where the gateway's Service has the port for UDP. */
  readonly quicListeners: boolean;
  /** Callers of Services with a persistent-session label stay with one endpoint. */
  readonly persistentSessions: boolean;
  /** All proxies, not gateways alone, believe clients within the mesh networks what their headers say of a request. */
  readonly internalNetworks: boolean;
  /** Proxies, services and pods with addresses of both families use both. */
  readonly dualStack: boolean;
  /** Labels of services whose callers stay with one endpoint, and of endpoints that finish what they have. Empty: none. */
  readonly labels: FeatureLabels;
}

export interface FeatureLabels {
  readonly sessionCookie: string;
  readonly sessionHeader: string;
  readonly draining: string;
}

export const DEFAULT_LABELS: FeatureLabels = {
  sessionCookie: 'istio.io/persistent-session',
  sessionHeader: 'istio.io/persistent-session-header',
  draining: 'istio.io/draining',
};

const QUIC = 'PILOT_ENABLE_QUIC_LISTENERS';
const SESSIONS = 'PILOT_ENABLE_PERSISTENT_SESSION_FILTER';
const INTERNAL_NETWORKS = 'ENABLE_HCM_INTERNAL_NETWORKS';
const DUAL_STACK = 'ISTIO_DUAL_STACK';

const BOOLEANS = [QUIC, SESSIONS, DUAL_STACK, INTERNAL_NETWORKS];

/** Booleans are the words of Go's strconv; `unknown` names variables that are none. */
export function featuresOf(env: Readonly<Record<string, string | undefined>>): {
  readonly features: Features;
  readonly unknown: readonly string[];
} {
  const unknown = BOOLEANS.filter((name) => !/^(1|t|true|0|f|false|)$/i.test(env[name] ?? ''));
  const on = (name: string): boolean => /^(1|t|true)$/i.test(env[name] ?? '');
  const labels: FeatureLabels = {
    sessionCookie: env['PILOT_PERSISTENT_SESSION_LABEL'] ?? DEFAULT_LABELS.sessionCookie,
    sessionHeader: env['PILOT_PERSISTENT_SESSION_HEADER_LABEL'] ?? DEFAULT_LABELS.sessionHeader,
    draining: env['PILOT_DRAINING_LABEL'] ?? DEFAULT_LABELS.draining,
  };
  return {
    features: {
      quicListeners: on(QUIC),
      persistentSessions: on(SESSIONS),
      internalNetworks: on(INTERNAL_NETWORKS),
      dualStack: on(DUAL_STACK),
      labels: deepEqual(labels, DEFAULT_LABELS) ? DEFAULT_LABELS : labels,
    },
    unknown,
  };
}

/** The mesh with its features; the same object for the same mesh. */
export function withFeatures(mesh: MeshConfig, features: Features | undefined): MeshConfig {
  if (features === undefined) return mesh;
  const { labels, ...switches } = features;
  const some = labels !== DEFAULT_LABELS || Object.values(switches).includes(true);
  return some ? joined(mesh, features) : mesh;
}

const joined = memo((mesh: MeshConfig, features: Features): MeshConfig => ({ ...mesh, features }));

/**
 * Whether proxies with addresses of both families use both, and pods with both are one endpoint. Off, proxies keep to the
 * family that a service has first, as with istiod; on by the environment of the control plane, or where the mesh tells
 * its agents.
 */
export function isDualStack({ defaultConfig, features }: Pick<MeshConfig, 'defaultConfig' | 'features'>): boolean {
  if (features?.dualStack === true) return true;
  const metadata = (defaultConfig.proxyMetadata ?? {}) as Readonly<Record<string, unknown>>;
  return String(metadata[DUAL_STACK]).toLowerCase() === 'true';
}

export function featureLabels({ features }: MeshConfig): FeatureLabels {
  return features?.labels ?? DEFAULT_LABELS;
}
