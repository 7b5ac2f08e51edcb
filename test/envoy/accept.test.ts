import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterEach, describe, expect, it } from 'vitest';
import { parse } from 'yaml';
import { issue } from '../support/certificates.ts';
import { envoysForTests, type ProxyOptions, startProxy, type TestProxy } from '../support/envoy.ts';
import { verify } from '../support/mesh.ts';
import { type LocalControlPlane, startLocalControlPlane, TestFolder } from '../support/server.ts';
import { freePorts, holdSubnet } from '../support/wait.ts';

const here = (path: string): string => fileURLToPath(new URL(path, import.meta.url));
const read = (folder: string): string =>
  readdirSync(folder)
    .filter((name) => name.endsWith('.yaml') && name !== 'mesh.yaml')
    .sort()
    .map((name) => readFileSync(join(folder, name), 'utf8'))
    .join('\n---\n');

type Kind = Partial<ProxyOptions> & Pick<ProxyOptions, 'name' | 'account' | 'labels'>;

describe.each(envoysForTests())('Envoy $version takes', ({ envoy }) => {
  const takes = it.skipIf(envoy === '');
  const closers: (() => Promise<void> | void)[] = [];
  afterEach(async () => {
    for (const close of closers.splice(0).reverse()) await close();
  });

  /** Starts a proxy of each kind; resolves once all have acknowledged all. */
  async function load(
    namespace: string,
    mesh: Readonly<Record<string, unknown>>,
    text: (prefix: string, folder: TestFolder) => string,
    proxies: readonly Kind[],
  ): Promise<{ readonly plane: LocalControlPlane; readonly started: readonly TestProxy[] }> {
    const subnet = await holdSubnet();
    closers.push(() => subnet.release());
    const folder = new TestFolder(mesh);
    closers.push(() => folder.delete());
    folder.write('config', text(subnet.prefix, folder));
    const plane = await startLocalControlPlane(folder);
    closers.push(() => plane.stop());
    const started = await Promise.all(
      proxies.map(async (kind, index) => {
        const ip = `${subnet.prefix}.${kind.ip ?? index + 1}`;
        const options = { namespace, role: 'sidecar' as const, bind: ip, envoy, ...kind, ip: kind.bind ?? ip };
        const proxy = await startProxy(plane, { ...options, bind: ip });
        closers.push(() => proxy.stop());
        return proxy;
      }),
    );
    await plane.settled();
    return { plane, started };
  }

  takes(
    'the bookinfo sample, all of it',
    async () => {
      const text = (prefix: string): string =>
        read(here('../../samples/bookinfo'))
          .replaceAll('127.0.10.', `${prefix}.`)
          .replaceAll('127.0.20.', `${prefix}.1`)
          .replaceAll('127.0.30.1', `${prefix}.201`)
          .replaceAll('bind: 127.0.0.1', `bind: ${prefix}.19`);
      const apps = ['productpage', 'details', 'reviews', 'reviews', 'reviews', 'ratings', 'ledger', 'quotes'];
      const versions = ['v1', 'v1', 'v1', 'v2', 'v3', 'v1', 'v1', 'v1'];
      const { plane, started } = await load('bookinfo', {}, text, [
        ...apps.map((app, index) => ({
          name: `${app}-${versions[index]}`,
          account: app,
          labels: { app, version: versions[index] ?? '' },
          ip: String(11 + index),
          env: { ISTIO_META_INTERCEPTION_MODE: 'NONE' },
        })),
        {
          name: 'gateway',
          account: 'gateway',
          labels: { app: 'gateway', istio: 'ingressgateway' },
          role: 'router',
          ip: '19',
        },
      ]);
      await verify(plane, started);
      expect(plane.server.config.findings()).toEqual([]);
    },
    60_000,
  );

  takes(
    'every feature, in sidecars of every mode and in a gateway',
    async () => {
      const [outbound = 0, inbound = 0] = await freePorts(2);
      const mesh = parse(readFileSync(here('wide/mesh.yaml'), 'utf8')) as Record<string, unknown>;
      const ports = { proxyListenPort: outbound, proxyInboundListenPort: inbound };
      const text = (prefix: string, folder: TestFolder): string => {
        const { cert, key } = issue(folder.sub('front'), 'front', 'DNS:shop.example');
        const data = { 'tls.crt': base64(cert), 'tls.key': base64(key), 'ca.crt': base64(cert) };
        const metadata = { name: 'front-cert', namespace: 'shop' };
        const secret = { apiVersion: 'v1', kind: 'Secret', type: 'kubernetes.io/tls', metadata, data };
        const yaml = read(here('wide')).replaceAll('NONE_BIND', `${prefix}.1`).replaceAll('BIND', `${prefix}.5`);
        return `${yaml}\n---\n${JSON.stringify(secret)}`;
      };
      const mode = (value: string) => ({ ISTIO_META_INTERCEPTION_MODE: value });
      const { plane, started } = await load('shop', { ...mesh, ...ports }, text, [
        { name: 'none', account: 'none', labels: { app: 'none' }, env: mode('NONE') },
        {
          name: 'web-v1',
          account: 'web',
          labels: { app: 'web', version: 'v1' },
          bind: '10.1.1.1',
          env: mode('REDIRECT'),
        },
        {
          name: 'client',
          account: 'client',
          labels: { app: 'client' },
          env: { ...mode('TPROXY'), ISTIO_META_HTTP10: '1' },
        },
        { name: 'plain', account: 'plain', labels: {}, env: { ...mode('REDIRECT'), ISTIO_DELTA_XDS: 'false' } },
        { name: 'front', account: 'front', labels: { istio: 'ingressgateway' }, role: 'router' },
      ]);
      await verify(plane, started);
      const problems = plane.server.config.findings().filter(({ severity }) => severity === 'error');
      expect(problems).toEqual([]);
      // What the files are there for has really arrived.
      const counts = await Promise.all(
        started.map(async (proxy) => (await proxy.stats('active_clusters$|total_listeners_active$')).values()),
      );
      for (const values of counts) for (const value of values) expect(value).toBeGreaterThan(10);
    },
    60_000,
  );
});

function base64(text: string): string {
  return Buffer.from(text).toString('base64');
}
