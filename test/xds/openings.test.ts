// Streams that say what they have: few at a time, from memory that is used again, and nothing of it is lost or mixed up.

import { credentials, Server, ServerCredentials } from '@grpc/grpc-js';
import fc from 'fast-check';
import { afterEach, describe, expect, it } from 'vitest';
import { FrameReader } from '../../src/grpc/frames.ts';
import { SharedMemory } from '../../src/grpc/message-memory.ts';
import { AdsClient } from '../../src/xds/client.ts';
import { nodeOf } from '../../src/xds/client-state.ts';
import { PATIENCE_MS } from '../../src/xds/gate.ts';
import { Backlog, Intake } from '../../src/xds/intake.ts';
import { Openings } from '../../src/xds/openings.ts';
import type { ProxySession, ViewPort } from '../../src/xds/port.ts';
import { Scheduler } from '../../src/xds/scheduler.ts';
import { startXds, XDS_CHANNEL_OPTIONS } from '../../src/xds/server.ts';
import { CLUSTER, Host, Link, ManualTimers, Metrics, silentLog, World } from './support.ts';

const cleanups: (() => void)[] = [];
afterEach(() => {
  for (const cleanup of cleanups.splice(0).reverse()) cleanup();
});

describe('streams that open', () => {
  function gate(limit: number) {
    const timers = new ManualTimers();
    const metrics = new Metrics();
    const waiting = metrics.gauge('waiting');
    const openings = new Openings({ timers, limit, waiting });
    const opened: number[] = [];
    const busy = new Set<number>();
    const begin = (id: number) =>
      openings.begin(() => {
        opened.push(id);
        return () => busy.has(id);
      });
    return { timers, metrics, opened, begin, busy };
  }

  it('are so many at a time, in the order of their coming', () => {
    const { timers, metrics, opened, begin } = gate(2);
    const all = [0, 1, 2, 3, 4].map(begin);
    expect(opened).toEqual([0, 1]);
    expect(metrics.of('waiting')).toBe(3);
    all[1]?.over();
    expect(opened).toEqual([0, 1, 2]);
    all[3]?.over();
    all[0]?.over();
    all[0]?.over();
    expect(opened).toEqual([0, 1, 2, 4]);
    for (const opening of all) opening.over();
    expect(metrics.of('waiting')).toBe(0);
    expect(timers.pending).toBe(0);
  });

  it('do not wait for long for those that say nothing', () => {
    const { timers, opened, begin } = gate(1);
    for (const id of [0, 1, 2]) begin(id);
    timers.advance(PATIENCE_MS - 1);
    expect(opened).toEqual([0]);
    timers.advance(1);
    expect(opened).toEqual([0, 1]);
    timers.advance(PATIENCE_MS);
    expect(opened).toEqual([0, 1, 2]);
  });

  it('wait for those of which something lies in memory, and for them no more than ten times as long', () => {
    const { timers, opened, begin, busy } = gate(1);
    busy.add(0);
    for (const id of [0, 1, 2]) begin(id);
    timers.advance(PATIENCE_MS * 5);
    expect(opened).toEqual([0]);
    busy.delete(0);
    timers.advance(PATIENCE_MS);
    expect(opened).toEqual([0, 1]);
    busy.add(1);
    timers.advance(PATIENCE_MS * 9);
    expect(opened).toEqual([0, 1]);
    timers.advance(PATIENCE_MS);
    expect(opened).toEqual([0, 1, 2]);
  });

  it('wait for those whose words a busy server has not read yet: it looks more than once', () => {
    const { timers, opened, begin, busy } = gate(1);
    for (const id of [0, 1]) begin(id);
    // The loop was held for long: the first look is due, and what has come in the meantime is read only after it.
    timers.advance(PATIENCE_MS / 2);
    busy.add(0);
    timers.advance(PATIENCE_MS);
    expect(opened).toEqual([0]);
  });

  it('are not let in by one look that came late', () => {
    const due: (() => void)[] = [];
    const setTimeout = (fn: () => void, ms: number): (() => void) => {
      if (ms <= PATIENCE_MS) due.push(fn);
      return () => {};
    };
    const openings = new Openings({ timers: { setTimeout }, limit: 1, waiting: new Metrics().gauge('waiting') });
    const opened: number[] = [];
    let read = false;
    for (const id of [0, 1]) {
      openings.begin(() => {
        opened.push(id);
        return () => read;
      });
    }
    // The loop was held for longer than anybody has patience: all that is due runs, and only then is something read.
    for (const fn of due.splice(0)) fn();
    read = true;
    for (const fn of due.splice(0)) fn();
    expect(opened).toEqual([0]);
  });

  it('wait for those before them on a slow machine, too', () => {
    const { timers, opened, begin } = gate(1);
    const all = Array.from({ length: 20 }, (_, id) => begin(id));
    for (const [id, opening] of all.entries()) {
      expect(opened).toHaveLength(id + 1);
      timers.advance(400);
      opening.over();
    }
    expect(opened).toEqual([...all.keys()]);
  });

  it('are all let in at once when there is no limit', () => {
    const { opened, begin } = gate(0);
    for (const id of [0, 1, 2]) begin(id);
    expect(opened).toEqual([0, 1, 2]);
  });
});

describe('memory for messages', () => {
  const rig = () => {
    const timers = new ManualTimers();
    let collections = 0;
    const memory = new SharedMemory({ timers, collect: () => collections++ });
    return { timers, memory, collections: () => collections };
  };

  it('is used again once it was given back, by one at a time', () => {
    const { memory } = rig();
    const first = memory.take(100_000);
    expect(first.length).toBeGreaterThanOrEqual(100_000);
    const second = memory.take(100_000);
    expect(second.buffer).not.toBe(first.buffer);
    memory.give(first.subarray(0, 10));
    memory.give(first);
    expect(memory.take(100_000).buffer).toBe(first.buffer);
    expect(memory.take(100_000).buffer).not.toBe(first.buffer);
  });

  it('takes nothing that it has not lent, and keeps nothing that is too long', () => {
    const { memory } = rig();
    memory.give(Buffer.alloc(64 * 1024));
    const long = memory.take(3_000_000);
    expect(long.length).toBe(3_000_000);
    memory.give(long);
    expect(memory.free).toBe(0);
  });

  it('is let go once nobody has needed any for a while', () => {
    const { memory, timers } = rig();
    const lent = Array.from({ length: 5_000 }, () => memory.take(32 * 1024));
    for (const bytes of lent) memory.give(bytes);
    expect(memory.free).toBe(32 * 1024 * 1024);
    timers.advance(9_000);
    memory.give(memory.take(32 * 1024));
    timers.advance(10_000);
    expect(memory.free).toBeGreaterThan(0);
    timers.advance(10_000);
    expect(memory.free).toBe(0);
    expect(timers.pending).toBe(0);
  });

  it('has garbage collected by what was copied', () => {
    const { memory, collections } = rig();
    for (let i = 0; i < 100; i++) memory.copied(1024 * 1024);
    expect(collections()).toBe(12);
  });

  it('holds one message whole however it is cut, whoever else reads', () => {
    const { memory } = rig();
    const lengths = fc.array(fc.integer({ min: 0, max: 700_000 }), { minLength: 1, maxLength: 4 });
    fc.assert(
      fc.property(lengths, fc.array(fc.integer({ min: 1, max: 70_000 }), { minLength: 1 }), (sizes, cuts) => {
        // Two streams that take turns: each byte says whose it is, and of which message.
        const streams = [1, 2].map((id) => ({
          id,
          reader: new FrameReader(1_000_000, 'identity', memory),
          got: [] as number[],
        }));
        const bytes = streams.map(({ id }) =>
          Buffer.concat(
            sizes.map((size, i) => {
              const prefix = Buffer.alloc(5);
              prefix.writeUInt32BE(size, 1);
              return Buffer.concat([prefix, Buffer.alloc(size, id * 16 + i)]);
            }),
          ),
        );
        for (let at = 0, turn = 0; at < (bytes[0] as Buffer).length; turn++) {
          const end = at + (cuts[turn % cuts.length] as number);
          for (const { id, reader, got } of streams) {
            reader.read(Buffer.from((bytes[id - 1] as Buffer).subarray(at, end)), (message) => {
              const right = message.every((byte) => byte === id * 16 + got.length);
              got.push(right ? message.length : -1);
              message.fill(0xff);
              memory.give(message);
            });
          }
          at = end;
        }
        for (const { reader, got } of streams) {
          expect(got).toEqual(sizes);
          expect(reader.whole).toBe(true);
        }
      }),
      { numRuns: 8 },
    );
  });
});

/** Views that come later: what proxies find while a mesh returns. */
function later(world: World): ViewPort & { open(): void } {
  let ready = false;
  const connect: ViewPort['connect'] = (node, peer, wake) => {
    const session = world.connect(node, peer, () => wake(0));
    if (session.kind === 'refused') return session;
    return Object.create(session, {
      ready: { get: () => ready },
      view: { value: (typeUrl: string) => (ready ? session.view(typeUrl) : undefined) },
      close: { value: () => session.close() },
      names: { value: session.names.bind(session) },
      wake: { get: () => () => wake(0) },
    }) as ProxySession;
  };
  return {
    connect,
    open: () => {
      ready = true;
    },
  };
}

it('what a client states waits for its views where it lies, and only then makes room', () => {
  const world = new World().set(CLUSTER, { a: '1', b: '1' });
  const host = new Host(world);
  const link = new Link(host, 'delta');
  link.subscribe(CLUSTER).settle();
  world.set(CLUSTER, { b: '2' });
  const views = later(world);
  const returning = new Host(world);
  Object.assign(returning.context, { port: views });
  Object.assign(link, { host: returning });
  link.updates.length = 0;
  link.reconnect();
  expect(link.updates).toEqual([]);
  views.open();
  world.wake();
  link.settle();
  expect(link.updates.map(({ resources }) => resources.map((one) => one.name))).toEqual([['b']]);
});

it('of many that come back few are read from together, and none is sent what it has', async () => {
  const world = new World();
  const name = (i: number): string => `outbound|80||service-${i}.some-namespace.svc.cluster.local`;
  world.set(CLUSTER, Object.fromEntries(Array.from({ length: 1_500 }, (_, i) => [name(i), '1'])));
  const metrics = new Metrics();
  let most = 0;
  const gauge = metrics.gauge.bind(metrics);
  metrics.gauge = (title) => ({
    set: (value) => {
      if (title === 'meltemi_waiting_opens') most = Math.max(most, value);
      gauge(title).set(value);
    },
  });
  const xds = startXds({
    port: world,
    log: silentLog,
    meter: metrics,
    clock: { now: () => Date.now() },
    timers: {
      setTimeout: (fn, ms) => {
        const timer = setTimeout(fn, ms);
        return () => clearTimeout(timer);
      },
    },
    peerOf: () => ({ address: 'test', plaintext: true, identities: [] }),
    maxOpenings: 2,
  });
  const server = new Server(XDS_CHANNEL_OPTIONS);
  const port = await xds.bind(server, { host: '127.0.0.1', port: 0 }, ServerCredentials.createInsecure());
  cleanups.push(() => server.forceShutdown());
  const updates: number[] = [];
  const clients = Array.from({ length: 20 }, (_, i) => {
    const client = new AdsClient({
      address: `127.0.0.1:${port}`,
      credentials: credentials.createInsecure(),
      mode: 'delta',
      node: nodeOf(`proxy-${i}`),
      onUpdate: () => {
        updates[i] = (updates[i] ?? 0) + 1;
      },
    });
    cleanups.push(() => client.close());
    client.subscribe(CLUSTER);
    return client;
  });
  const until = async (ready: () => boolean): Promise<void> => {
    while (!ready()) await new Promise<void>((resolve) => setImmediate(resolve));
  };
  const inSync = (): boolean =>
    xds.streams().length === 20 &&
    xds
      .streams()
      .every(({ types }) => types.length === 1 && types[0]?.unanswered === 0 && types[0].progress === 'taken');
  await until(() => updates.filter(() => true).length === 20 && inSync());
  most = 0;
  const before = metrics.of('pilot_xds_pushes');
  for (const client of clients) client.reconnect();
  await until(
    () =>
      world.sessions.size === 20 &&
      [...world.sessions].every(({ connectionId }) => Number(connectionId.split('-').pop()) > 20),
  );
  await until(inSync);
  expect(updates).toEqual(Array(20).fill(1));
  expect(metrics.of('pilot_xds_pushes')).toBe(before);
  expect(most).toBeGreaterThan(0);
  expect(metrics.of('meltemi_waiting_opens')).toBe(0);
});

describe('acknowledgements that wait', () => {
  const MB = 1024 * 1024;
  const STILL = { pause: () => {}, resume: () => {} };

  /** Pushes that wait, then acknowledgements of so many bytes: who had a turn, in order. */
  const turns = (sizes: readonly number[]): readonly string[] => {
    const rounds: (() => void)[] = [];
    const scheduler = new Scheduler({ clock: { now: () => 0 }, defer: (run) => rounds.push(run) });
    const backlog = new Backlog();
    const had: string[] = [];
    for (const push of ['push 1', 'push 2']) scheduler.add({ pump: () => had.push(push) }, 'push');
    const options = { scheduler, backlog, pressing: () => false };
    const intakes = sizes.map((size) => {
      const intake = new Intake(STILL, (bytes) => had.push(`${bytes.length / MB} MB`), options);
      intake.take(Buffer.alloc(size * MB));
      return intake;
    });
    // A stream that is gone leaves no bytes behind.
    intakes[0]?.drop();
    const late = new Intake(STILL, (bytes) => had.push(`late ${bytes.length}`), options);
    late.take(Buffer.alloc(1));
    while (rounds.length > 0) rounds.shift()?.();
    return had;
  };

  it('come after pushes to others', () => {
    expect(turns([12, 3])).toEqual(['push 1', 'push 2', '3 MB', 'late 1']);
  });

  it('but not while they take much memory', () => {
    expect(turns([2, 3, 12, 4])).toEqual(['12 MB', '4 MB', 'late 1', 'push 1', 'push 2', '3 MB']);
  });
});
