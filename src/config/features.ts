// What the control plane is started with and a mesh configuration file can't say: features that are off unless asked for.
// In: the environment, in istiod's names. Carried by the MeshConfig in force to all that depends on it.

import { memo } from '../lib/memo.ts';
import type { MeshConfig } from './mesh-defaults.ts';

export interface Features {
  /** HTTPS servers of gateways are served over QUIC too, where the gateway's Service has the port for UDP. */
  readonly quicListeners: boolean;
  /** Callers of Services with a persistent-session label stay with one endpoint. */
  readonly persistentSessions: boolean;
}

const QUIC = 'PILOT_ENABLE_QUIC_LISTENERS';
const SESSIONS = 'PILOT_ENABLE_PERSISTENT_SESSION_FILTER';

/** Booleans are the words of Go's strconv; `unknown` names variables that are none. */
export function featuresOf(env: Readonly<Record<string, string | undefined>>): {
  readonly features: Features;
  readonly unknown: readonly string[];
} {
  const unknown = [QUIC, SESSIONS].filter((name) => !/^(1|t|true|0|f|false|)$/i.test(env[name] ?? ''));
  const on = (name: string): boolean => /^(1|t|true)$/i.test(env[name] ?? '');
  return { features: { quicListeners: on(QUIC), persistentSessions: on(SESSIONS) }, unknown };
}

/** The mesh with its features; the same object for the same mesh. */
export function withFeatures(mesh: MeshConfig, features: Features | undefined): MeshConfig {
  if (features === undefined || !(features.quicListeners || features.persistentSessions)) return mesh;
  return joined(mesh, features);
}

const joined = memo((mesh: MeshConfig, features: Features): MeshConfig => ({ ...mesh, features }));
