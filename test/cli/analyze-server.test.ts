import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { stringify } from 'yaml';
import { type CommandMesh, commandMesh, istio, kubeService, sidecarNode } from './mesh.ts';
import { commandLine } from './support.ts';

let mesh: CommandMesh;
let server: string;

beforeAll(async () => {
  mesh = await commandMesh([
    kubeService('web', '10.96.0.1'),
    istio('VirtualService', 'v', { hosts: ['web'], http: [{ route: [{ destination: { host: 'gone' } }] }] }),
  ]);
  await mesh.connect(sidecarNode('client', 'shop', '10.0.0.9', { app: 'client' }));
  server = `127.0.0.1:${mesh.plane.server.addresses.http?.port}`;
});

afterAll(() => mesh.stop());

async function codes(...args: string[]): Promise<readonly string[]> {
  const { out } = await commandLine('analyze', ...args, '--server', server, '-o', 'json');
  return (JSON.parse(out) as { code: string; origin: string }[]).map(({ code, origin }) => `${code} ${origin}`);
}

it('analyzes what a server holds, alone and with files on top', async () => {
  expect(await codes()).toEqual(['IST0101 VirtualService shop/v']);
  const file = join(mesh.folder.path, 'new.yaml');
  writeFileSync(
    file,
    [kubeService('gone', '10.96.0.2'), istio('DestinationRule', 'd', { host: 'nobody' })]
      .map((each) => stringify(each))
      .join('---\n'),
  );
  expect(await codes(file)).toEqual(['IST0174 DestinationRule shop/d']);
});

it('says where in a file the field stands that is wrong', async () => {
  const file = join(mesh.folder.path, 'wrong.yaml');
  const trafficPolicy = { connectionPool: { tcp: { maxConnections: -1 } } };
  writeFileSync(file, `# A comment\n${stringify(istio('DestinationRule', 'd', { host: 'web', trafficPolicy }))}`);
  const line =
    1 +
    readFileSync(file, 'utf8')
      .split('\n')
      .findIndex((each) => each.includes('maxConnections'));
  for (const command of [
    ['analyze', file],
    ['diff', '-f', file],
  ]) {
    const { out } = await commandLine(...command, '--server', server);
    expect(out).toMatch(new RegExp(`wrong.yaml:${line}:\\d+\\).*maxConnections: -1 is negative`));
  }
});
