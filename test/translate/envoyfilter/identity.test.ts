// What patching costs: nothing for those who have no patches, and for the others only what changed.

import { describe, expect, it } from 'vitest';
import type { EnvoyConfigObjectPatch } from '../../../src/config/generated/types.ts';
import type { Draft } from '../../../src/ir/draft.ts';
import { tableEntries, tableGet } from '../../../src/lib/table.ts';
import { patchedCluster } from '../../../src/translate/envoyfilter/cluster.ts';
import { patchedListener } from '../../../src/translate/envoyfilter/listener.ts';
import { patchedRouteConfiguration } from '../../../src/translate/envoyfilter/route.ts';
import { endpointSlice, pod, service, virtualService } from '../../support/builders.ts';
import { rebuilt, withObjects, withoutObjects, world } from '../../support/snapshot-builders.ts';
import { clusterDrafts, everyDraft, filter, HCM, listenerDrafts, lua, type Sent, sent } from './support.ts';

const COUNT = 40;
const objects = Array.from({ length: COUNT }, (_, index) => [
  service(`s${index}`, {
    ports: ['http:80', 'tcp:9000'],
    clusterIPs: [`10.96.1.${index + 1}`],
    selector: { app: `s${index}` },
  }),
  endpointSlice(`s${index}`, [pod(`p${index}`, { ip: `10.0.1.${index + 1}` })], { ports: ['http:80', 'tcp:9000'] }),
]).flat();

const everything: readonly EnvoyConfigObjectPatch[] = [
  { applyTo: 'CLUSTER', patch: { operation: 'MERGE', value: { connect_timeout: '42s' } } },
  {
    applyTo: 'HTTP_FILTER',
    match: { listener: { filterChain: { filter: { name: HCM } } } },
    patch: { operation: 'INSERT_FIRST', value: lua() },
  },
  { applyTo: 'LISTENER', patch: { operation: 'MERGE', value: { per_connection_buffer_limit_bytes: 1 } } },
  { applyTo: 'HTTP_ROUTE', patch: { operation: 'MERGE', value: { metadata: {} } } },
] as unknown as readonly EnvoyConfigObjectPatch[];

const work = () => ({
  clusters: patchedCluster.counts.runs,
  listeners: patchedListener.counts.runs,
  routes: patchedRouteConfiguration.counts.runs,
});

function since(before: ReturnType<typeof work>): ReturnType<typeof work> {
  const now = work();
  return {
    clusters: now.clusters - before.clusters,
    listeners: now.listeners - before.listeners,
    routes: now.routes - before.routes,
  };
}

function texts(of: Sent): readonly string[] {
  return everyDraft(of)
    .map(({ name, bytes }: Draft) => `${name} ${Buffer.from(bytes).toString('base64')}`)
    .sort();
}

describe('without patches', () => {
  it('nothing is looked at, and the drafts are those that were rendered', () => {
    const before = work();
    const { shared } = sent(world([...objects, filter(everything, { namespace: 'elsewhere' })]));
    expect(since(before)).toEqual({ clusters: 0, listeners: 0, routes: 0 });
    expect(shared.clusters).toBe(shared.parts.rendered.clusters);
    expect(shared.listeners).toBe(shared.parts.rendered.listeners);
    expect(shared.routes).toBe(shared.parts.rendered.routes);
  });

  it('drafts that no patch touches are those that were rendered, too', () => {
    const only = filter([
      { applyTo: 'CLUSTER', match: { cluster: { name: 'BlackHoleCluster' } }, patch: { operation: 'REMOVE' } },
    ]);
    const plain = sent(world(objects));
    const { shared } = sent(world([...objects, only]));
    for (const [host, group] of tableEntries(shared.clusters)) {
      expect(group).toBe(tableGet(shared.parts.rendered.clusters, host));
    }
    expect(shared.listeners).toBe(shared.parts.rendered.listeners);
    expect(clusterDrafts(plain).some((draft) => draft.name === 'BlackHoleCluster')).toBe(true);
  });
});

describe('with patches', () => {
  const at = world([...objects, filter(everything)]);

  it('an endpoint patches nothing anew', () => {
    const first = sent(at);
    const before = work();
    const moved = endpointSlice('s3', [pod('p3', { ip: '10.0.9.9' })], { ports: ['http:80', 'tcp:9000'] });
    const second = sent(withObjects(at, moved), {}, first);
    expect(since(before)).toEqual({ clusters: 0, listeners: 0, routes: 0 });
    expect(second.shared.endpoints).not.toBe(first.shared.endpoints);
    expect(second.shared.clusters).toBe(first.shared.clusters);
    expect(second.shared.listeners).toBe(first.shared.listeners);
    expect(second.shared.routes).toBe(first.shared.routes);
  });

  it('a service patches what is made of it', () => {
    const first = sent(at);
    const before = work();
    const changed = service('s3', {
      ports: ['http:80', 'tcp:9001'],
      clusterIPs: ['10.96.1.4'],
      selector: { app: 's3' },
    });
    const second = sent(withObjects(at, changed), {}, first);
    const { clusters, listeners, routes } = since(before);
    expect(clusters).toBeGreaterThan(0);
    expect(clusters).toBeLessThanOrEqual(2);
    expect(listeners).toBeLessThanOrEqual(3);
    expect(routes).toBeLessThanOrEqual(1);
    const kept = listenerDrafts(second).filter((draft) => listenerDrafts(first).includes(draft));
    expect(kept.length).toBeGreaterThan(COUNT - 3);
  });

  it('another class with the same patches shares what they made', () => {
    const first = sent(at, { labels: { app: 'a' } });
    const before = work();
    const second = sent(at, { labels: { app: 'b' }, metadata: { ISTIO_VERSION: '1.99.0' } });
    expect(second.scope).not.toBe(first.scope);
    const { clusters } = since(before);
    expect(clusters).toBe(0);
  });

  it('warm and cold come to the same, whatever came before', () => {
    const other = virtualService('v', { hosts: ['s1'], http: [{ route: [{ destination: { host: 's2' } }] }] });
    const remove = filter(
      [{ applyTo: 'CLUSTER', match: { cluster: { portNumber: 9000 } }, patch: { operation: 'REMOVE' } }],
      { name: 'remove' },
    );
    let now = at;
    let state = sent(now);
    const steps = [
      () => withObjects(now, other),
      () => withObjects(now, remove),
      () => withoutObjects(now, filter([], {})),
      () => withoutObjects(now, remove),
      () => withObjects(now, filter(everything.slice(1))),
    ];
    for (const step of steps) {
      now = step();
      state = sent(now, {}, state);
      const cold = sent(rebuilt(now, ['Service', 'EndpointSlice', 'VirtualService', 'EnvoyFilter']));
      expect(texts(state)).toEqual(texts(cold));
    }
  });

  it('each patched resource names the object and the patch', () => {
    const draft = listenerDrafts(sent(at)).find(({ name }) => name === '0.0.0.0_80');
    const fields = draft?.origins.filter((origin) => origin.kind === 'EnvoyFilter').map((origin) => origin.field);
    expect(fields).toEqual(['spec.configPatches[1]', 'spec.configPatches[2]']);
  });
});
