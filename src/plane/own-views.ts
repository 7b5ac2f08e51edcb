// What a workload has of its own beside its class: inbound listener and clusters, the endpoints that are its own pods. One result for all proxies that share
// the workload and the parts of the scope that it reads.

import type { Finding } from '../config/object.ts';
import type { Draft } from '../ir/draft.ts';
import { TYPE_URL } from '../ir/draft.ts';
import type { Workload } from '../ir/proxy.ts';
import { memo } from '../lib/memo.ts';
import { smallTable } from '../lib/table.ts';
import { type Resource, resourceFor } from '../resources/resource.ts';
import { type ResourceTable, shardKey } from '../resources/view.ts';
import { translateWorkload, type WorkloadResources } from '../translate/index.ts';
import { type OnDemandListeners, onDemandListeners } from '../translate/ondemand/index.ts';
import type { ClassViews } from './class-views.ts';

export interface OwnViews {
  /** The same objects while the drafts are the same. */
  readonly tables: ReadonlyMap<string, ResourceTable>;
  readonly findings: () => readonly Finding[];
  /** Of a class that is on demand. */
  readonly onDemand?: OnDemandListeners | undefined;
}

/** The workload's own resources under a scope: the same object while they are the same. */
export function ownViews({ scope, resources }: ClassViews, workload: Workload): OwnViews {
  return viewsOf(translateWorkload(scope, workload, resources), scope.proxyClass.onDemand !== undefined);
}

const viewsOf = memo(({ clusters, endpoints, listeners, findings }: WorkloadResources, sparing: boolean): OwnViews => {
  if (!sparing) return { tables: tablesOf(clusters, endpoints, listeners), findings };
  const onDemand = onDemandListeners(listeners);
  return { tables: tablesOf(clusters, endpoints, onDemand.drafts), findings, onDemand };
});

const tablesOf = memo(
  (clusters: readonly Draft[], endpoints: readonly Draft[], listeners: readonly Draft[]): OwnViews['tables'] =>
    new Map([
      [TYPE_URL.cluster, ownTable(clusters)],
      ...(endpoints.length === 0 ? [] : [[TYPE_URL.endpoint, ownTable(endpoints)] as const]),
      [TYPE_URL.listener, ownTable(listeners)],
    ]),
);

const ownTable = memo((drafts: readonly Draft[]): ResourceTable => {
  const groups = new Map<string, Resource[]>();
  for (const draft of drafts) {
    const key = shardKey(draft.name);
    const group = groups.get(key);
    if (group === undefined) groups.set(key, [resourceFor(draft)]);
    else group.push(resourceFor(draft));
  }
  return smallTable(groups);
});
