import { ask, type HttpTarget, readStats } from './admin.ts';

export type Readiness = { readonly kind: 'ready' } | { readonly kind: 'not-ready'; readonly reason: string };

const STATS =
  '^(server.state|cluster_manager.cds.update_success|listener_manager.lds.update_success|listener_manager.workers_started)$';
const PATH = `/stats?usedonly&filter=${encodeURIComponent(STATS)}`;

/** Ready once Envoy is live and has taken clusters and listeners from the control plane. */
export async function readinessOf(admin: HttpTarget): Promise<Readiness> {
  let stats: Map<string, number>;
  try {
    stats = readStats((await ask(admin, 'GET', PATH)).body);
  } catch (error) {
    return {
      kind: 'not-ready',
      reason: `Envoy's admin interface does not answer: ${error instanceof Error ? error.message : String(error)}`,
    };
  }
  const clusters = stats.get('cluster_manager.cds.update_success') ?? 0;
  const listeners = stats.get('listener_manager.lds.update_success') ?? 0;
  if (clusters < 1 || listeners < 1) {
    return {
      kind: 'not-ready',
      reason: `configuration not received: ${clusters} cluster and ${listeners} listener updates`,
    };
  }
  // server.state 0 is LIVE, as in envoy.admin.v3.ServerInfo.State.
  const state = stats.get('server.state') ?? 0;
  if (state !== 0) return { kind: 'not-ready', reason: `server is not live, state ${state}` };
  if (stats.get('listener_manager.workers_started') !== 1)
    return { kind: 'not-ready', reason: 'workers have not started' };
  return { kind: 'ready' };
}
