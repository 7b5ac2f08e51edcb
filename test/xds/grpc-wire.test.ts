// gRPC over HTTP/2 to the letter: what a client sees that knows HTTP/2 and nothing of this server.

import { X509Certificate } from 'node:crypto';
import { mkdtempSync, rmSync } from 'node:fs';
import { type ClientHttp2Session, type ClientHttp2Stream, connect, constants } from 'node:http2';
import { connect as connectTcp } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Duplex } from 'node:stream';
import { type ChannelOptions, Client, credentials, Server, ServerCredentials } from '@grpc/grpc-js';
import { afterEach, describe, expect, it } from 'vitest';
import { ClientState, nodeOf, readDeltaResponse } from '../../src/xds/client-state.ts';
import { startXds, XDS_CHANNEL_OPTIONS, type XdsOptions } from '../../src/xds/server.ts';
import { issue } from '../support/certificates.ts';
import { CLUSTER, changeOf, Metrics, silentLog, World } from './support.ts';

const PATH = '/envoy.service.discovery.v3.AggregatedDiscoveryService/DeltaAggregatedResources';
const same = (bytes: Buffer): Buffer => bytes;
const cleanups: (() => void)[] = [];
afterEach(() => {
  for (const cleanup of cleanups.splice(0).reverse()) cleanup();
});

interface Rig {
  readonly world: World;
  readonly metrics: Metrics;
  readonly address: string;
  readonly session: ClientHttp2Session;
}

async function rig(
  options: Partial<XdsOptions> = {},
  channel: ChannelOptions = {},
  certificates: ServerCredentials = ServerCredentials.createInsecure(),
): Promise<Rig> {
  const world = new World();
  const metrics = new Metrics();
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
    ...options,
  });
  const server = new Server({ ...XDS_CHANNEL_OPTIONS, ...channel });
  const echo = {
    path: '/test.Echo/Say',
    requestStream: false,
    responseStream: false,
    requestSerialize: same,
    requestDeserialize: same,
    responseSerialize: same,
    responseDeserialize: same,
  } as const;
  server.addService(
    { Say: echo },
    { Say: (call: { request: Buffer }, reply: (e: null, b: Buffer) => void) => reply(null, call.request) },
  );
  const port = await xds.bind(server, { host: '127.0.0.1', port: 0 }, certificates);
  cleanups.push(() => server.forceShutdown());
  const address = `127.0.0.1:${port}`;
  return { world, metrics, address, session: sessionTo(address) };
}

function sessionTo(address: string): ClientHttp2Session {
  const session = connect(`http://${address}`);
  session.on('error', () => {});
  cleanups.push(() => session.destroy());
  return session;
}

function frame(bytes: Uint8Array, flag = 0): Buffer {
  const prefix = Buffer.from([flag, 0, 0, 0, 0]);
  prefix.writeUInt32BE(bytes.length, 1);
  return Buffer.concat([prefix, bytes]);
}

/** One stream, and all that came on it. */
class Call {
  readonly stream: ClientHttp2Stream;
  headers: Record<string, unknown> | undefined;
  /** Headers came with the end of the stream. */
  only = false;
  trailers: Record<string, unknown> | undefined;
  bytes = Buffer.alloc(0);
  readonly closed: Promise<number>;

  constructor(session: ClientHttp2Session, headers: Readonly<Record<string, string>> = {}) {
    this.stream = session.request({
      ':method': 'POST',
      ':path': PATH,
      'content-type': 'application/grpc',
      te: 'trailers',
      ...headers,
    });
    this.stream.on('error', () => {});
    this.stream.on('response', (got, flags) => {
      this.headers = got;
      this.only = (flags & constants.NGHTTP2_FLAG_END_STREAM) !== 0;
    });
    this.stream.on('trailers', (got) => {
      this.trailers = got;
    });
    this.stream.on('data', (chunk: Buffer) => {
      this.bytes = Buffer.concat([this.bytes, chunk]);
    });
    this.closed = new Promise((resolve) => this.stream.once('close', () => resolve(this.stream.rstCode)));
  }

  get messages(): Buffer[] {
    const all: Buffer[] = [];
    for (let at = 0; at + 5 <= this.bytes.length; ) {
      const end = at + 5 + this.bytes.readUInt32BE(at + 1);
      if (end > this.bytes.length) break;
      all.push(this.bytes.subarray(at + 5, end));
      at = end;
    }
    return all;
  }

  async until(ready: () => boolean): Promise<void> {
    while (!ready()) await new Promise<void>((resolve) => setImmediate(resolve));
  }
}

const subscription = (): Buffer => new ClientState('delta', nodeOf('raw')).subscribe(CLUSTER);

describe('a call that goes well', () => {
  it('answers with headers, messages, and a status in trailers once the client has said all', async () => {
    const { world, session } = await rig();
    world.set(CLUSTER, { a: '1' });
    const call = new Call(session);
    call.stream.write(frame(subscription()));
    await call.until(() => call.messages.length === 1);
    expect(call.headers).toMatchObject({
      ':status': 200,
      'content-type': 'application/grpc+proto',
      'grpc-encoding': 'identity',
    });
    expect(readDeltaResponse(call.messages[0] as Buffer).resources.map(({ name }) => name)).toEqual(['a']);
    call.stream.end();
    expect(await call.closed).toBe(0);
    expect(call.trailers).toMatchObject({ 'grpc-status': '0' });
  });

  it('takes a request byte by byte, and several at once', async () => {
    const { world, session } = await rig();
    world.set(CLUSTER, { a: '1' });
    const slow = new Call(session);
    for (const byte of frame(subscription())) {
      await new Promise<void>((resolve) => slow.stream.write(Buffer.from([byte]), () => resolve()));
    }
    await slow.until(() => slow.messages.length === 1);
    const quick = new Call(session);
    const client = new ClientState('delta', nodeOf('raw'));
    quick.stream.write(
      Buffer.concat([client.subscribe(CLUSTER), client.subscribe(CLUSTER, ['*'])].map((m) => frame(m))),
    );
    await quick.until(() => quick.messages.length >= 1);
    expect(world.sessions.size).toBe(2);
  });

  it('may send little until it is listened to, and then as much as anywhere', async () => {
    const { world, address, session, metrics } = await rig({ maxOpenings: 1 });
    world.set(CLUSTER, { a: '1' });
    // Says nothing, and is listened to.
    const silent = new Call(session);
    await silent.until(() => session.remoteSettings.initialWindowSize === 65_535);
    const other = sessionTo(address);
    const call = new Call(other);
    const many = Array.from({ length: 3_000 }, (_, i) => `cluster-${i}-with-a-long-name`);
    const request = new ClientState('delta', nodeOf('raw')).subscribe(CLUSTER, ['a', ...many]);
    expect(request.length).toBeGreaterThan(65_535);
    call.stream.write(frame(request));
    await call.until(() => metrics.of('meltemi_waiting_opens') === 1);
    expect(other.remoteSettings.initialWindowSize).toBe(16_384);
    expect(call.stream.writableLength).toBeGreaterThan(0);
    silent.stream.close(constants.NGHTTP2_CANCEL);
    await call.until(() => call.messages.length === 1);
    expect(other.remoteSettings.initialWindowSize).toBe(65_535);
    expect(readDeltaResponse(call.messages[0] as Buffer).resources.map(({ name }) => name)).toEqual(['a']);
  });

  it('waits no more once it is gone', async () => {
    const { address, session, metrics } = await rig({ maxOpenings: 1 });
    const silent = new Call(session);
    await silent.until(() => session.remoteSettings.initialWindowSize === 65_535);
    const call = new Call(sessionTo(address));
    await call.until(() => metrics.of('meltemi_waiting_opens') === 1);
    call.stream.close(constants.NGHTTP2_CANCEL);
    await call.until(() => metrics.of('meltemi_waiting_opens') === 0);
    // It was never read from.
    expect(metrics.of('pilot_xds_streams_total')).toBe(1);
  });

  it('shares its connection with calls of other services, which grpc-js answers', async () => {
    const { world, session, address } = await rig();
    world.set(CLUSTER, { a: '1' });
    const call = new Call(session);
    call.stream.write(frame(subscription()));
    const echo = new Call(session, { ':path': '/test.Echo/Say' });
    echo.stream.end(frame(Buffer.from('hello')));
    const unknown = new Call(session, { ':path': '/test.Echo/Nothing' });
    unknown.stream.end();
    await Promise.all([echo.closed, unknown.closed]);
    expect(echo.messages[0]?.toString()).toBe('hello');
    expect(unknown.headers).toMatchObject({ 'grpc-status': '12' });
    await call.until(() => call.messages.length === 1);
    const client = new Client(address, credentials.createInsecure());
    cleanups.push(() => client.close());
    const said = await new Promise<Buffer | undefined>((resolve, reject) => {
      client.makeUnaryRequest('/test.Echo/Say', same, same, Buffer.from('once more'), (error, value) =>
        error === null ? resolve(value) : reject(error),
      );
    });
    expect(said?.toString()).toBe('once more');
  });

  it('ends for the session when the client resets it', async () => {
    const { world, session } = await rig();
    world.set(CLUSTER, { a: '1' });
    const call = new Call(session);
    call.stream.write(frame(subscription()));
    await call.until(() => call.messages.length === 1);
    call.stream.close(constants.NGHTTP2_CANCEL);
    await call.until(() => world.sessions.size === 0);
  });
});

describe('a call that fails', () => {
  it('before anything was sent: a status in the headers, and no more', async () => {
    const { world, session } = await rig();
    world.refuse = { kind: 'refused', code: 14, message: '100 % later,\nüberall' };
    const call = new Call(session);
    call.stream.write(frame(subscription()));
    await call.until(() => call.headers !== undefined);
    expect(call.only).toBe(true);
    expect(call.headers).toMatchObject({
      ':status': 200,
      'content-type': 'application/grpc+proto',
      'grpc-status': '14',
      'grpc-message': '100 %25 later,%0A%C3%BCberall',
    });
  });

  it('later: a status in the trailers, after all messages', async () => {
    const { world, session } = await rig();
    world.set(CLUSTER, { a: '1' });
    const call = new Call(session);
    call.stream.write(frame(subscription()));
    await call.until(() => call.messages.length === 1);
    call.stream.write(frame(Buffer.from([0xff])));
    await call.until(() => call.trailers !== undefined);
    expect(call.trailers).toMatchObject({ 'grpc-status': '3' });
    expect(world.sessions.size).toBe(0);
  });

  it.each([
    ['longer than it may be', Buffer.from([0, 0x02, 0, 0, 1]), {}, '8'],
    ['compressed', frame(Buffer.from('x'), 1), { 'grpc-encoding': 'gzip' }, '12'],
    ['compressed, though nobody said so', frame(Buffer.from('x'), 1), {}, '13'],
  ])('because a message is %s', async (_what, bytes, headers, status) => {
    const { session } = await rig();
    const call = new Call(session, headers);
    call.stream.write(bytes);
    await call.until(() => call.headers !== undefined);
    expect(call.headers).toMatchObject({ 'grpc-status': status });
  });

  it('because it ends inside a message', async () => {
    const { session } = await rig();
    const call = new Call(session);
    call.stream.end(frame(subscription()).subarray(0, 9));
    await call.closed;
    expect(call.headers).toMatchObject({ 'grpc-status': '13' });
  });

  it('because its time is up, or no time', async () => {
    const { world, session } = await rig();
    world.set(CLUSTER, { a: '1' });
    const short = new Call(session, { 'grpc-timeout': '300m' });
    short.stream.write(frame(subscription()));
    await short.until(() => short.trailers !== undefined || short.only);
    expect(short.trailers ?? short.headers).toMatchObject({ 'grpc-status': '4' });
    await short.until(() => world.sessions.size === 0);
    const odd = new Call(session, { 'grpc-timeout': 'soon' });
    await odd.until(() => odd.headers !== undefined);
    expect(odd.headers).toMatchObject({ 'grpc-status': '13' });
  });

  it('because it is no gRPC: a status of HTTP', async () => {
    const { session } = await rig();
    for (const type of ['application/json', 'application/grpc-web']) {
      const call = new Call(session, { 'content-type': type });
      await call.until(() => call.headers !== undefined);
      expect(call.headers).toMatchObject({ ':status': 415 });
    }
    const call = new Call(session, { 'content-type': 'application/grpc+proto' });
    call.stream.end();
    await call.closed;
    expect(call.headers).toMatchObject({ ':status': 200, 'grpc-status': '0' });
  });
});

describe('a connection', () => {
  it('that has lived long enough is told to go, and cut when it stays', async () => {
    const age = { 'grpc.max_connection_age_ms': 300, 'grpc.max_connection_age_grace_ms': 300 };
    const { world, session } = await rig({}, age);
    world.set(CLUSTER, { a: '1' });
    const told = new Promise<number>((resolve) => session.once('goaway', (code: number) => resolve(code)));
    const call = new Call(session);
    call.stream.write(frame(subscription()));
    await call.until(() => call.messages.length === 1);
    expect(await told).toBe(constants.NGHTTP2_NO_ERROR);
    await call.closed;
    await call.until(() => world.sessions.size === 0);
  });

  /** A connection that can be made deaf, with the times (ms since it began) at which it was pinged. */
  const listening = async (keepalive: XdsOptions['keepalive']) => {
    const { world, address } = await rig({ keepalive });
    world.set(CLUSTER, { a: '1' });
    const state = { deaf: false };
    const raw = connectTcp(Number(address.split(':')[1]), '127.0.0.1');
    cleanups.push(() => raw.destroy());
    const ears = new Duplex({ read() {}, write: (chunk: Buffer, _, done) => raw.write(chunk, () => done()) });
    raw.on('data', (chunk) => {
      if (!state.deaf) ears.push(chunk);
    });
    const session = connect(`http://${address}`, { createConnection: () => ears });
    session.on('error', () => {});
    cleanups.push(() => session.destroy());
    const pings: number[] = [];
    const began = Date.now();
    session.on('ping', () => pings.push(Date.now() - began));
    const call = new Call(session);
    call.stream.write(frame(subscription()));
    await call.until(() => call.messages.length === 1);
    return { world, session, call, pings, state };
  };

  it('is pinged when it was silent, and cut when nobody answers', async () => {
    const { world, call, pings, state } = await listening({ every: 120, patience: 200 });
    await call.until(() => pings.length >= 3);
    expect(world.sessions.size).toBe(1);
    state.deaf = true;
    await call.until(() => world.sessions.size === 0);
  });

  it('is not pinged while it says something', async () => {
    const { session, call, pings } = await listening({ every: 1_200, patience: 200 });
    const began = Date.now();
    let said = 0;
    // Anything that comes counts: here a ping of the client's own.
    const talk = setInterval(() => session.ping(() => said++), 100);
    cleanups.push(() => clearInterval(talk));
    await call.until(() => Date.now() - began > 3_000);
    expect(said).toBeGreaterThan(2);
    expect(pings).toEqual([]);
  });
});

describe('over TLS', () => {
  it('a connection is pinged and stays while it answers', async () => {
    const folder = mkdtempSync(join(tmpdir(), 'meltemi-wire-'));
    cleanups.push(() => rmSync(folder, { recursive: true, force: true }));
    const root = issue(folder, 'root', 'DNS:root');
    const own = issue(folder, 'server', 'DNS:localhost', root);
    const pair = { private_key: Buffer.from(own.key), cert_chain: Buffer.from(own.cert) };
    const certificates = ServerCredentials.createSsl(Buffer.from(root.cert), [pair], false);
    const { world, address } = await rig({ keepalive: { every: 60, patience: 60 } }, {}, certificates);
    world.set(CLUSTER, { a: '1' });
    const session = connect(`https://localhost:${address.split(':')[1]}`, { ca: root.cert });
    session.on('error', () => {});
    cleanups.push(() => session.destroy());
    let pings = 0;
    session.on('ping', () => pings++);
    const call = new Call(session);
    call.stream.write(frame(subscription()));
    await call.until(() => pings >= 5);
    expect([world.sessions.size, session.closed]).toEqual([1, false]);
  });

  it('a verified certificate of the client is known, and no other', async () => {
    const folder = mkdtempSync(join(tmpdir(), 'meltemi-wire-'));
    cleanups.push(() => rmSync(folder, { recursive: true, force: true }));
    const root = issue(folder, 'root', 'DNS:root');
    const own = issue(folder, 'server', 'DNS:localhost', root);
    const proxy = issue(folder, 'proxy', 'URI:spiffe://td/ns/a/sa/b', root);
    const stranger = issue(folder, 'stranger', 'URI:spiffe://td/ns/a/sa/b');
    const chain = { private_key: Buffer.from(own.key), cert_chain: Buffer.from(own.cert) };
    const seen: (string | undefined)[] = [];
    const peerOf: XdsOptions['peerOf'] = (call) => {
      const raw = call.getAuthContext().sslPeerCertificate?.raw;
      seen.push(raw === undefined ? undefined : new X509Certificate(raw).subjectAltName);
      return { address: call.getPeer(), plaintext: false, identities: [] };
    };
    // Grpc-js asks for certificates only where it demands them; the control plane's credentials ask and do without.
    const demanding = ServerCredentials.createSsl(Buffer.from(root.cert), [chain], true);
    const open = ServerCredentials.createSsl(Buffer.from(root.cert), [chain], false);
    for (const [server, client] of [
      [demanding, { cert: proxy.cert, key: proxy.key }],
      [open, { cert: stranger.cert, key: stranger.key }],
      [open, {}],
    ] as const) {
      const { world, address } = await rig({ peerOf }, {}, server);
      world.set(CLUSTER, { a: '1' });
      const session = connect(`https://localhost:${address.split(':')[1]}`, { ca: root.cert, ...client });
      session.on('error', () => {});
      cleanups.push(() => session.destroy());
      const call = new Call(session);
      call.stream.write(frame(subscription()));
      await call.until(() => call.messages.length === 1);
      expect([...world.sessions][0]?.peer.address).toMatch(/^127\.0\.0\.1:\d+$/);
    }
    expect(seen).toEqual(['URI:spiffe://td/ns/a/sa/b', undefined, undefined]);
  });
});

describe('clients that do not read', () => {
  it('hold up the first sync of others for a while, and changes not at all', async () => {
    const { world, metrics, address, session } = await rig({ maxUnsent: 4 * 1024 * 1024 });
    world.set(CLUSTER, { big: 'x'.repeat(3 * 1024 * 1024) });
    const synced = new Call(session);
    const client = new ClientState('delta', nodeOf('well'));
    synced.stream.write(frame(client.subscribe(CLUSTER)));
    await synced.until(() => synced.messages.length === 1);
    synced.stream.write(frame(client.receive(synced.messages[0] as Buffer, () => undefined).answer));
    const stuck = Array.from({ length: 4 }, () => {
      const call = new Call(sessionTo(address));
      call.stream.pause();
      call.stream.write(frame(subscription()));
      return call;
    });
    // Two are more than may be on its way.
    await synced.until(() => metrics.of('meltemi_waiting_streams') === 2);
    expect(metrics.of('pilot_xds_pushes{cds}')).toBe(3);
    changeOf(world, CLUSTER, { small: '1' });
    await synced.until(() => synced.messages.length === 2);
    for (const call of stuck) call.stream.resume();
    await Promise.all(stuck.map((call) => call.until(() => call.messages.length > 0)));
    expect(metrics.of('meltemi_waiting_streams')).toBe(0);
  });
});
