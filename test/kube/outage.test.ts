// The API server is away: proxies keep what they have, those that come are served, and what changed meanwhile arrives.
// It is cut off by a proxy in front of it, as any cluster allows. OUTAGE_SECONDS says for how long; with APISERVER_PID, a
// process on this machine, it is also really killed, and started again shortly before the end. Skipped without KUBECONFIG.
import { type ChildProcess, spawn } from 'node:child_process';
import { readFileSync, readlinkSync } from 'node:fs';
import { ChannelCredentials, status } from '@grpc/grpc-js';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { TYPE_URL } from '../../src/ir/draft.ts';
import { AdsClient } from '../../src/xds/client.ts';
import { call } from '../support/apps.ts';
import { eventually, pause, until } from '../support/wait.ts';
import { Cluster, CuttableProxy, kubeconfig, nodeBytes, proxyWith, type Raw, serve } from './cluster.ts';

const OUTAGE_MS = Number(process.env['OUTAGE_SECONDS'] ?? 5) * 1000;
const APISERVER = process.env['APISERVER_PID'];

/** A process as it runs, to be started once more just so. */
function processOf(pid: number): { readonly kill: () => void; readonly start: () => ChildProcess } {
  const parts = (name: string) => readFileSync(`/proc/${pid}/${name}`, 'utf8').split('\0').filter(Boolean);
  const [, ...args] = parts('cmdline');
  const [file, cwd] = [readlinkSync(`/proc/${pid}/exe`), readlinkSync(`/proc/${pid}/cwd`)];
  const env = Object.fromEntries(parts('environ').map((line) => line.split(/=(.*)/s).slice(0, 2) as [string, string]));
  return {
    kill: () => process.kill(pid, 'SIGKILL'),
    start: () => spawn(file, args, { cwd, env, stdio: 'ignore' }),
  };
}

describe.skipIf(kubeconfig === undefined)('while the API server is away', () => {
  let cluster: Cluster;
  let system: string;
  let shop: string;
  let apiserver: ChildProcess | undefined;

  const service = (name: string): Raw => ({
    ...{ apiVersion: 'v1', kind: 'Service', metadata: { name, namespace: shop } },
    spec: { ports: [{ name: 'http', port: 80, targetPort: 8080 }] },
  });
  const slice = (name: string, ip: string): Raw => ({
    ...{ apiVersion: 'discovery.k8s.io/v1', kind: 'EndpointSlice', addressType: 'IPv4' },
    metadata: { name: `${name}-1`, namespace: shop, labels: { 'kubernetes.io/service-name': name } },
    ports: [{ name: 'http', port: 8080, protocol: 'TCP' }],
    endpoints: [{ addresses: [ip], conditions: { ready: true } }],
  });
  const clusterName = (name: string) => `outbound|80||${name}.${shop}.svc.cluster.local`;
  const subscribe = (client: AdsClient): AdsClient => {
    client.subscribe(TYPE_URL.cluster);
    client.subscribe(TYPE_URL.endpoint, [clusterName('stays'), clusterName('moves')]);
    return client;
  };
  const addressOf = (client: AdsClient, name: string) =>
    client.held(TYPE_URL.endpoint).get(clusterName(name))?.bytes.toString('latin1') ?? '';

  beforeAll(async () => {
    cluster = new Cluster();
    system = await cluster.namespace('system');
    shop = await cluster.namespace('shop');
    await cluster.put({ apiVersion: 'v1', kind: 'ServiceAccount', metadata: { name: 'web', namespace: shop } });
    for (const [name, ip] of [
      ['stays', '10.7.0.1'],
      ['moves', '10.7.0.2'],
      ['goes', '10.7.0.3'],
    ] as const) {
      await cluster.put(service(name));
      await cluster.put(slice(name, ip));
    }
  });

  afterAll(async () => {
    await cluster.clean();
    apiserver?.kill('SIGKILL');
  });

  it('no proxy loses anything, new ones are served, and what changed meanwhile arrives', async () => {
    const proxy = await CuttableProxy.start();
    const server = await serve(system, { kubeconfig: proxy.kubeconfig, replica: 'outage' });
    const map = { apiVersion: 'v1', kind: 'ConfigMap', metadata: { name: 'istio-ca-root-cert', namespace: shop } };
    const root = await eventually(() => cluster.read(map), 'the root certificate');
    const roots = (root['data'] as Record<string, string>)['root-cert.pem'] ?? '';
    const clients: AdsClient[] = [];
    let ended = 0;
    const plain = (name: string): AdsClient => {
      const client = new AdsClient({
        address: `127.0.0.1:${server.addresses.grpc?.port}`,
        credentials: ChannelCredentials.createInsecure(),
        mode: 'delta',
        node: nodeBytes({ namespace: shop, name }),
        onEnd: () => ended++,
      });
      clients.push(client);
      return subscribe(client);
    };
    const withToken = (token: string, onEnd: (end: { readonly code: number }) => void): AdsClient => {
      const client = proxyWith(server, roots, token, { namespace: shop, account: 'web' }, { onEnd });
      clients.push(client);
      return subscribe(client);
    };
    const served = (client: AdsClient, what: string) =>
      until(async () => addressOf(client, 'stays').includes('10.7.0.1'), what, 60_000);
    try {
      const [known, unknown] = [await cluster.token(shop, 'web'), await cluster.token(shop, 'web')];
      const before = plain('before');
      const trusted = withToken(known, () => ended++);
      await served(before, 'the endpoint');
      await served(trusted, 'the endpoint, with a token');
      const real = APISERVER === undefined ? undefined : processOf(Number(APISERVER));
      await proxy.cut();
      real?.kill();
      const began = Date.now();
      // One comes every few seconds: without credentials, by a token that was reviewed before, by one that was not.
      let rounds = 0;
      for (let round = 0; round === 0 || Date.now() - began < OUTAGE_MS - 10_000; round++) {
        await served(plain(`during-${round}`), 'a proxy that comes meanwhile');
        const again = withToken(known, () => undefined);
        await served(again, 'a proxy that comes back with its token');
        again.close();
        const code = await new Promise<number>((resolve) => withToken(unknown, (end) => resolve(end.code)));
        expect(code).toBe(status.UNAVAILABLE);
        rounds++;
        const { port = 0 } = server.addresses.http ?? {};
        expect((await call({ address: '127.0.0.1', port, path: '/ready' })).status).toBe(200);
        await pause(Math.min(5_000, OUTAGE_MS / 5));
      }
      if (real !== undefined) apiserver = real.start();
      // By somebody else: for the control plane the API server is still away.
      await until(async () => (await cluster.put(slice('moves', '10.7.5.5'))) !== undefined, 'a change', 60_000);
      await cluster.remove(slice('goes', '10.7.0.3'));
      await cluster.remove(service('goes'));
      await pause(OUTAGE_MS - (Date.now() - began));
      expect(addressOf(before, 'moves')).toContain('10.7.0.2');
      expect(before.held(TYPE_URL.cluster).has(clusterName('goes'))).toBe(true);
      expect(ended).toBe(0);
      await proxy.mend();
      const mended = Date.now();
      const arrived = (client: AdsClient) =>
        addressOf(client, 'moves').includes('10.7.5.5') && !client.held(TYPE_URL.cluster).has(clusterName('goes'));
      await until(async () => arrived(before) && arrived(trusted), 'what changed meanwhile', 40_000);
      console.log(
        `away for ${((mended - began) / 1000).toFixed(0)} s${real === undefined ? '' : ', killed and started again'}: ` +
          `${rounds} proxies came meanwhile, as many unknown tokens were told to come again, changes after ${Date.now() - mended} ms`,
      );
      expect(ended).toBe(0);
      await served(
        withToken(unknown, () => undefined),
        'a proxy whose token can be reviewed again',
      );
    } finally {
      for (const client of clients) client.close();
      await server.stop();
      await proxy.cut();
    }
  }, 400_000);
});
