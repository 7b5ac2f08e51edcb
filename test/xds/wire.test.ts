// The service over real gRPC.

import { type ClientHttp2Stream, connect as connectHttp2 } from 'node:http2';
import { credentials, Server, ServerCredentials } from '@grpc/grpc-js';
import { afterEach, describe, expect, it } from 'vitest';
import type { Timers } from '../../src/lib/ports.ts';
import { AdsClient, type AdsClientOptions } from '../../src/xds/client.ts';
import { ClientState, nodeOf, type Update } from '../../src/xds/client-state.ts';
import type { Mode } from '../../src/xds/encode.ts';
import { startXds, XDS_CHANNEL_OPTIONS, type XdsOptions, type XdsServer } from '../../src/xds/server.ts';
import { bytesField, stringField } from '../../src/xds/wire.ts';
import { CLUSTER, changeOf, contents, ENDPOINT, LISTENER, Metrics, MODES, names, silentLog, World } from './support.ts';

/** Real timers that can be counted. */
class CountedTimers implements Timers {
  pending = 0;

  setTimeout(fn: () => void, ms: number): () => void {
    this.pending++;
    let live = true;
    const end = (): void => {
      if (live) this.pending--;
      live = false;
    };
    const timer = setTimeout(() => {
      end();
      fn();
    }, ms);
    return () => {
      end();
      clearTimeout(timer);
    };
  }
}

interface Rig {
  readonly world: World;
  readonly xds: XdsServer;
  readonly metrics: Metrics;
  readonly timers: CountedTimers;
  readonly address: string;
  connect(options?: Partial<AdsClientOptions>): Probe;
}

/** A client whose updates can be awaited. */
class Probe {
  readonly client: AdsClient;
  readonly updates: Update[] = [];
  ended: { code: number; message: string } | undefined;
  #waiting: (() => void)[] = [];

  constructor(address: string, options: Partial<AdsClientOptions> = {}) {
    this.client = new AdsClient({
      address,
      credentials: credentials.createInsecure(),
      mode: 'delta',
      node: nodeOf('proxy'),
      ...options,
      onUpdate: (update) => {
        this.updates.push(update);
        this.#moved();
      },
      onEnd: (status) => {
        this.ended = status;
        this.#moved();
      },
    });
  }

  #moved(): void {
    for (const resolve of this.#waiting.splice(0)) resolve();
  }

  /** Resolves when `ready` holds, looked at whenever something arrives. */
  async until(ready: () => boolean): Promise<void> {
    while (!ready()) await new Promise<void>((resolve) => this.#waiting.push(resolve));
  }

  held(typeUrl: string): Record<string, string> {
    return contents(this.client.held(typeUrl).values());
  }
}

const cleanups: (() => void)[] = [];
afterEach(() => {
  for (const cleanup of cleanups.splice(0).reverse()) cleanup();
});

async function rig(options: Partial<XdsOptions> = {}): Promise<Rig> {
  const world = new World();
  const metrics = new Metrics();
  const timers = new CountedTimers();
  const xds = startXds({
    port: world,
    log: silentLog,
    meter: metrics,
    clock: { now: () => Date.now() },
    timers,
    peerOf: () => ({ address: 'test', plaintext: true, identities: [] }),
    ...options,
  });
  const server = new Server(XDS_CHANNEL_OPTIONS);
  const port = await xds.bind(server, { host: '127.0.0.1', port: 0 }, ServerCredentials.createInsecure());
  cleanups.push(() => server.forceShutdown());
  const address = `127.0.0.1:${port}`;
  const connect = (client?: Partial<AdsClientOptions>): Probe => {
    const probe = new Probe(address, client);
    cleanups.push(() => probe.client.close());
    return probe;
  };
  return { world, xds, metrics, timers, address, connect };
}

/** Resolves once `ready` holds; for what the server does without telling the client. */
async function eventually(ready: () => boolean): Promise<void> {
  while (!ready()) await new Promise<void>((resolve) => setImmediate(resolve));
}

/** Sends requests as a gRPC client does and never takes a byte of the answers, beyond HTTP/2's first window. */
function openWithoutReading(address: string, mode: Mode, requests: readonly Buffer[]): ClientHttp2Stream {
  const session = connectHttp2(`http://${address}`);
  session.on('error', () => {});
  cleanups.push(() => session.destroy());
  const method = mode === 'sotw' ? 'StreamAggregatedResources' : 'DeltaAggregatedResources';
  const stream = session.request({
    ':method': 'POST',
    ':path': `/envoy.service.discovery.v3.AggregatedDiscoveryService/${method}`,
    'content-type': 'application/grpc',
    te: 'trailers',
  });
  stream.on('error', () => {});
  stream.pause();
  for (const request of requests) {
    const frame = Buffer.alloc(5);
    frame.writeUInt32BE(request.length, 1);
    stream.write(Buffer.concat([frame, request]));
  }
  return stream;
}

describe.each(MODES)('over gRPC, %s', (mode) => {
  it('serves, updates, acknowledges, reports', async () => {
    const { world, xds, connect } = await rig();
    world.set(CLUSTER, { a: '1' }).set(ENDPOINT, { a: '1' });
    const probe = connect({ mode });
    probe.client.subscribe(CLUSTER);
    probe.client.subscribe(ENDPOINT, ['a']);
    await probe.until(() => probe.updates.length === 2);
    expect([probe.held(CLUSTER), probe.held(ENDPOINT)]).toEqual([{ a: '1' }, { a: '1' }]);
    changeOf(world, CLUSTER, { a: '2', b: '1' });
    await probe.until(() => Object.keys(probe.held(CLUSTER)).length === 2);
    await eventually(() => xds.streams()[0]?.types.every((type) => type.unanswered === 0) === true);
    expect(xds.streams()).toMatchObject([{ connectionId: 'proxy-1', mode, node: { id: 'proxy' } }]);
  });

  it('a reconnecting client gets nothing that it has', async () => {
    const { world, connect } = await rig();
    world.set(CLUSTER, { a: '1' }).set(LISTENER, { l: '1' });
    const probe = connect({ mode });
    probe.client.subscribe(CLUSTER);
    await probe.until(() => probe.updates.length === 1);
    probe.client.reconnect();
    await eventually(() => world.sessions.size === 1 && [...world.sessions][0]?.connectionId === 'proxy-2');
    probe.client.subscribe(LISTENER);
    await probe.until(() => probe.updates.length === 2);
    expect(probe.updates.map((update) => update.typeUrl)).toEqual([CLUSTER, LISTENER]);
  });

  it('garbage ends the stream, not the server', async () => {
    const { world, metrics, connect } = await rig();
    world.set(CLUSTER, { a: '1' });
    for (const bytes of [
      Buffer.from([0xff]),
      Buffer.from('no protobuf'),
      Buffer.alloc(100, 0xff),
      Buffer.from([0x0a, 0x7f]),
    ]) {
      const probe = connect({ mode });
      probe.client.raw(bytes);
      await probe.until(() => probe.ended !== undefined);
      expect(probe.ended?.code).toBe(3);
    }
    expect(metrics.of('pilot_xds_malformed_requests_total')).toBe(4);
    const probe = connect({ mode });
    probe.client.subscribe(CLUSTER);
    await probe.until(() => probe.updates.length === 1);
  });

  it('a nameless client, a refused one', async () => {
    const { world, connect } = await rig();
    const nameless = connect({ mode, node: Buffer.alloc(0) });
    nameless.client.subscribe(CLUSTER);
    await nameless.until(() => nameless.ended !== undefined);
    expect(nameless.ended?.code).toBe(3);
    world.refuse = { kind: 'refused', code: 14, message: 'not yet' };
    const refused = connect({ mode });
    refused.client.subscribe(CLUSTER);
    await refused.until(() => refused.ended !== undefined);
    expect(refused.ended).toEqual({ code: 14, message: 'not yet' });
  });

  it('an unknown type is not answered, the others are', async () => {
    const { world, metrics, connect } = await rig();
    world.set(CLUSTER, { a: '1' });
    const probe = connect({ mode });
    probe.client.subscribe('type.googleapis.com/nobody.knows.This');
    probe.client.subscribe(CLUSTER);
    await probe.until(() => probe.updates.length > 0);
    expect(probe.updates.map((update) => update.typeUrl)).toEqual([CLUSTER]);
    expect(metrics.of('pilot_xds_unknown_types_total')).toBe(1);
  });

  it('a client that rejects everything is left in peace', async () => {
    const { world, metrics, connect } = await rig();
    world.set(CLUSTER, { a: '1' }).set(LISTENER, { l: '1' });
    const probe = connect({ mode, verdict: (update) => (update.typeUrl === CLUSTER ? 'never' : undefined) });
    probe.client.subscribe(CLUSTER);
    await probe.until(() => probe.updates.length === 1);
    for (let i = 0; i < 20; i++) {
      changeOf(world, LISTENER, { l: String(i) });
      probe.client.subscribe(LISTENER, ['*']);
      const before = probe.updates.length;
      await probe.until(() => probe.updates.length > before);
    }
    expect(probe.updates.filter((update) => update.typeUrl === CLUSTER)).toHaveLength(1);
    expect(metrics.of('pilot_total_xds_rejects')).toBe(1);
  });

  it('requests above 4 MiB are taken', async () => {
    const { world, metrics, connect } = await rig();
    world.set(ENDPOINT, { n0: '1' });
    const many = Array.from({ length: 60_000 }, (_, i) => (i === 0 ? 'n0' : `n${i}`.padEnd(80, 'x')));
    const probe = connect({ mode });
    probe.client.subscribe(ENDPOINT, many);
    await probe.until(() => probe.updates.length === 1);
    expect(names(probe.updates[0])).toEqual(['n0']);
    expect(metrics.of('pilot_xds_recv_max')).toBeGreaterThan(4 * 1024 * 1024);
  });

  it('a client that never reads is cut off and costs the others nothing', async () => {
    const { world, xds, metrics, timers, address, connect } = await rig({ writeTimeout: 150 });
    world.set(CLUSTER, { big: 'x'.repeat(8 * 1024 * 1024), a: '1' }).set(LISTENER, { l: '0' });
    const well = connect({ mode, node: nodeOf('well') });
    well.client.subscribe(CLUSTER);
    await well.until(() => well.updates.length === 1);
    const stuck = new ClientState(mode, nodeOf('stuck'));
    openWithoutReading(address, mode, [stuck.subscribe(CLUSTER), stuck.subscribe(LISTENER)]);
    await eventually(() => xds.streams().some((stream) => stream.blockedSince !== undefined));
    well.client.subscribe(LISTENER);
    await well.until(() => well.updates.length === 2);
    await eventually(() => metrics.of('pilot_xds_write_timeout') === 1);
    await eventually(() => xds.connected() === 1);
    expect(world.sessions.size).toBe(1);
    changeOf(world, LISTENER, { l: '1' });
    await well.until(() => well.updates.length === 3);
    // One looks after all connections that there are, for silent ones.
    await eventually(() => timers.pending === 1);
  });
});

describe('a client that reads slowly', () => {
  it('is not cut off', async () => {
    const { world, xds, metrics, address } = await rig({ writeTimeout: 200 });
    world.set(CLUSTER, { big: 'x'.repeat(1024 * 1024) });
    const stream = openWithoutReading(address, 'delta', [new ClientState('delta', nodeOf('slow')).subscribe(CLUSTER)]);
    let got = 0;
    await new Promise<void>((resolve) => {
      stream.on('data', (bytes: Buffer) => {
        got += bytes.length;
        stream.pause();
        setTimeout(() => stream.resume(), 30);
        if (got > 1024 * 1024) resolve();
      });
      stream.resume();
    });
    expect([xds.connected(), metrics.of('pilot_xds_write_timeout')]).toEqual([1, 0]);
  });
});

describe('the server', () => {
  it('a thousand come and go, and nothing is left', async () => {
    const { world, xds, metrics, timers, connect } = await rig();
    world.set(CLUSTER, { a: '1' }).set(ENDPOINT, { a: '1' });
    for (let round = 0; round < 10; round++) {
      const probes = Array.from({ length: 100 }, (_, i) =>
        connect({ mode: i % 2 === 0 ? 'sotw' : 'delta', node: nodeOf(`p${round}-${i}`) }),
      );
      for (const probe of probes) {
        probe.client.subscribe(CLUSTER);
        probe.client.subscribe(ENDPOINT, ['a']);
      }
      await Promise.all(probes.map((probe) => probe.until(() => probe.updates.length === 2)));
      expect(metrics.of('pilot_xds_streams')).toBe(100);
      for (const probe of probes) probe.client.close();
      await eventually(() => xds.connected() === 0);
    }
    expect(world.sessions.size).toBe(0);
    expect(xds.streams()).toEqual([]);
    expect(metrics.of('pilot_xds_streams')).toBe(0);
    expect(metrics.of('pilot_xds_pushes')).toBe(2000);
    // The last one ends with the last connection.
    await eventually(() => timers.pending === 0);
  });

  it('admits no more new streams than it may', async () => {
    const { metrics, connect } = await rig({ newStreamsPerSecond: 2 });
    const probes = Array.from({ length: 20 }, () => connect());
    for (const probe of probes) probe.client.subscribe(CLUSTER);
    const done = probes.map((probe) => probe.until(() => probe.updates.length > 0 || probe.ended !== undefined));
    await Promise.all(done);
    const refused = probes.filter((probe) => probe.ended?.code === 8).length;
    expect(refused).toBe(metrics.of('pilot_xds_refused_streams_total{8}'));
    expect(refused).toBeGreaterThanOrEqual(15);
    expect(probes.some((probe) => probe.updates.length > 0)).toBe(true);
  });

  it('lets nobody in who is not known, however long it takes to find out', async () => {
    const { world, connect } = await rig({
      peerOf: async (call) => {
        await new Promise<void>((resolve) => setImmediate(resolve));
        return call.metadata.get('authorization')[0] === 'yes'
          ? { address: 'x', plaintext: false, identities: ['spiffe://td/ns/a/sa/b'] }
          : { kind: 'refused', code: 16, message: 'who are you' };
      },
    });
    const stranger = connect();
    stranger.client.subscribe(CLUSTER);
    await stranger.until(() => stranger.ended !== undefined);
    expect(stranger.ended).toEqual({ code: 16, message: 'who are you' });
    const friend = connect({ headers: { authorization: 'yes' } });
    friend.client.subscribe(CLUSTER);
    await friend.until(() => friend.updates.length === 1);
    expect([...world.sessions][0]?.peer.identities).toEqual(['spiffe://td/ns/a/sa/b']);
  });

  it('says goodbye to all, over the time it is given, and takes nobody more', async () => {
    const { world, xds, timers, connect } = await rig();
    const probes = Array.from({ length: 40 }, () => connect());
    for (const probe of probes) probe.client.subscribe(CLUSTER);
    await Promise.all(probes.map((probe) => probe.until(() => probe.updates.length === 1)));
    const closed = xds.close(100);
    const late = connect();
    late.client.subscribe(CLUSTER);
    await Promise.all([late, ...probes].map((probe) => probe.until(() => probe.ended !== undefined)));
    await closed;
    expect(new Set([late, ...probes].map((probe) => probe.ended?.code))).toEqual(new Set([14]));
    expect([xds.connected(), world.sessions.size, timers.pending]).toEqual([0, 0, 0]);
  });

  it('a change that concerns 200 streams does not hold the event loop', async () => {
    const { world, connect } = await rig();
    world.set(CLUSTER, Object.fromEntries(Array.from({ length: 200 }, (_, i) => [`c${i}`, 'x'.repeat(500)])));
    const probes = Array.from({ length: 200 }, (_, i) => connect({ node: nodeOf(`p${i}`) }));
    for (const probe of probes) probe.client.subscribe(CLUSTER);
    await Promise.all(probes.map((probe) => probe.until(() => probe.updates.length === 1)));
    let turns = 0;
    let counting = true;
    const turn = (): void => {
      turns++;
      if (counting) setImmediate(turn);
    };
    setImmediate(turn);
    changeOf(world, CLUSTER, { c7: 'new' });
    await Promise.all(probes.map((probe) => probe.until(() => probe.updates.length === 2)));
    counting = false;
    expect(turns).toBeGreaterThan(2);
    expect(probes.every((probe) => names(probe.updates[1]).join() === 'c7')).toBe(true);
  });
});

describe('a stream of bytes that nobody understands', () => {
  it('a request may come in any field order and with unknown fields', async () => {
    const { world, connect } = await rig();
    world.set(ENDPOINT, { a: '1' });
    const probe = connect();
    probe.client.raw(
      Buffer.concat([
        stringField(2, ENDPOINT),
        bytesField(99, Buffer.from('later')),
        bytesField(3, Buffer.from('a')),
        bytesField(1, nodeOf('x')),
      ]),
    );
    await probe.until(() => probe.updates.length === 1);
    expect(names(probe.updates[0])).toEqual(['a']);
  });
});
