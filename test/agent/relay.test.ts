import { join } from 'node:path';
import { unlinkSync } from 'node:fs';
import * as grpc from '@grpc/grpc-js';
import { afterAll, afterEach, describe, expect, it } from 'vitest';
import { sameBytes } from '../support/raw-grpc.ts';
import { serveRelay } from '../../src/agent/relay.ts';
import { newFolder, realTimers, recordingLog, recordingMeter, removeFolders } from '../ca/support.ts';
import { type ControlPlane, ownConfig, type RawStream, startControlPlane, systemClock } from './support.ts';

afterAll(removeFolders);

const SERVICE = '/envoy.service.discovery.v3.AggregatedDiscoveryService';

describe('the ADS relay', () => {
  const closers: (() => void)[] = [];
  afterEach(() => {
    for (const close of closers.splice(0).reverse()) close();
  });

  async function rig(ads: (call: RawStream, form: 'sotw' | 'delta') => void) {
    const plane: ControlPlane = await startControlPlane(ads);
    closers.push(() => plane.stop());
    const config = await ownConfig(plane, { env: { XDS_HEADER_TEAM: 'blue', ISTIO_META_CLUSTER_ID: 'east' } });
    const identity = {
      tokenFile: config.tokenFile,
      clusterId: config.clusterId,
      headers: config.xdsHeaders,
      providedDirectory: undefined,
      current: () => undefined,
      clock: systemClock,
    };
    const meter = recordingMeter();
    const socket = join(newFolder(), 'XDS');
    const traffic = { own: [], extensions: undefined, health: undefined };
    const options = { socket, target: config.discovery, identity, traffic };
    const server = await serveRelay(options, { log: recordingLog().log, meter: meter.meter, timers: realTimers });
    closers.push(() => server.close());
    const client = new grpc.Client(`unix:${socket}`, grpc.credentials.createInsecure(), {
      'grpc.max_receive_message_length': -1,
    });
    closers.push(() => client.close());
    const open = (method = 'DeltaAggregatedResources') => {
      const call = client.makeBidiStreamRequest(`${SERVICE}/${method}`, sameBytes, sameBytes);
      call.on('error', () => undefined);
      const status = new Promise<grpc.StatusObject>((resolve) => call.on('status', resolve));
      const next = () => new Promise<Buffer>((resolve) => call.once('data', resolve));
      return { call, status, next };
    };
    return { plane, open, meter };
  }

  it.each([
    ['StreamAggregatedResources', 'sotw'],
    ['DeltaAggregatedResources', 'delta'],
  ])('passes %s byte for byte, both ways, however large', async (method, form) => {
    let seen = '';
    const { open, plane, meter } = await rig((call, which) => {
      seen = which;
      call.on('data', (bytes: Buffer) => void call.write(Buffer.concat([bytes, bytes])));
      call.on('end', () => call.end());
    });
    const { call, next, status } = open(method);
    const large = Buffer.alloc(6 * 1024 * 1024, 7);
    for (const message of [Buffer.alloc(0), Buffer.from([0, 255, 10]), large]) {
      const answer = next();
      call.write(message);
      expect((await answer).equals(Buffer.concat([message, message]))).toBe(true);
    }
    call.end();
    expect((await status).code).toBe(grpc.status.OK);
    expect(seen).toBe(form);
    const metadata = plane.streams[0]?.getMap();
    expect(metadata).toMatchObject({
      clusterid: 'east',
      team: 'blue',
      authorization: expect.stringMatching(/^Bearer ey/),
    });
    expect(meter.value('istio_agent_xds_proxy_requests')).toBe(3);
    expect(meter.value('istio_agent_xds_proxy_responses')).toBe(3);
  });

  it("ends Envoy's stream with the control plane's status", async () => {
    const { open } = await rig((call) => {
      call.on('data', () => call.emit('error', { code: grpc.status.PERMISSION_DENIED, details: 'not yours' }));
    });
    const { call, status } = open();
    call.write(Buffer.from('x'));
    expect(await status).toMatchObject({ code: grpc.status.PERMISSION_DENIED, details: 'not yours' });
  });

  it("ends the control plane's stream when Envoy goes away", async () => {
    let cancelled: () => void = () => undefined;
    const gone = new Promise<void>((resolve) => {
      cancelled = resolve;
    });
    const { open } = await rig((call) => {
      call.on('data', (bytes: Buffer) => void call.write(bytes));
      call.on('cancelled', () => cancelled());
    });
    const { call, next } = open();
    call.write(Buffer.from('x'));
    await next();
    call.cancel();
    await gone;
  });

  it('gives each stream of Envoy one of its own, with the token of that moment', async () => {
    const { open, plane } = await rig((call) => {
      call.on('data', (bytes: Buffer) => void call.write(bytes));
    });
    const echo = async () => {
      const { call, next } = open();
      call.write(Buffer.from('x'));
      await next();
      call.cancel();
    };
    await echo();
    const token = await plane.writeToken(100);
    await echo();
    unlinkSync(plane.tokenFile);
    await echo();
    const [first, second, third] = plane.streams.map((metadata) => metadata.get('authorization')[0]);
    expect(second).toBe(`Bearer ${token}`);
    expect(first).not.toBe(second);
    expect(third).toBeUndefined();
  });

  it('refuses a stream at once when the control plane is away', async () => {
    const { open, plane, meter } = await rig(() => undefined);
    plane.stop();
    const { status } = open();
    expect(await status).toMatchObject({
      code: grpc.status.UNAVAILABLE,
      details: expect.stringContaining('control plane not reached'),
    });
    expect(meter.value('istio_agent_istiod_connection_failures')).toBe(1);
  });

  it('reads no further from the control plane while Envoy does not read', async () => {
    let written = 0;
    let drains = 0;
    const message = Buffer.alloc(256 * 1024, 1);
    const TOTAL = 400;
    const { open } = await rig((call) => {
      const pump = () => {
        while (written < TOTAL) {
          written++;
          if (!call.write(message)) {
            call.once('drain', () => {
              drains++;
              pump();
            });
            return;
          }
        }
        call.end();
      };
      pump();
    });
    const { call, status } = open();
    // grpc-js holds a stream back only once it has been read from.
    await new Promise<void>((resolve) => {
      call.once('data', () => {
        call.pause();
        resolve();
      });
    });
    let before = -1;
    // Nobody reads: what the control plane could write must come to rest far below the total.
    while (before !== written) {
      before = written;
      await new Promise((resolve) => setTimeout(resolve, 300));
    }
    expect(written).toBeLessThan(TOTAL / 2);
    let received = 1;
    call.on('data', () => void received++);
    const ended = new Promise((resolve) => call.once('end', resolve));
    call.resume();
    await ended;
    expect((await status).code).toBe(grpc.status.OK);
    expect(received).toBe(TOTAL);
    expect(drains).toBeGreaterThan(0);
  });
});
