import { ask, type HttpTarget, readStats } from './admin.ts';

export type Readiness = { readonly kind: 'ready' } | { readonly kind: 'not-ready'; readonly reason: string };

const STATS =
  '^(server.state|cluster_manager.cds.update_(success|rejected)|listener_manager.lds.update_(success|rejected)|listener_manager.workers_started)$';
const PATH = `/stats?usedonly&filter=${encodeURIComponent(STATS)}`;

/** What else has to be there before traffic may come. */
export interface ReadinessParts {
  /** False while the DNS proxy has no names; true without one. */
  hasNames(): boolean;
}

/** A check that asks Envoy for all of it until it was ready once, and then only whether it still serves. */
export function readinessCheck(admin: HttpTarget, parts: ReadinessParts): () => Promise<Readiness> {
  let wasReady = false;
  return async () => {
    const readiness = await readinessOf(admin, wasReady);
    if (readiness.kind === 'ready' && !parts.hasNames())
      return { kind: 'not-ready', reason: 'the DNS proxy has no name table yet' };
    wasReady = wasReady || readiness.kind === 'ready';
    return readiness;
  };
}

/** Ready once Envoy is live and has taken clusters and listeners from the control plane. */
export async function readinessOf(admin: HttpTarget, wasReady = false): Promise<Readiness> {
  let stats: Map<string, number>;
  try {
    stats = readStats((await ask(admin, 'GET', PATH)).body);
  } catch (error) {
    return {
      kind: 'not-ready',
      reason: `Envoy's admin interface does not answer: ${error instanceof Error ? error.message : String(error)}`,
    };
  }
  // server.state 0 is LIVE, as in envoy.admin.v3.ServerInfo.State.
  const state = stats.get('server.state') ?? 0;
  if (state !== 0 && wasReady) return { kind: 'not-ready', reason: `server is not live, state ${state}` };
  if (wasReady) return { kind: 'ready' };
  const clusters = stats.get('cluster_manager.cds.update_success') ?? 0;
  const listeners = stats.get('listener_manager.lds.update_success') ?? 0;
  if (clusters < 1 || listeners < 1) {
    return {
      kind: 'not-ready',
      reason: `configuration not received: ${clusters} cluster and ${listeners} listener updates${refused(stats)}`,
    };
  }
  if (state !== 0) return { kind: 'not-ready', reason: `server is not live, state ${state}` };
  if (stats.get('listener_manager.workers_started') !== 1)
    return { kind: 'not-ready', reason: 'workers have not started' };
  return { kind: 'ready' };
}

/** A first configuration that Envoy refused is no reason to wait on. */
function refused(stats: ReadonlyMap<string, number>): string {
  const clusters = stats.get('cluster_manager.cds.update_rejected') ?? 0;
  const listeners = stats.get('listener_manager.lds.update_rejected') ?? 0;
  return clusters + listeners === 0 ? '' : `; ${clusters} cluster and ${listeners} listener updates were refused`;
}
