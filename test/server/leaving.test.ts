// How connections end: those that are old, and those of a server that is stopped.
import { ChannelCredentials } from '@grpc/grpc-js';
import { afterEach, expect, it } from 'vitest';
import { encode } from '../../src/codec/index.ts';
import { TYPE_URL } from '../../src/ir/draft.ts';
import { AdsClient } from '../../src/xds/client.ts';
import { call } from '../support/apps.ts';
import { type LocalControlPlane, startLocalControlPlane, TestFolder } from '../support/server.ts';
import { until } from '../support/wait.ts';

const folders: TestFolder[] = [];
const planes: LocalControlPlane[] = [];
const clients: AdsClient[] = [];

afterEach(async () => {
  for (const client of clients.splice(0)) client.close();
  for (const plane of planes.splice(0)) await plane.stop();
  for (const folder of folders.splice(0)) folder.delete();
});

async function planeWith(options: Parameters<typeof startLocalControlPlane>[2]): Promise<LocalControlPlane> {
  const folder = new TestFolder();
  folders.push(folder);
  folder.write('nothing', '');
  const plane = await startLocalControlPlane(folder, '127.0.0.1', options);
  planes.push(plane);
  return plane;
}

/** Proxies, each on a connection of its own. */
async function connectTo(plane: LocalControlPlane, count: number, onEnd: (code: number) => void): Promise<void> {
  const { port } = plane.server.addresses.grpc ?? {};
  for (let index = 0; index < count; index++) {
    const ip = `10.0.0.${index + 1}`;
    const id = `sidecar~${ip}~app-${index}.shop~shop.svc.cluster.local`;
    const client = new AdsClient({
      address: `127.0.0.1:${port}`,
      credentials: ChannelCredentials.createInsecure(),
      mode: 'sotw',
      node: Buffer.from(encode('envoy.config.core.v3.Node', { id, metadata: { NAMESPACE: 'shop' } })),
      onEnd: ({ code }) => onEnd(code),
    });
    client.subscribe(TYPE_URL.cluster);
    clients.push(client);
  }
  const connected = async () => plane.server.config.plane.sessions.size === count;
  await until(connected, 'all proxies');
}

it('a server that is stopped is unready first, and lets proxies go one after the other', async () => {
  const plane = await planeWith({ shutdownDuration: 1_500 });
  const ends: number[] = [];
  await connectTo(plane, 12, (code) => ends.push(code));
  const { port = 0 } = plane.server.addresses.http ?? {};
  const ready = async () => call({ address: '127.0.0.1', port, path: '/ready' });
  expect((await ready()).status).toBe(200);
  const stopped = plane.server.stop();
  const { status, body } = await ready();
  expect([status, body]).toEqual([503, 'not ready: shutting down\n']);
  // Some are still served while others have gone.
  await until(async () => ends.length > 0, 'the first to go');
  expect(ends.length).toBeLessThan(12);
  await stopped;
  await until(async () => ends.length === 12, 'all to be gone');
  expect(new Set(ends)).toEqual(new Set([14]));
});

it('an old connection is asked to move, and ended if it does not', async () => {
  const plane = await planeWith({ maxConnectionAge: 300 });
  const ends: number[] = [];
  await connectTo(plane, 3, (code) => ends.push(code));
  await until(async () => ends.length === 3, 'all to have been sent away');
  await connectTo(plane, 1, () => undefined);
});
