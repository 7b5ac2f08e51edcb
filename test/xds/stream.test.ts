// One stream and its surroundings: slow clients, bad requests, sharing, status.

import { describe, expect, it } from 'vitest';
import { decodeJson, encodeJson } from '../../src/codec/index.ts';
import { emptyTable } from '../../src/lib/table.ts';
import { type View, viewResources } from '../../src/resources/view.ts';
import { Admission } from '../../src/xds/admission.ts';
import { nodeOf } from '../../src/xds/client-state.ts';
import { Encoder } from '../../src/xds/encode.ts';
import { NamePool } from '../../src/xds/names.ts';
import { readDeltaRequest, readSotwRequest } from '../../src/xds/requests.ts';
import { Scheduler } from '../../src/xds/scheduler.ts';
import { bytesField, stringField } from '../../src/xds/wire.ts';
import {
  between,
  CLUSTER,
  changeOf,
  ENDPOINT,
  Host,
  LISTENER,
  Link,
  ManualTimers,
  MODES,
  names,
  ROUTE,
  resource,
  World,
} from './support.ts';

describe.each(MODES)('a slow client, %s', (mode) => {
  it('is sent nothing more until it reads, then the latest of all', () => {
    const world = new World().set(CLUSTER, { a: '1' }).set(LISTENER, { l: '1' });
    const host = new Host(world);
    const link = new Link(host, mode);
    link.room = 1;
    link.subscribe(CLUSTER).subscribe(LISTENER);
    expect(link.inbox).toHaveLength(1);
    for (let i = 0; i < 100; i++) {
      changeOf(world, LISTENER, { l: String(i) });
      host.run();
    }
    expect(link.inbox).toHaveLength(1);
    expect(link.status.blockedSince).toBe(host.timers.now);
    link.room = Number.POSITIVE_INFINITY;
    link.stream.writable();
    link.settle();
    expect(link.held(LISTENER)).toEqual({ l: '99' });
    expect(link.updates).toHaveLength(2);
    expect(host.timers.pending).toBe(0);
  });

  it('is looked at again when it reads if there is more for it, and only then', () => {
    const world = new World().set(CLUSTER, { a: '1' }).set(LISTENER, { l: '1' });
    const host = new Host(world);
    const link = new Link(host, mode);
    link.subscribe(CLUSTER).subscribe(LISTENER).settle();
    link.room = 1;
    changeOf(world, LISTENER, { l: '2' });
    host.run();
    expect(link.inbox).toHaveLength(1);
    link.stream.writable();
    expect(host.context.scheduler.waiting).toBe(0);
    changeOf(world, LISTENER, { l: '3' });
    changeOf(world, CLUSTER, { a: '3' });
    host.run();
    link.room = Number.POSITIVE_INFINITY;
    link.stream.writable();
    link.settle();
    expect(link.held(LISTENER)).toEqual({ l: '3' });
    expect(link.held(CLUSTER)).toEqual({ a: '3' });
  });

  it('that reads nothing is cut off; one that reads a little is not', () => {
    const world = new World().set(CLUSTER, { a: '1' });
    const host = new Host(world);
    const link = new Link(host, mode);
    link.room = 1;
    link.subscribe(CLUSTER);
    host.timers.advance(59_000);
    link.taken += 20_000;
    host.timers.advance(2_000);
    expect(link.ended).toBeUndefined();
    // Answers to pings are no reading.
    link.taken += 100;
    host.timers.advance(60_000);
    host.run();
    expect(link.ended).toMatchObject({ code: 14, cut: true });
    expect(host.metrics.of('pilot_xds_write_timeout')).toBe(1);
    expect(world.sessions.size).toBe(0);
    expect(host.timers.pending).toBe(0);
  });

  it('that never answers costs bounded memory', () => {
    const names = Array.from({ length: 500 * between.scale }, (_, i) => `e${i}`);
    const world = new World().set(ENDPOINT, Object.fromEntries(names.map((name) => [name, '1'])));
    const link = new Link(new Host(world), 'delta');
    for (const name of names) link.subscribe(ENDPOINT, [name]);
    expect(link.status.types[0]?.unanswered).toBe(32);
  });
});

describe('a stream', () => {
  it('ends when a request cannot be read', () => {
    const world = new World();
    const link = new Link(new Host(world), 'delta');
    link.subscribe(CLUSTER);
    link.raw(Buffer.from([0xff, 0xff, 0xff]));
    expect(link.ended).toMatchObject({ code: 3 });
    expect(world.sessions.size).toBe(0);
  });

  it('ends when its first request does not say who is there', () => {
    const link = new Link(new Host(new World()), 'sotw');
    link.raw(stringField(4, CLUSTER));
    expect(link.ended).toMatchObject({ code: 3 });
  });

  it('ends with the code of a refusal', () => {
    const world = new World();
    world.refuse = { kind: 'refused', code: 7, message: 'not you' };
    const link = new Link(new Host(world), 'sotw').subscribe(CLUSTER);
    expect(link.ended).toMatchObject({ code: 7, message: 'not you' });
  });

  it('ends alone when something of ours fails', () => {
    const world = new World().set(CLUSTER, { a: '1' });
    const host = new Host(world);
    const [bad, good] = [new Link(host, 'delta'), new Link(host, 'delta')];
    bad.subscribe(CLUSTER).settle();
    good.subscribe(CLUSTER).settle();
    const [session] = world.sessions;
    if (session !== undefined) {
      session.view = () => {
        throw new Error('bug');
      };
    }
    changeOf(world, CLUSTER, { a: '2' });
    good.settle();
    expect(bad.ended).toMatchObject({ code: 13 });
    expect(good.held(CLUSTER)).toEqual({ a: '2' });
    expect(host.metrics.of('pilot_total_xds_internal_errors')).toBe(1);
  });

  it('takes no notice of a health report before the first request', () => {
    const world = new World().set(CLUSTER, { a: '1' });
    const link = new Link(new Host(world), 'sotw');
    link.raw(stringField(4, 'type.googleapis.com/istio.v1.HealthInformation'));
    expect(link.ended).toBeUndefined();
    link.subscribe(CLUSTER).settle();
    expect(link.held(CLUSTER)).toEqual({ a: '1' });
  });

  it('tells the session the names and what was sent and taken', () => {
    const world = new World().set(ENDPOINT, { a: '1' });
    const link = new Link(new Host(world), 'delta', 'sidecar~1.2.3.4~a.b~c');
    link.subscribe(ENDPOINT, ['a', 'b']).settle();
    const [session] = world.sessions;
    expect(session?.node.id).toBe('sidecar~1.2.3.4~a.b~c');
    expect([...(session?.named.get(ENDPOINT) ?? [])]).toEqual(['a', 'b']);
    expect(session?.sentEvents).toMatchObject([{ resources: 1, removed: 1 }]);
    expect(session?.ackedNonces).toEqual([session?.sentEvents[0]?.nonce]);
    link.stream.closed();
    link.stream.closed();
    link.host.run();
    expect(session?.closed).toBe(1);
  });

  it('sees names before the view is asked for, so that a view can be made for them', () => {
    const world = new World();
    const host = new Host(world);
    const link = new Link(host, 'sotw');
    const made = new World().set(ENDPOINT, { q: '1' }).views.get(ENDPOINT);
    const { connect } = world;
    world.connect = (node, peer, wake) => {
      const session = connect.call(world, node, peer, wake);
      if (session.kind === 'refused' || made === undefined) return session;
      session.names = (): void => {
        for (const one of world.sessions) one.views.set(ENDPOINT, made);
      };
      return session;
    };
    expect(link.subscribe(ENDPOINT, ['q']).settle().map(names)).toEqual([['q']]);
  });
});

describe('what streams share', () => {
  const many = Array.from({ length: 1000 }, (_, i) => `outbound|80||svc${i}.ns.svc.cluster.local`);
  const world = new World().set(ENDPOINT, Object.fromEntries(many.map((name) => [name, 'x'.repeat(50)])));

  it.each(MODES)('hundreds of streams that subscribe to the same 1000 names keep one set and one body, %s', (mode) => {
    const host = new Host(world);
    const links = Array.from({ length: 500 * between.scale }, (_, i) => new Link(host, mode, `proxy-${i}`));
    const [request = Buffer.alloc(0)] = links.slice(-1).map((link) => link.client.subscribe(ENDPOINT, many));
    for (const link of links) link.raw(Buffer.from(request));
    const bodies = host.encoder.built;
    expect(links.every((link) => link.inbox.length === 1)).toBe(true);
    const [last] = links.slice(-1);
    last?.settle();
    expect(last?.client.held(ENDPOINT).size).toBe(1000);
    const sets = new Set([...world.sessions].map((session) => session.named.get(ENDPOINT)));
    expect(sets.size).toBe(1);
    expect(host.pool.size).toBe(1);
    expect(bodies).toBeLessThan(400_000);
    for (const link of links) link.stream.closed();
    host.run();
    expect(world.sessions.size).toBe(0);
    expect(host.context.scheduler.waiting).toBe(0);
  });

  it('a set of names is one object however it came to be', () => {
    const pool = new NamePool();
    const abc = pool.of(['a', 'b', 'c']);
    expect(pool.of(['c', 'a', 'b'])).toBe(abc);
    expect(pool.change(pool.of(['a', 'd']), ['b', 'c'], ['d'])).toBe(abc);
    expect(pool.change(abc, ['a'], ['x'])).toBe(abc);
    expect(pool.of(['a', 'b', 'd'])).not.toBe(abc);
    expect(pool.change(abc, [], ['a', 'b', 'c'])).toBe(pool.of([]));
  });

  it('a list of names that is known is not decoded again', () => {
    const pool = new NamePool();
    const wire = Buffer.concat(['a', 'b'].map((name) => bytesField(3, Buffer.from(name))));
    let decoded = 0;
    const decode = (): string[] => {
      decoded++;
      return ['a', 'b'];
    };
    const set = pool.ofWire(wire, undefined, decode);
    expect(pool.ofWire(Buffer.from(wire), set, decode)).toBe(set);
    expect(pool.ofWire(Buffer.from(wire), undefined, decode)).toBe(set);
    expect(decoded).toBe(1);
  });

  it.each(MODES)('a large resource that is sent alone is not copied, %s', (mode) => {
    const encoder = new Encoder();
    const large = resource(ROUTE, '80', 'x'.repeat(100_000));
    const out = { typeUrl: ROUTE, version: 'v', nonce: 'n', removed: [] };
    const message = encoder.message(mode, { ...out, chunks: [{ resources: [large], shared: true }] });
    expect(message.pieces).toContain(large.bytes);
    expect(encoder.built).toBe(0);
    const own = encoder.message(mode, { ...out, chunks: [{ resources: [large], shared: false }] });
    expect(message.bytes()).toEqual(own.bytes());
  });

  it.each(MODES)('large resources are not copied beside small ones, however often they are sent, %s', (mode) => {
    const encoder = new Encoder();
    const large = [20_000, 100_000].map((size) => resource(ROUTE, `${size}`, 'x'.repeat(size)));
    const resources = [resource(ROUTE, 'a', 'x'), ...large, resource(ROUTE, 'b', 'y')];
    const out = { typeUrl: ROUTE, version: 'v', nonce: 'n', removed: [], chunks: [{ resources, shared: true }] };
    const messages = [0, 1, 2].map(() => encoder.message(mode, out));
    for (const message of messages) {
      expect(message.pieces).toEqual(expect.arrayContaining(large.map(({ bytes }) => bytes)));
      expect(message.bytes()).toEqual(messages[0]?.bytes());
    }
    expect(encoder.built).toBeLessThan(1000);
  });

  it('bodies are kept within the budget', () => {
    const encoder = new Encoder({ bodyBudget: 1000 });
    const out = { typeUrl: CLUSTER, version: 'v', nonce: 'n', removed: [] };
    const chunks = ['a', 'b', 'c'].map((name) => ({
      resources: [resource(CLUSTER, name, 'x'.repeat(400))],
      shared: true,
    }));
    const sent = () => chunks.map((chunk) => encoder.message('delta', { ...out, chunks: [chunk] }).bytes());
    const first = sent();
    expect(sent()).toEqual(first);
    expect(sent()).toEqual(first);
    expect(encoder.built).toBeGreaterThan(first.reduce((sum, bytes) => sum + bytes.length, 0) * 1.3);
  });

  it('nothing is built of what is sent to one stream alone', () => {
    const encoder = new Encoder();
    const own = { resources: [resource(CLUSTER, 'a', 'x'), resource(CLUSTER, 'b', 'y')], shared: true };
    const out = { typeUrl: CLUSTER, version: 'v', nonce: 'n', removed: [], chunks: [own] };
    const first = encoder.message('delta', out).bytes();
    expect(encoder.built).toBe(0);
    expect(encoder.message('delta', out).bytes()).toEqual(first);
    const { built } = encoder;
    expect(built).toBeGreaterThan(0);
    expect(encoder.message('delta', out).bytes()).toEqual(first);
    expect(encoder.built).toBe(built);
  });
});

describe('messages', () => {
  const view: View = new World().set(CLUSTER, { a: 'x', b: 'y'.repeat(300) }).views.get(CLUSTER) ?? {
    typeUrl: '',
    parts: [emptyTable()],
  };
  const resources = [...viewResources(view)].sort((a, b) => (a.name < b.name ? -1 : 1));
  const out = {
    typeUrl: CLUSTER,
    version: 'v1',
    nonce: 'n1',
    chunks: [{ resources, shared: true }],
    removed: ['c', 'd'],
  };

  it('are what protobuf says, delta', () => {
    const bytes = new Encoder({ identifier: 'me' }).message('delta', out).bytes();
    const json = decodeJson('envoy.service.discovery.v3.DeltaDiscoveryResponse', bytes) as Record<string, unknown>;
    expect(json).toMatchObject({
      systemVersionInfo: 'v1',
      typeUrl: CLUSTER,
      nonce: 'n1',
      removedResources: ['c', 'd'],
      resources: resources.map(({ name, version }) => ({ name, version })),
    });
  });

  it('are what protobuf says, state of the world', () => {
    const bytes = new Encoder({ identifier: 'me' }).message('sotw', out).bytes();
    const json = decodeJson('envoy.service.discovery.v3.DiscoveryResponse', bytes) as Record<string, unknown>;
    expect(json).toMatchObject({
      versionInfo: 'v1',
      typeUrl: CLUSTER,
      nonce: 'n1',
      controlPlane: { identifier: 'me' },
    });
    expect(json['resources']).toHaveLength(2);
  });

  it('requests are read as protobuf says', () => {
    const pool = new NamePool();
    const node = {
      id: 'sidecar~1~2~3',
      cluster: 'c',
      metadata: { NAMESPACE: 'ns', LABELS: { app: 'x' }, list: [1, true, 'y', null], __proto__x: 1.5 },
      locality: { region: 'r', zone: 'z', subZone: 's' },
      userAgentName: 'envoy',
      userAgentBuildVersion: { version: { majorNumber: 1, minorNumber: 40 } },
    };
    const sotw = readSotwRequest(
      Buffer.from(
        encodeJson('envoy.service.discovery.v3.DiscoveryRequest', {
          versionInfo: 'v',
          node,
          resourceNames: ['a', 'ü'],
          typeUrl: CLUSTER,
          responseNonce: 'n',
          errorDetail: { code: 3, message: 'no' },
        }),
      ),
      pool,
      () => undefined,
    );
    expect(sotw).toMatchObject({ version: 'v', nonce: 'n', typeUrl: CLUSTER, error: 'no' });
    expect([...sotw.names.names]).toEqual(['a', 'ü']);
    expect(sotw.node).toEqual({
      id: node.id,
      cluster: 'c',
      metadata: node.metadata,
      locality: node.locality,
      userAgentName: 'envoy',
      userAgentVersion: '1.40.0',
    });
    const delta = readDeltaRequest(
      Buffer.from(
        encodeJson('envoy.service.discovery.v3.DeltaDiscoveryRequest', {
          typeUrl: ENDPOINT,
          resourceNamesSubscribe: ['a', 'b'],
          resourceNamesUnsubscribe: ['c'],
          initialResourceVersions: { a: '1', b: '2' },
          responseNonce: 'n',
          errorDetail: {},
        }),
      ),
      pool,
    );
    expect(delta).toMatchObject({ typeUrl: ENDPOINT, nonce: 'n', error: '', node: undefined });
    expect([[...delta.subscribe.names], [...delta.unsubscribe.names]]).toEqual([['a', 'b'], ['c']]);
    expect([...delta.stated.read()]).toEqual([
      ['a', '1'],
      ['b', '2'],
    ]);
  });

  it('names may be scattered over a request', () => {
    const pool = new NamePool();
    const bytes = Buffer.concat([
      bytesField(3, Buffer.from('a')),
      stringField(2, CLUSTER),
      bytesField(3, Buffer.from('b')),
      bytesField(1, nodeOf('x')),
      bytesField(3, Buffer.from('c')),
    ]);
    expect([...readDeltaRequest(bytes, pool).subscribe.names]).toEqual(['a', 'b', 'c']);
  });

  it('bytes that are no request throw, whatever they are', () => {
    const pool = new NamePool();
    const good = encodeJson('envoy.service.discovery.v3.DeltaDiscoveryRequest', {
      node: { id: 'n', metadata: { a: { b: [1, 'x'] } } },
      typeUrl: ENDPOINT,
      resourceNamesSubscribe: ['a', 'b'],
    });
    let rejected = 0;
    for (let cut = 0; cut < good.length; cut++) {
      for (const flip of [0, 1, 7, 128, 255]) {
        const bytes = Buffer.from(good.subarray(0, cut + 1));
        bytes[cut] = (bytes[cut] ?? 0) ^ flip;
        try {
          readDeltaRequest(bytes, pool);
        } catch (error) {
          rejected++;
          expect((error as Error).constructor.name).toBe('WireError');
        }
      }
    }
    expect(rejected).toBeGreaterThan(50);
  });

  it('metadata nested without end is refused', () => {
    let value = stringField(3, 'x');
    for (let i = 0; i < 500; i++)
      value = bytesField(5, bytesField(1, Buffer.concat([stringField(1, 'k'), bytesField(2, value)])));
    const struct = bytesField(1, Buffer.concat([stringField(1, 'k'), bytesField(2, value)]));
    const node = Buffer.concat([stringField(1, 'n'), bytesField(3, struct)]);
    expect(() => readDeltaRequest(bytesField(1, node), new NamePool())).toThrow('nested too deeply');
  });
});

describe('admission', () => {
  it('admits a burst, lets some wait, refuses the rest', () => {
    const timers = new ManualTimers();
    const admission = new Admission({ clock: { now: () => timers.now }, timers, rate: 10 });
    const answers: string[] = [];
    for (let i = 0; i < 25; i++) admission.ask((admitted) => answers.push(admitted ? 'yes' : 'no'));
    expect(answers.filter((answer) => answer === 'yes')).toHaveLength(10);
    expect(answers.filter((answer) => answer === 'no')).toHaveLength(5);
    timers.advance(1_000);
    expect(answers.filter((answer) => answer === 'yes')).toHaveLength(20);
    timers.advance(500);
    const later: boolean[] = [];
    admission.ask((admitted) => later.push(admitted));
    expect(later).toEqual([true]);
  });

  it('a caller that leaves while it waits is not called', () => {
    const timers = new ManualTimers();
    const admission = new Admission({ clock: { now: () => timers.now }, timers, rate: 1 });
    const answers: boolean[] = [];
    admission.ask((admitted) => answers.push(admitted));
    admission.ask((admitted) => answers.push(admitted))();
    timers.advance(5_000);
    expect(answers).toEqual([true]);
    expect(timers.pending).toBe(0);
  });
});

describe('when much is on its way already', () => {
  const synced = (world: World): { host: Host; first: Link } => {
    const host = new Host(world);
    const first = new Link(host, 'delta', 'first').subscribe(CLUSTER);
    first.settle();
    return { host, first };
  };

  it('first syncs wait their turn, and changes do not', () => {
    const world = new World().set(CLUSTER, { a: '1' });
    const { host, first } = synced(world);
    host.unsent.add(1_000);
    const late = ['x', 'y', 'z'].map((id) => new Link(host, 'delta', id).subscribe(CLUSTER));
    expect(late.map((link) => link.inbox.length)).toEqual([0, 0, 0]);
    expect(host.metrics.of('meltemi_waiting_streams')).toBe(3);
    changeOf(world, CLUSTER, { a: '2' });
    first.settle();
    expect(first.held(CLUSTER)).toEqual({ a: '2' });
    // Each that goes on is on its way itself: the next waits for it.
    for (const link of late) link.onWrite = () => host.unsent.add(500);
    host.unsent.add(-500);
    host.run();
    expect(late.map((link) => link.inbox.length)).toEqual([1, 0, 0]);
    host.unsent.add(-800);
    host.run();
    expect(late.map((link) => link.inbox.length)).toEqual([1, 1, 1]);
    expect(host.metrics.of('meltemi_waiting_streams')).toBe(0);
    for (const link of late) expect(link.settle()[0]?.resources.map(({ name }) => name)).toEqual(['a']);
  });

  it('who has waited long enough goes on, and who leaves makes room', () => {
    const { host } = synced(new World().set(CLUSTER, { a: '1' }));
    host.unsent.add(5_000);
    const [stays, leaves] = ['x', 'y'].map((id) => new Link(host, 'sotw', id).subscribe(CLUSTER)) as [Link, Link];
    leaves.stream.closed();
    expect(host.metrics.of('meltemi_waiting_streams')).toBe(1);
    host.timers.advance(5_000);
    host.run();
    expect([stays.inbox.length, leaves.inbox.length]).toEqual([1, 0]);
    stays.settle();
    stays.stream.closed();
    host.unsent.add(-5_000);
    const next = new Link(host, 'delta', 'next').subscribe(CLUSTER);
    expect(next.inbox).toHaveLength(1);
    next.settle();
    next.stream.closed();
    expect(host.timers.pending).toBe(0);
  });
});

describe('pushes to many', () => {
  const large = (version: string): string => version.padEnd(18_000, '.');

  function fleet(size: number): { world: World; host: Host; links: readonly Link[] } {
    const world = new World().set(ROUTE, { a: large('1'), b: '1' });
    const host = new Host(world);
    const links = Array.from({ length: size }, (_, i) => new Link(host, 'delta', `p${i}`).subscribe(ROUTE, ['a', 'b']));
    for (const link of links) link.settle();
    return { world, host, links };
  }

  it('large ones wait until those before them are answered, and then bring what is newest', () => {
    const { world, host, links } = fleet(4);
    changeOf(world, ROUTE, { a: large('2') });
    host.run();
    expect(links.map(({ inbox }) => inbox.length)).toEqual([1, 1, 0, 0]);
    expect(host.metrics.of('meltemi_waiting_pushes')).toBe(2);
    changeOf(world, ROUTE, { b: '2' });
    links[0]?.settle();
    host.run();
    expect(links[2]?.inbox).toHaveLength(1);
    for (const link of [...links, ...links]) link.settle();
    for (const link of links) expect(link.held(ROUTE)).toEqual({ a: expect.stringContaining('2..') as string, b: '2' });
    expect(host.metrics.of('pilot_xds_pushes{rds}')).toBe(4 + 2 * 2 + 2);
    expect(host.metrics.of('meltemi_waiting_pushes')).toBe(0);
  });

  it('small ones and answers do not wait, nor does anything long for a silent proxy', () => {
    const { world, host, links } = fleet(4);
    changeOf(world, ROUTE, { a: large('2') });
    host.run();
    const late = new Link(host, 'delta', 'late').subscribe(ROUTE, ['a']);
    expect(late.inbox).toHaveLength(1);
    host.timers.advance(1_000);
    host.run();
    expect(links.map(({ inbox }) => inbox.length)).toEqual([1, 1, 1, 1]);
    for (const link of [...links, late]) link.settle();
    changeOf(world, ROUTE, { b: '2' });
    host.run();
    expect(links.map(({ inbox }) => inbox.length)).toEqual([1, 1, 1, 1]);
  });

  it('a small one goes ahead of a large one that waits, to the same proxy and to others', () => {
    const { world, host, links } = fleet(4);
    changeOf(world, CLUSTER, { c: '1' });
    for (const link of links) link.subscribe(CLUSTER).settle();
    changeOf(world, ROUTE, { a: large('2') });
    host.run();
    expect(links.map(({ inbox }) => inbox.length)).toEqual([1, 1, 0, 0]);
    changeOf(world, CLUSTER, { c: '2' });
    host.run();
    expect(links.map(({ inbox }) => inbox.length)).toEqual([2, 2, 1, 1]);
    for (const link of [...links, ...links]) link.settle();
    for (const link of links) {
      expect(link.held(CLUSTER)).toEqual({ c: '2' });
      expect(link.held(ROUTE)).toEqual({ a: expect.stringContaining('2..') as string, b: '1' });
    }
    expect(host.metrics.of('meltemi_waiting_pushes')).toBe(0);
  });

  it('a large one whose turn has come does not overtake the small ones of others', () => {
    const { world, host, links } = fleet(4);
    changeOf(world, CLUSTER, { c: '1' });
    for (const link of links) link.subscribe(CLUSTER).settle();
    changeOf(world, ROUTE, { a: large('2') });
    host.run();
    const order: string[] = [];
    for (const [i, link] of links.entries()) link.onWrite = ({ typeUrl }) => order.push(`p${i} ${typeUrl}`);
    const [first, second] = links as [Link, Link];
    const { answer } = second.client.receive(second.inbox.shift() ?? Buffer.alloc(0), () => undefined);
    first.onWrite = ({ typeUrl }) => {
      order.push(`p0 ${typeUrl}`);
      second.stream.request(answer);
    };
    changeOf(world, CLUSTER, { c: '2' });
    host.run();
    expect(order).toEqual([`p0 ${CLUSTER}`, `p1 ${CLUSTER}`, `p2 ${CLUSTER}`, `p2 ${ROUTE}`, `p3 ${CLUSTER}`]);
  });

  it('a proxy that goes makes room', () => {
    const { world, host, links } = fleet(3);
    changeOf(world, ROUTE, { a: large('2') });
    host.run();
    expect(links[2]?.inbox).toHaveLength(0);
    links[0]?.stream.closed();
    host.run();
    expect(links[2]?.inbox).toHaveLength(1);
    for (const link of links) link.stream.closed();
    host.timers.advance(1_000);
    expect(host.timers.pending).toBe(0);
  });
});

describe.each(MODES)('an acknowledgement, %s', (mode) => {
  const started = (): { readonly world: World; readonly host: Host; readonly link: Link } => {
    const world = new World().set(CLUSTER, { a: '1' }).set(LISTENER, { l: '1' });
    const host = new Host(world);
    const link = new Link(host, mode).subscribe(CLUSTER).subscribe(LISTENER);
    link.settle();
    return { world, host, link };
  };

  it('of all that there was to send sets nothing going', () => {
    const { world, host, link } = started();
    changeOf(world, CLUSTER, { a: '2' });
    host.run();
    expect(link.stream.expectsAcknowledgement).toBe(true);
    const { answer } = link.client.receive(link.inbox.shift() ?? Buffer.alloc(0), () => undefined);
    link.stream.request(answer);
    expect(host.context.scheduler.waiting).toBe(0);
    expect(link.stream.expectsAcknowledgement).toBe(false);
  });

  it('for which something waits is followed by it', () => {
    const { world, host, link } = started();
    changeOf(world, CLUSTER, { a: '2' });
    changeOf(world, LISTENER, { l: '2' });
    host.run();
    expect(link.stream.expectsAcknowledgement).toBe(false);
    link.settle();
    expect(link.held(LISTENER)).toEqual({ l: '2' });
  });
});

describe('the scheduler', () => {
  it('says when nobody waits any more', async () => {
    const deferred: (() => void)[] = [];
    const scheduler = new Scheduler({ clock: { now: () => 0 }, defer: (run) => deferred.push(run) });
    await scheduler.idle();
    scheduler.add({ pump: () => {} }, 'push');
    let idle = false;
    const done = scheduler.idle().then(() => (idle = true));
    await Promise.resolve();
    expect(idle).toBe(false);
    deferred.shift()?.();
    await done;
  });

  it('cuts work into slices, answers first, and nobody twice', () => {
    let now = 0;
    const deferred: (() => void)[] = [];
    const scheduler = new Scheduler({ clock: { now: () => now }, defer: (run) => deferred.push(run), slice: 10 });
    const order: string[] = [];
    const stream = (name: string) => ({
      pump: (): void => {
        now += 4;
        order.push(name);
      },
    });
    const [p, a] = [stream('push'), stream('answer')];
    scheduler.add(p, 'push');
    scheduler.add(p, 'push');
    scheduler.add(a, 'answer');
    scheduler.add(a, 'push');
    for (let i = 0; i < 3; i++) scheduler.add(stream(`more${i}`), 'push');
    expect(order).toEqual([]);
    deferred.shift()?.();
    expect(order).toEqual(['answer', 'push', 'more0']);
    expect(deferred).toHaveLength(1);
    deferred.shift()?.();
    expect(order).toEqual(['answer', 'push', 'more0', 'more1', 'more2']);
    expect(deferred).toHaveLength(0);
    expect(scheduler.waiting).toBe(0);
  });

  it('does not starve pushes under a flood of requests', () => {
    const deferred: (() => void)[] = [];
    const scheduler = new Scheduler({ clock: { now: () => 0 }, defer: (run) => deferred.push(run) });
    let pushed = false;
    let answered = 0;
    const flood = {
      pump: (): void => {
        answered++;
        if (!pushed && answered < 1000) scheduler.add(flood, 'answer');
      },
    };
    scheduler.add(
      {
        pump: (): void => {
          pushed = true;
        },
      },
      'push',
    );
    scheduler.add(flood, 'answer');
    deferred.shift()?.();
    expect(pushed).toBe(true);
    expect(answered).toBeLessThan(20);
  });
});
