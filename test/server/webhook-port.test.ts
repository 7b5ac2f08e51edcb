// The port on which an API server calls webhooks: its certificate is the control plane's own, and follows the authority.
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { connect } from 'node:tls';
import { afterAll, expect, it } from 'vitest';
import { newFolder, removeFolders, writePluggedCa } from '../ca/support.ts';
import { type LocalControlPlane, startLocalControlPlane, SYSTEM, TestFolder } from '../support/server.ts';
import { until } from '../support/wait.ts';

const folder = new TestFolder();
let plane: LocalControlPlane | undefined;

afterAll(async () => {
  await plane?.stop();
  folder.delete();
  removeFolders();
});

it('has a certificate for its Service that is renewed without a restart', async () => {
  const caDir = newFolder();
  const root = writePluggedCa(caDir);
  folder.write('nothing', '');
  plane = await startLocalControlPlane(folder, '127.0.0.1', {
    https: { host: '127.0.0.1', port: 0 },
    caDir,
    revision: 'canary',
  });
  const { port = 0 } = plane.server.addresses.https ?? {};
  interface Shown {
    readonly serial: string;
  }
  const show = (name: string) =>
    new Promise<Shown>((resolve, reject) => {
      const ca = readFileSync(join(caDir, 'root-cert.pem'));
      const socket = connect({ host: '127.0.0.1', port, ca, servername: name });
      socket.once('error', reject).once('secureConnect', () => {
        const { serialNumber } = socket.getPeerCertificate();
        socket.destroy();
        resolve({ serial: serialNumber });
      });
    });
  const before = await show(`istiod-canary.${SYSTEM}.svc`);
  expect((await show(`istiod.${SYSTEM}.svc`)).serial).toBe(before.serial);
  await expect(show('somebody.else.svc')).rejects.toThrow(/altnames/);
  // Another intermediate under the same root, as when a `cacerts` Secret is rotated.
  writePluggedCa(caDir, 'Root A', { root });
  await until(async () => (await show(`istiod-canary.${SYSTEM}.svc`)).serial !== before.serial, 'another certificate');
});
