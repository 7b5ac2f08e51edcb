// How often renderers ran, and how often a result was there already: what a change cost, told by counts.

import type { MemoCounts } from '../lib/memo.ts';
import { outboundCluster } from './clusters/outbound.ts';
import { assignmentDraft } from './endpoints/index.ts';
import { workloadResources } from './index.ts';
import { virtualHost } from './routes/route-config.ts';
import { renderService } from './routes/service.ts';
import { renderRoutes } from './routes/virtual-service.ts';

/** By kind of what is rendered; grows while the process lives. */
export const RENDER_COUNTS: Readonly<Record<string, MemoCounts>> = {
  cluster: outboundCluster.counts,
  assignment: assignmentDraft.counts,
  service_routes: renderService.counts,
  virtual_service_routes: renderRoutes.counts,
  virtual_host: virtualHost.counts,
  workload: workloadResources.counts,
};

/** A copy, for comparing with later. */
export function renderRuns(): Readonly<Record<string, number>> {
  return Object.fromEntries(Object.entries(RENDER_COUNTS).map(([kind, { runs }]) => [kind, runs]));
}
