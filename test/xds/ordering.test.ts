// Make before break: a route never points at a cluster that the proxy doesn't have, at no moment of a change.

import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { Mode } from '../../src/xds/encode.ts';
import {
  between,
  CLUSTER,
  changeOf,
  ENDPOINT,
  Host,
  LISTENER,
  Link,
  MODES,
  NAME_TABLE,
  names,
  ROUTE,
  SECRET,
  World,
} from './support.ts';

/** A mesh whose only route points at these clusters, each with endpoints. */
function mesh(world: World, clusters: readonly string[], route: string, before: readonly string[] = []): void {
  const gone = before.filter((name) => !clusters.includes(name));
  const change = Object.fromEntries([
    ...gone.map((name) => [name, undefined] as const),
    ...clusters.map((name) => [name, '1'] as const),
  ]);
  world.set(CLUSTER, change).set(ENDPOINT, change).set(ROUTE, { r: route }).set(LISTENER, { l: route });
}

/** An Envoy that has CDS, then EDS of its clusters, LDS and RDS. */
function synced(mode: Mode, world = new World()): { world: World; host: Host; link: Link } {
  const host = new Host(world);
  const link = new Link(host, mode);
  if (Object.keys(world.contents(CLUSTER)).length === 0) mesh(world, ['a'], 'a');
  link.subscribe(CLUSTER).settle();
  link.subscribe(ENDPOINT, Object.keys(link.held(CLUSTER))).settle();
  link.subscribe(LISTENER).subscribe(ROUTE, ['r']).settle();
  link.updates.length = 0;
  return { world, host, link };
}

/** As Envoy: on a response with clusters it asks for endpoints of new ones before it acknowledges. */
function takeAsEnvoy(link: Link): string | undefined {
  const [bytes] = link.inbox;
  if (bytes === undefined) return undefined;
  const { verdict } = link;
  link.verdict = (update) => {
    const rejection = verdict(update);
    if (update.typeUrl === CLUSTER && rejection === undefined) {
      const known = link.client.names(ENDPOINT);
      const fresh = names(update).filter((name) => !known.has(name));
      const gone =
        link.client.mode === 'delta' ? update.removed : [...known].filter((name) => !names(update).includes(name));
      if (fresh.length > 0) link.stream.request(link.client.subscribe(ENDPOINT, fresh));
      if (gone.length > 0) link.stream.request(link.client.unsubscribe(ENDPOINT, gone));
    }
    return rejection;
  };
  const update = link.take();
  link.verdict = verdict;
  return update?.typeUrl;
}

function types(list: readonly { readonly typeUrl: string }[]): string[] {
  return list.map((update) => update.typeUrl.replace(/.*\./, ''));
}

describe.each(MODES)('%s', (mode) => {
  it('sends clusters, endpoints, listeners, routes, then takes clusters away', () => {
    const { world, link } = synced(mode);
    mesh(world, ['b'], 'b', ['a']);
    world.wake();
    link.host.run();
    while (takeAsEnvoy(link) !== undefined) expect(Object.keys(link.held(CLUSTER))).toContain(link.held(ROUTE)['r']);
    const order = types(link.updates);
    expect(order.slice(0, 5)).toEqual([
      'Cluster',
      'ClusterLoadAssignment',
      'Listener',
      'RouteConfiguration',
      'Cluster',
    ]);
    expect(link.held(CLUSTER)).toEqual({ b: '1' });
    expect(link.held(ENDPOINT)).toEqual({ b: '1' });
  });

  it('takes away at once what nothing can refer to', () => {
    const { world, link } = synced(mode);
    changeOf(world, CLUSTER, { a: undefined });
    expect(types(link.settle())).toEqual(['Cluster']);
    expect(link.held(CLUSTER)).toEqual({});
  });

  it('a change of endpoints alone waits for nothing', () => {
    const { world, host, link } = synced(mode);
    changeOf(world, LISTENER, { l: '2' });
    host.run();
    changeOf(world, ENDPOINT, { a: '2' });
    host.run();
    expect(link.inbox).toHaveLength(2);
  });

  it('types that the client has not asked for keep nothing back', () => {
    const world = new World();
    mesh(world, ['a'], 'a');
    const host = new Host(world);
    const link = new Link(host, mode);
    link.subscribe(LISTENER).settle();
    mesh(world, ['b'], 'b', ['a']);
    world.wake();
    expect(types(link.settle())).toEqual(['Listener']);
  });

  it('a first sync is never kept back', () => {
    const world = new World();
    mesh(world, ['a'], 'a');
    const host = new Host(world);
    const link = new Link(host, mode);
    link
      .subscribe(CLUSTER)
      .subscribe(LISTENER)
      .subscribe(ENDPOINT, ['a'])
      .subscribe(ROUTE, ['r'])
      .subscribe(SECRET, ['s']);
    expect(link.inbox).toHaveLength(mode === 'delta' ? 5 : 4);
  });

  it('a rejection counts as an answer', () => {
    const { world, link } = synced(mode);
    link.verdict = (update) => (update.typeUrl === CLUSTER ? 'no' : undefined);
    mesh(world, ['b'], 'b', ['a']);
    world.wake();
    link.host.run();
    while (takeAsEnvoy(link) !== undefined);
    expect(link.held(ROUTE)).toEqual({ r: 'b' });
  });

  it('a client that answers late is waited for, but not for ever', () => {
    const { world, host, link } = synced(mode);
    mesh(world, ['a', 'b'], 'b');
    world.wake();
    host.run();
    expect(types([...link.status.types].filter((type) => type.unanswered > 0))).toEqual(['Cluster']);
    host.timers.advance(4_900);
    host.run();
    expect(link.inbox).toHaveLength(1);
    host.timers.advance(200);
    host.run();
    const unanswered = types([...link.status.types].filter((type) => type.unanswered > 0));
    expect(unanswered).toEqual(['Cluster', 'Listener', 'RouteConfiguration']);
    expect(host.metrics.of('pilot_xds_order_timeout')).toBeGreaterThan(0);
  });

  it('removals wait for late answers, but not for ever', () => {
    const { world, host, link } = synced(mode);
    world.set(CLUSTER, { a: undefined, b: '1' }).set(ROUTE, { r: 'b' });
    world.wake();
    host.run();
    takeAsEnvoy(link);
    while (link.inbox.length > 0 && !(link.inbox[0]?.includes('RouteConfiguration') ?? false)) takeAsEnvoy(link);
    expect(link.inbox).toHaveLength(1);
    expect(Object.keys(link.held(CLUSTER))).toEqual(['a', 'b']);
    host.timers.advance(5_100);
    host.run();
    const routes = link.inbox.shift();
    expect(routes?.includes('RouteConfiguration')).toBe(true);
    takeAsEnvoy(link);
    expect(Object.keys(link.held(CLUSTER))).toEqual(['b']);
  });

  it('secrets and other types go their own way', () => {
    const { world, host, link } = synced(mode);
    world.set(SECRET, { s: '1' }).set(NAME_TABLE, { '': '1' });
    link.subscribe(SECRET, ['s']).subscribe(NAME_TABLE).settle();
    mesh(world, ['a', 'b'], 'b');
    world.set(SECRET, { s: '2' });
    world.wake();
    host.run();
    expect(link.inbox.some((bytes) => bytes.includes('transport_sockets.tls.v3.Secret'))).toBe(true);
  });

  it('no timer is left when all is quiet', () => {
    const { world, host, link } = synced(mode);
    mesh(world, ['b'], 'b', ['a']);
    world.wake();
    link.settle();
    expect(host.timers.pending).toBe(0);
  });

  it('whatever changes, and whenever the client answers: no route without its cluster and endpoints', () => {
    const step = fc.oneof(
      fc.record({
        op: fc.constant('mesh' as const),
        extra: fc.subarray(['a', 'b', 'c', 'd']),
        route: fc.constantFrom('a', 'b', 'c', 'd'),
      }),
      fc.record({
        op: fc.constant('content' as const),
        name: fc.constantFrom('a', 'b', 'c', 'd'),
        content: fc.constantFrom('1', '2', '3'),
      }),
      fc.constant({ op: 'take' as const }),
      fc.constant({ op: 'take' as const }),
    );
    fc.assert(
      fc.property(fc.array(step, { maxLength: 40, size: 'max' }), (list) => {
        const { world, host, link } = synced(mode);
        let current: readonly string[] = ['a'];
        const check = (): void => {
          const route = link.held(ROUTE)['r'] ?? '';
          expect([route, Object.keys(link.held(CLUSTER)).includes(route)]).toEqual([route, true]);
          expect([route, Object.keys(link.held(ENDPOINT)).includes(route)]).toEqual([route, true]);
        };
        for (const item of list) {
          if (item.op === 'mesh') {
            const next = [...new Set([...item.extra, item.route])].sort();
            mesh(world, next, item.route, current);
            current = next;
            world.wake();
          } else if (item.op === 'content' && current.includes(item.name)) {
            world.set(CLUSTER, { [item.name]: item.content }).wake();
          } else {
            host.run();
            takeAsEnvoy(link);
            check();
          }
        }
        host.run();
        while (takeAsEnvoy(link) !== undefined) check();
        expect(link.held(CLUSTER)).toEqual(world.contents(CLUSTER));
        expect(link.held(ENDPOINT)).toEqual(world.contents(ENDPOINT));
        expect(link.held(LISTENER)).toEqual(world.contents(LISTENER));
        expect(link.held(ROUTE)).toEqual(world.contents(ROUTE));
        expect(link.ended).toBeUndefined();
        expect(host.timers.pending).toBe(0);
      }),
      { numRuns: 300 * between.scale },
    );
  });
});
