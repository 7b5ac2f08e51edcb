import { connect } from 'node:net';
import { afterAll, expect, it } from 'vitest';
import { startChildControlPlane, TestFolder } from '../support/server.ts';

const folder = new TestFolder();
afterAll(() => folder.delete());

it('ends when asked to, whoever still holds a connection', async () => {
  folder.write('nothing', '');
  const plane = await startChildControlPlane(folder);
  const [host = '', port = ''] = plane.discoveryAddress.split(':');
  // In the middle of a TLS handshake there is no session that gRPC could close.
  const silent = connect(Number(port), host);
  silent.on('error', () => undefined);
  await new Promise((resolve) => silent.once('connect', resolve));
  const ended = new Promise((resolve) => silent.once('close', resolve));
  await plane.stop();
  await ended;
  expect(silent.destroyed).toBe(true);
});
