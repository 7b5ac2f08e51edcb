// What the environment says of how proxies are configured: for `serve`, and for whoever looks at what would be served.

import { type Features, featuresOf } from '../config/features.ts';
import { type JwksFetchMode, jwksFetchMode } from '../config/jwks-source.ts';
import { type CommandContext, UsageError } from './program.ts';

export interface Environment {
  readonly features: Features;
  readonly jwksFetch: JwksFetchMode;
  readonly systemNamespace: string;
}

/** Throws for words that mean nothing. */
export function environmentOf(env: CommandContext['env']): Environment {
  const { features, unknown } = featuresOf(env);
  const [name] = unknown;
  if (name !== undefined) throw new UsageError(`${name}=${env[name]}: expected true or false`, 64);
  const mode = env['PILOT_JWT_ENABLE_REMOTE_JWKS'] ?? '';
  const jwksFetch = jwksFetchMode(mode);
  if (jwksFetch === undefined)
    throw new UsageError(`PILOT_JWT_ENABLE_REMOTE_JWKS=${mode}: expected istiod, hybrid or envoy`, 64);
  return { features, jwksFetch, systemNamespace: env['POD_NAMESPACE'] ?? 'istio-system' };
}
