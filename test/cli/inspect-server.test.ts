// The commands against a whole server with proxies on its streams.

import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { credentials } from '@grpc/grpc-js';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { packageVersion } from '../../src/cli/package-version.ts';
import { encode } from '../../src/codec/index.ts';
import { TYPE_URL } from '../../src/ir/draft.ts';
import { type Server, startServer } from '../../src/server.ts';
import { AdsClient } from '../../src/xds/client.ts';
import type { Mode } from '../../src/xds/encode.ts';
import { cells, commandLine, type Outcome } from './support.ts';

const MESH = `
apiVersion: v1
kind: Service
metadata: { name: web, namespace: shop }
spec:
  clusterIP: 10.0.0.1
  ports: [{ name: http, port: 80, targetPort: 8080 }]
---
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: { name: api, namespace: shop }
spec:
  hosts: [api.example.com]
  location: MESH_EXTERNAL
  resolution: STATIC
  ports: [{ number: 8443, name: tcp, protocol: TCP }]
  endpoints: [{ address: 192.0.2.1 }, { address: 192.0.2.2 }]
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: { name: web, namespace: shop }
spec:
  hosts: [web.shop.svc.cluster.local]
  http:
    - match: [{ uri: { prefix: /api } }]
      route: [{ destination: { host: web.shop.svc.cluster.local } }]
`;

let folder = '';
let server: Server;
let address: readonly string[] = [];
const clients: AdsClient[] = [];

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'meltemi-'));
  await writeFile(join(folder, 'mesh.yaml'), MESH);
  server = await startServer({
    version: packageVersion(),
    configDir: folder,
    meshConfig: join(folder, 'none'),
    networksConfig: join(folder, 'none'),
    domain: 'cluster.local',
    clusterId: 'Kubernetes',
    systemNamespace: 'istio-system',
    revision: '',
    grpc: { host: '127.0.0.1', port: 0 },
    caDir: join(folder, 'none'),
    hosts: [],
    logLevels: 'none',
    logJson: false,
    debounceQuiet: 1,
    debounceMax: 10,
    maxStreamRate: 0,
  });
  await server.ready();
  const at = `127.0.0.1:${server.addresses.grpc?.port}`;
  address = ['--xds-address', at];
  await Promise.all([sidecar(at, 'a', '1.29.0', 'sotw'), sidecar(at, 'b', '1.30.0', 'delta')]);
});

afterAll(async () => {
  for (const client of clients) client.close();
  await server.stop();
  await rm(folder, { recursive: true });
});

/** A proxy that has taken everything of three types and asks for a route of which there is none. */
async function sidecar(at: string, name: string, version: string, mode: Mode): Promise<void> {
  const wanted = new Set<string>([TYPE_URL.cluster, TYPE_URL.listener, TYPE_URL.endpoint]);
  await new Promise<void>((resolve, reject) => {
    const client = new AdsClient({
      address: at,
      credentials: credentials.createInsecure(),
      mode,
      node: Buffer.from(
        encode('envoy.config.core.v3.Node', {
          id: `sidecar~10.1.0.1~${name}.shop~shop.svc.cluster.local`,
          metadata: { CLUSTER_ID: 'Kubernetes', ISTIO_VERSION: version, NAMESPACE: 'shop' },
        }),
      ),
      onUpdate: ({ typeUrl }) => {
        wanted.delete(typeUrl);
        if (wanted.size === 0) resolve();
      },
      onEnd: ({ message }) => reject(new Error(message)),
    });
    clients.push(client);
    client.subscribe(TYPE_URL.cluster);
    client.subscribe(TYPE_URL.listener);
    client.subscribe(TYPE_URL.endpoint, ['outbound|8443||api.example.com', 'outbound|80||web.shop.svc.cluster.local']);
    client.subscribe(TYPE_URL.route, ['no.such.route']);
  });
}

const meltemi = (...args: string[]): Promise<Outcome> => commandLine(...args, ...address);

describe('a running server', () => {
  it('tells which proxies are connected', async () => {
    const { out } = await meltemi('ps');
    const rows = cells(out).slice(1);
    expect(rows.map(([name, cluster]) => [name, cluster])).toEqual([
      ['a.shop', 'Kubernetes'],
      ['b.shop', 'Kubernetes'],
    ]);
    expect(rows.map((row) => row.at(-1))).toEqual(Array(2).fill('4 (CDS,LDS,EDS,RDS)'));
  });

  it('tells how far they are', async () => {
    // The acknowledgement of the last answer may be under way still.
    await expect
      .poll(async () => {
        const row = cells((await meltemi('ps', '-v', '1', 'a.shop')).out)[1] ?? [];
        return row.slice(2, 7).map((cell) => cell.replace(/ \(\d+s\)/, ''));
      })
      .toEqual(['SYNCED', 'SYNCED', 'SYNCED', 'NOT SENT', 'IGNORED']);
  });

  it('shows what a proxy was given', async () => {
    const clusters = cells((await meltemi('pc', 'cluster', 'a.shop', '--direction', 'outbound')).out).slice(1);
    expect(clusters.map(([host, port, , , type]) => `${host}:${port} ${type}`)).toEqual([
      'api.example.com:8443 EDS',
      'web.shop.svc.cluster.local:80 EDS',
    ]);
    const endpoints = cells((await meltemi('pc', 'endpoint', 'b.shop', '--port', '8443')).out).slice(1);
    expect(endpoints).toEqual([
      ['192.0.2.1:8443', 'UNKNOWN', '-', 'outbound|8443||api.example.com'],
      ['192.0.2.2:8443', 'UNKNOWN', '-', 'outbound|8443||api.example.com'],
    ]);
    const { out: listeners } = await meltemi('pc', 'listener', 'a.shop', '--port', '80');
    expect(listeners).toContain('Route: 80');
    const { out: routes } = await meltemi('pc', 'route', 'a.shop', '--name', '80');
    expect(routes).toMatch(/web\.shop\.svc\.cluster\.local:80 +web.*\/api\* +web\.shop\n/);
  });

  it('gives the same to both variants of the protocol', async () => {
    const a = await meltemi('pc', 'all', 'a.shop');
    expect(a.code).toBe(0);
    expect(a.out).toContain('cluster/outbound|80||web.shop.svc.cluster.local');
    expect((await meltemi('pc', 'all', 'b.shop')).out).toBe(a.out);
  });

  it('tells versions, without those who only ask', async () => {
    expect((await meltemi('version', '--remote')).out).toBe(
      [
        `client version: ${packageVersion()}`,
        `control plane version: ${packageVersion()}`,
        'data plane version: 1.29.0 (1 proxies), 1.30.0 (1 proxies)',
        '',
      ].join('\n'),
    );
  });

  it('knows no other proxy', async () => {
    expect((await meltemi('pc', 'all', 'c.shop')).code).toBe(1);
  });
});
