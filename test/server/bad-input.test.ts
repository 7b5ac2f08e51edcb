// Bad configuration, against the whole server: each mistake is named precisely, and everything else stays served.

import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type LocalControlPlane, startLocalControlPlane, TestFolder } from '../support/server.ts';
import { eventually } from '../support/wait.ts';

interface Shown {
  readonly severity: string;
  readonly origin?: string;
  readonly path?: string;
  readonly message: string;
}

const GOOD = [
  {
    apiVersion: 'v1',
    kind: 'Service',
    metadata: { name: 'good', namespace: 'shop' },
    spec: { clusterIP: '10.96.0.1', ports: [{ name: 'http', port: 80 }] },
  },
  {
    apiVersion: 'networking.istio.io/v1',
    kind: 'VirtualService',
    metadata: { name: 'good', namespace: 'shop' },
    spec: { hosts: ['good'], http: [{ name: 'first', route: [{ destination: { host: 'good' } }] }] },
  },
];

function virtualService(spec: string): string {
  return `apiVersion: networking.istio.io/v1\nkind: VirtualService\nmetadata: {name: bad, namespace: shop}\nspec:\n${spec}`;
}

let plane: LocalControlPlane;
const folder = new TestFolder();

beforeAll(async () => {
  folder.write('good', GOOD);
  plane = await startLocalControlPlane(folder);
});

afterAll(async () => {
  await plane.stop();
  folder.delete();
});

async function findingsAbout(text: string | RegExp): Promise<Shown> {
  return eventually(
    async () => {
      const all = (await plane.debug('findingz')) as readonly Shown[];
      return all.find((finding) =>
        typeof text === 'string' ? JSON.stringify(finding).includes(text) : text.test(JSON.stringify(finding)),
      );
    },
    `a finding about ${String(text)}`,
  );
}

async function expectGoodServed(): Promise<void> {
  const services = (await plane.debug('registryz')) as readonly { readonly hostname: string }[];
  expect(services.map((service) => service.hostname)).toContain('good.shop.svc.cluster.local');
  const objects = (await plane.debug('configz')) as readonly { readonly kind: string; readonly name: string }[];
  expect(objects.some((object) => object.kind === 'VirtualService' && object.name === 'good')).toBe(true);
}

const MISTAKES: readonly (readonly [what: string, text: string, path: RegExp, message: RegExp])[] = [
  ['a syntax error', 'a: [1,\nb: {', /./, /bad\.yaml:\d+/],
  [
    'a wrong type',
    virtualService('  hosts: [good]\n  http: [{timeout: 5, route: [{destination: {host: good}}]}]'),
    /spec\.http\[0\]\.timeout/,
    /./,
  ],
  [
    'an unknown kind',
    'apiVersion: networking.istio.io/v1\nkind: VirtualServise\nmetadata: {name: x}',
    /./,
    /VirtualServise/,
  ],
  [
    'weights that sum to 0',
    virtualService(
      '  hosts: [good]\n  http: [{route: [{destination: {host: good}, weight: 0}, {destination: {host: other}, weight: 0}]}]',
    ),
    /spec\.http\[0\]\.route/,
    /weight/,
  ],
  [
    'an invalid regex',
    virtualService('  hosts: [good]\n  http: [{match: [{uri: {regex: "["}}], route: [{destination: {host: good}}]}]'),
    /spec\.http\[0\]\.match\[0\]\.uri/,
    /./,
  ],
  [
    'an endpoint with a bad address',
    'apiVersion: discovery.k8s.io/v1\nkind: EndpointSlice\nmetadata: {name: bad, namespace: shop, labels: {kubernetes.io/service-name: good}}\naddressType: IPv4\nports: [{name: http, port: 80}]\nendpoints: [{addresses: ["not-an-ip"]}]',
    /endpoints\[0\]\.addresses\[0\]/,
    /not-an-ip/,
  ],
  [
    'a Gateway naming a missing Secret',
    'apiVersion: networking.istio.io/v1\nkind: Gateway\nmetadata: {name: bad, namespace: shop}\nspec: {selector: {istio: g}, servers: [{port: {number: 443, name: https, protocol: HTTPS}, hosts: ["*"], tls: {mode: SIMPLE, credentialName: nowhere}}]}',
    /credentialName/,
    /nowhere/,
  ],
];

describe('bad configuration', () => {
  it.each(MISTAKES)('%s is named, and all else is served', async (_what, text, path, message) => {
    folder.write('bad', text);
    const finding = await findingsAbout(/bad/);
    const shown = await eventually(
      async () => {
        const all = (await plane.debug('findingz')) as readonly Shown[];
        return all.find((each) => path.test(JSON.stringify(each)) && message.test(JSON.stringify(each)));
      },
      `the finding, not ${JSON.stringify(finding)}`,
    );
    expect(shown.message).not.toBe('');
    await expectGoodServed();
    folder.remove('bad');
    await eventually(
      async () => (((await plane.debug('findingz')) as readonly Shown[]).length === 0 ? true : undefined),
      'the finding to go',
    );
  });

  it('names both places of a duplicate, and brings the loser in force when the winner goes', async () => {
    folder.write('twin', JSON.stringify(GOOD[0]));
    const { message } = await findingsAbout('good.yaml');
    expect(message).toContain('good.yaml');
    folder.remove('twin');
    await expectGoodServed();
  });

  it('refuses a file of 50 MB without reading it', async () => {
    writeFileSync(join(folder.configDir, 'huge.yaml'), Buffer.alloc(50 * 1024 * 1024, 'a: b\n'));
    expect((await findingsAbout('huge.yaml')).severity).toBe('error');
    await expectGoodServed();
    folder.remove('huge');
  });

  it('keeps the last good version of what is broken later', async () => {
    folder.write('good', [
      GOOD[0] ?? {},
      { ...GOOD[1], spec: { hosts: ['good'], http: [{ route: [{ destination: { host: 'good' }, weight: -1 }] }] } },
    ]);
    await findingsAbout('weight');
    await expectGoodServed();
    folder.write('good', GOOD);
  });
});
