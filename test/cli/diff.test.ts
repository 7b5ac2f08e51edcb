import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { stringify } from 'yaml';
import type { PreviewReport } from '../../src/console/preview.ts';
import { TYPE_URL } from '../../src/ir/draft.ts';
import { type CommandMesh, commandMesh, istio, kubeService, sidecarNode, slice } from './mesh.ts';
import { commandLine, commandLineIn, type Outcome } from './support.ts';

const route = (timeout: string): object =>
  istio('VirtualService', 'web', { hosts: ['web'], http: [{ timeout, route: [{ destination: { host: 'web' } }] }] });

const BASE = [
  kubeService('web', '10.96.0.1'),
  slice('web', '10.0.0.5'),
  kubeService('other', '10.96.0.2', 'side'),
  route('5s'),
  istio('Sidecar', 'own', { egress: [{ hosts: ['./*'] }] }, 'side'),
];

const NODES = [
  sidecarNode('client', 'shop', '10.0.0.9', { app: 'client' }),
  sidecarNode('client-2', 'shop', '10.0.0.10', { app: 'client' }),
  sidecarNode('apart', 'side', '10.0.1.9', { app: 'apart' }),
];

let mesh: CommandMesh;
let server: string;

beforeAll(async () => {
  mesh = await commandMesh(BASE);
  for (const node of NODES) await mesh.connect(node);
  server = `127.0.0.1:${mesh.plane.server.addresses.http?.port}`;
});

afterAll(() => mesh.stop());

let files = 0;

function file(objects: readonly object[] | string): string {
  const path = join(mesh.folder.sub('new'), `${++files}.yaml`);
  writeFileSync(path, typeof objects === 'string' ? objects : objects.map((each) => stringify(each)).join('---\n'));
  return path;
}

function nodesFile(): string {
  const path = join(mesh.folder.path, 'proxies.yaml');
  writeFileSync(path, stringify(Object.fromEntries(NODES.map((node, i) => [`p${i}`, node]))));
  return path;
}

/** Against the running server, and against the same mesh as a folder with a file of proxies: both say the same. */
async function both(...args: string[]): Promise<Outcome> {
  const running = await commandLine('diff', ...args, '--server', server);
  const offline = await commandLine('diff', ...args, '--configDir', mesh.folder.configDir, '--proxies', nodesFile());
  // A server names files relative to its folder.
  const names = (text: string): string => text.replaceAll(`${mesh.folder.configDir}/`, '');
  expect({ ...offline, out: names(offline.out) }).toEqual(running);
  const mixed = await commandLine('diff', ...args, '--configDir', mesh.folder.configDir, '--server', server);
  expect({ ...mixed, out: names(mixed.out) }).toEqual(running);
  return running;
}

function versions(): readonly string[] {
  return [...mesh.plane.server.config.plane.sessions].flatMap((session) =>
    Object.values(TYPE_URL).flatMap((typeUrl) => `${session.id} ${session.record.types.get(typeUrl)?.sentNonce}`),
  );
}

describe('diff', () => {
  it('says nothing where nothing changes', async () => {
    expect(await both('-f', file([route('5s')]))).toEqual({
      code: 0,
      out: '0 of 3 proxies would change.\n',
      err: '',
    });
  });

  it('names the field that changes, for the proxies that see it, and serves on as before', async () => {
    const before = versions();
    const { snapshot } = mesh.plane.server.config.plane;
    const { code, out } = await both('-f', file([route('7s')]));
    expect(out).toBe(
      [
        'client-2.shop, client.shop:',
        '  ~ route 80',
        '      virtualHosts["web.shop.svc.cluster.local:80"].routes[0].route.timeout: "5s" -> "7s"',
        '      virtualHosts["web.shop.svc.cluster.local:80"].routes[0].route.maxGrpcTimeout: "5s" -> "7s"',
        '',
        '2 of 3 proxies would change.',
        '',
      ].join('\n'),
    );
    expect(code).toBe(1);
    expect(versions()).toEqual(before);
    expect(mesh.plane.server.config.plane.snapshot).toBe(snapshot);
  });

  it('lists what comes and goes', async () => {
    const { out } = await both('-f', file([kubeService('fresh', '10.96.0.7'), slice('fresh', '10.0.0.7')]));
    expect(out).toContain('  + cluster outbound|80||fresh.shop.svc.cluster.local\n');
    expect(out).toContain('  + endpoint outbound|80||fresh.shop.svc.cluster.local\n');
    const gone = await both('--delete', '-f', file([kubeService('web', '10.96.0.1')]));
    expect(gone.out).toContain('  - cluster outbound|80||web.shop.svc.cluster.local\n');
    expect(gone.out).toContain('new: Error [IST0101] (VirtualService shop/web');
    expect(gone.code).toBe(1);
  });

  it('looks at one proxy only when told so', async () => {
    const { out } = await both('-f', file([route('7s')]), '--proxy', 'client.shop', '-o', 'json');
    const report = JSON.parse(out) as PreviewReport;
    expect(report).toMatchObject({
      considered: 1,
      groups: [{ proxies: ['client.shop'], changes: [{ type: 'route' }] }],
    });
    expect((await both('-f', file([route('7s')]), '--proxy', 'apart.side')).code).toBe(0);
    expect(await both('-f', file([route('7s')]), '--proxy', 'nobody.shop')).toMatchObject({
      code: 2,
      err: 'meltemi: there is no proxy nobody.shop\n',
    });
  });

  it('tells what is wrong with the objects, and previews the others', async () => {
    const bad = istio('VirtualService', 'bad', { hosts: ['web'], http: [{ timeout: 'soon', route: [] }] });
    const { code, out } = await both('-f', file([bad, route('9s')]));
    expect(code).toBe(2);
    expect(out).toMatch(/^Error \[IST0106\] \(VirtualService shop\/bad .*\.yaml:11:7\) spec\.http\[0\]\.timeout: /m);
    expect(out).toContain('"5s" -> "9s"');
  });

  it('takes folders, and names text that can not be read', async () => {
    const folder = mesh.folder.sub('many');
    mkdirSync(join(folder, 'deep'), { recursive: true });
    writeFileSync(join(folder, 'a.yaml'), stringify(route('8s')));
    writeFileSync(join(folder, 'deep', 'b.json'), JSON.stringify(kubeService('deep', '10.96.0.8')));
    const { out } = await both('-f', folder);
    expect(out).toContain('"5s" -> "8s"');
    expect(out).toContain('+ cluster outbound|80||deep.shop');
    const broken = await both('-f', file('a: [1'));
    expect(broken.code).toBe(2);
    expect(broken.out).toContain('Error [MEL0002]');
  });

  it('derives proxies from Pods', async () => {
    const pod = {
      apiVersion: 'v1',
      kind: 'Pod',
      metadata: { name: 'web-1', namespace: 'shop', labels: { app: 'web' } },
      spec: { containers: [{ name: 'app' }] },
      status: { phase: 'Running', podIP: '10.0.0.5', podIPs: [{ ip: '10.0.0.5' }] },
    };
    const folder = mesh.folder.sub('pods');
    writeFileSync(join(folder, 'a.yaml'), [...BASE, pod].map((each) => stringify(each)).join('---\n'));
    const { code, out } = await commandLine('diff', '-f', file([route('7s')]), '--configDir', folder);
    expect(code).toBe(1);
    expect(out).toContain('web-1.shop:\n  ~ route 80');
  });

  it('knows what the environment turns on', async () => {
    const sticky = kubeService('web', '10.96.0.1') as { metadata: object };
    const objects = [{ ...sticky, metadata: { ...sticky.metadata, labels: { 'shop.example/sticky': 'c' } } }];
    const ask = (env: Readonly<Record<string, string>>): Promise<Outcome> =>
      commandLineIn(env, 'diff', '-f', file(objects), '--configDir', mesh.folder.configDir, '--proxies', nodesFile());
    const label = { PILOT_PERSISTENT_SESSION_LABEL: 'shop.example/sticky' };
    expect((await ask(label)).out).not.toContain('stateful_session');
    expect((await ask({ ...label, PILOT_ENABLE_PERSISTENT_SESSION_FILTER: 'true' })).out).toContain('stateful_session');
    const wrong = await ask({ PILOT_ENABLE_QUIC_LISTENERS: 'maybe' });
    expect(wrong.code).toBe(2);
    expect(wrong.err).toContain('PILOT_ENABLE_QUIC_LISTENERS=maybe: expected true or false');
  });

  it.each([
    [['diff', '-f', 'x.yaml'], 64, 'give --configDir or --server'],
    [['diff', '--server', ':1'], 64, 'nothing to compare'],
    [['diff', '-f', '/nowhere.yaml', '--server', '127.0.0.1:1'], 2, 'no control plane answers at 127.0.0.1:1'],
    [['diff', '-f', '/nowhere.yaml', '--configDir', '/nowhere'], 2, 'there are no proxies'],
  ])('%j is an error', async (args, code, message) => {
    const outcome = await commandLine(...args);
    expect(outcome).toMatchObject({ code, err: expect.stringContaining(message) });
  });
});
