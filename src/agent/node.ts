import { AGENTLESS_METADATA } from './bootstrap-agentless.ts';
import type { AgentConfig } from './config.ts';

/** Envoy's `config.core.v3.Node` in JSON form. */
export interface NodeJson {
  readonly id: string;
  readonly cluster: string;
  readonly metadata: Readonly<Record<string, unknown>>;
  readonly locality?: { readonly region: string; readonly zone?: string; readonly subZone?: string };
}

/** How the proxy introduces itself. */
export function nodeOf(config: AgentConfig): NodeJson {
  const [region, zone, subZone] = config.locality.split('/');
  const { health, prometheus } = config.ports;
  return {
    id: config.nodeId,
    cluster: config.serviceCluster,
    metadata: {
      ...config.metadata,
      ...(config.agentless ? AGENTLESS_METADATA : {}),
      ENVOY_STATUS_PORT: health,
      ENVOY_PROMETHEUS_PORT: prometheus,
    },
    ...(region ? { locality: { region, ...(zone ? { zone } : {}), ...(subZone ? { subZone } : {}) } } : {}),
  };
}
