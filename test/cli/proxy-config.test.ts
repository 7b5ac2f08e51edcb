import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type ProxyConfigFlags, type ProxyConfigType, proxyConfig } from '../../src/cli/commands/proxy-config.ts';
import { domainsText } from '../../src/cli/proxy-config/routes.ts';
import { CLUSTERS_PAGE, ENVOY_DUMP } from './dumps.ts';
import { cells, type Outcome, outcomeOf } from './support.ts';

let folder = '';
let dump = '';

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'meltemi-'));
  dump = join(folder, 'dump.json');
  await writeFile(dump, ENVOY_DUMP);
});

afterAll(() => rm(folder, { recursive: true }));

function show(type: ProxyConfigType, flags: Partial<ProxyConfigFlags> = {}): Promise<Outcome> {
  return outcomeOf((context) =>
    proxyConfig(type, undefined, { xdsAddress: '', output: 'short', file: dump, ...flags }, context),
  );
}

async function table(type: ProxyConfigType, flags: Partial<ProxyConfigFlags> = {}): Promise<readonly string[]> {
  const { out } = await show(type, flags);
  return out.trimEnd().split('\n');
}

describe('clusters', () => {
  it('are shown as istioctl shows them', async () => {
    expect((await show('cluster')).out).toBe(
      [
        'SERVICE FQDN                   PORT     SUBSET     DIRECTION     TYPE             DESTINATION RULE',
        '                               8080     -          inbound       ORIGINAL_DST     ',
        'PassthroughCluster             -        -          -             ORIGINAL_DST     ',
        'agent                          -        -          -             STATIC           ',
        'api.example.com                443      -          outbound      STRICT_DNS       ',
        'web.shop.svc.cluster.local     80       -          outbound      EDS              ',
        'web.shop.svc.cluster.local     80       v2         outbound      EDS              web.shop',
        '',
      ].join('\n'),
    );
  });

  it.each<[Partial<ProxyConfigFlags>, readonly string[]]>([
    [{ fqdn: 'web.shop' }, ['outbound|80||web.shop.svc.cluster.local', 'outbound|80|v2|web.shop.svc.cluster.local']],
    [{ subset: 'v2' }, ['outbound|80|v2|web.shop.svc.cluster.local']],
    [{ port: '443' }, ['outbound|443||api.example.com']],
    [{ port: '8' }, []],
    [{ direction: 'inbound' }, ['inbound|8080||']],
    [{ direction: 'outbound', fqdn: 'example' }, ['outbound|443||api.example.com']],
  ])('that fit %j', async (flags, expected) => {
    const { out } = await show('cluster', { ...flags, output: 'json' });
    expect((JSON.parse(out) as { name: string }[]).map(({ name }) => name)).toEqual(expected);
  });

  it('are printed as canonical JSON, with what is unknown left as it was', async () => {
    const { out } = await show('cluster', { subset: 'v2', output: 'json' });
    expect(JSON.parse(out)).toEqual([
      {
        name: 'outbound|80|v2|web.shop.svc.cluster.local',
        type: 'EDS',
        metadata: {
          filterMetadata: {
            istio: { config: '/apis/networking.istio.io/v1/namespaces/shop/destination-rule/web' },
          },
        },
        a_field_of_tomorrow: { and_its_content: 1 },
      },
    ]);
  });

  it('are printed as YAML', async () => {
    expect((await show('cluster', { fqdn: 'agent', output: 'yaml' })).out).toBe('- name: agent\n');
  });
});

describe('listeners', () => {
  it('are shown with match and destination', async () => {
    expect((await show('listener')).out).toBe(
      [
        'ADDRESSES  PORT  MATCH                                               DESTINATION',
        '0.0.0.0,:: 80    Trans: raw_buffer; App: http/1.1,h2c                Route: 80',
        '0.0.0.0,:: 80    ALL                                                 PassthroughCluster',
        '10.0.0.9   443   ALL                                                 Inline Route: /healthz*',
        '10.0.0.9   443   SNI: a.example.com,b.example.com; Addr: 10.0.0.0/24 Cluster: outbound|443||api.example.com',
        '0.0.0.0    15006 Addr: *:15006                                       Non-HTTP/Non-TCP',
        '0.0.0.0    15006 Trans: tls; App: TCP TLS                            InboundPassthroughCluster',
        '0.0.0.0    15006 Trans: tls; App: Istio HTTP Plain; Addr: *:8080     Cluster: inbound|8080||',
        '',
      ].join('\n'),
    );
  });

  it('are shown by type when asked so', async () => {
    expect(await table('listener', { verbose: 'false' })).toEqual([
      'ADDRESSES  PORT  TYPE',
      '0.0.0.0,:: 80    HTTP+TCP',
      '10.0.0.9   443   HTTP+TCP',
      '0.0.0.0    15006 HTTP+TCP',
    ]);
  });

  it.each<[Partial<ProxyConfigFlags>, number]>([
    [{ port: '80' }, 1],
    [{ address: '::' }, 1],
    [{ address: '0.0.0.0' }, 2],
    [{ type: 'http+tcp' }, 3],
    [{ type: 'TCP' }, 0],
    [{ address: '0.0.0.0', port: '15006' }, 1],
  ])('that fit %j', async (flags, count) => {
    const { out } = await show('listener', { ...flags, output: 'json' });
    expect(JSON.parse(out)).toHaveLength(count);
  });
});

describe('routes', () => {
  it('are shown by virtual host', async () => {
    expect(cells((await show('route')).out).map((row) => row.join('|'))).toEqual([
      'NAME|VHOST NAME|DOMAINS|MATCH|VIRTUAL SERVICE',
      '80|web.shop.svc.cluster.local:80|web, web.shop + 1 more...|/login|web.shop',
      '80|web.shop.svc.cluster.local:80|web, web.shop + 1 more...|regex /v[0-9]+|',
      '80|web.shop.svc.cluster.local:80|web, web.shop + 1 more...|PathPrefix:/api|',
      '8080|blackhole:8080|*|/*|404',
      'inbound|8080|||inbound|http|8080|*|/*',
    ]);
  });

  it('are counted when asked so', async () => {
    expect(cells((await show('route', { verbose: false })).out)).toEqual([
      ['NAME', 'VIRTUAL HOSTS'],
      ['80', '2'],
      ['8080', '1'],
      ['inbound|8080||', '1'],
    ]);
  });

  it('of one name', async () => {
    expect(JSON.parse((await show('route', { name: '80', output: 'json' })).out)).toHaveLength(1);
    expect(JSON.parse((await show('route', { name: '8', output: 'json' })).out)).toHaveLength(0);
  });

  it.each([
    [[], ''],
    [['*'], '*'],
    [['a:80', 'a'], 'a'],
    [['a.ns.svc.cluster.local', 'a.ns', 'a.ns.svc', 'b'], 'a.ns, b'],
    [['a.ns.svc.cluster.local', 'b'], 'a.ns.svc.cluster.local, b'],
    [['[fd00::1]', '[fd00::1]:80', 'a'], '[fd00::1], a'],
    [['a', 'b', 'c', 'd'], 'a, b + 2 more...'],
  ])('domains %j are %s', (domains, text) => {
    expect(domainsText(domains)).toBe(text);
  });
});

describe('endpoints', () => {
  it('are shown by address, outlier detection unknown', async () => {
    expect(cells((await show('endpoint')).out)).toEqual([
      ['ENDPOINT', 'STATUS', 'OUTLIER CHECK', 'CLUSTER'],
      ['10.1.0.10:8080', 'HEALTHY', '-', 'outbound|80||web.shop.svc.cluster.local'],
      ['10.1.0.2:8080', 'UNHEALTHY', '-', 'outbound|80||web.shop.svc.cluster.local'],
      ['unix://./socket', 'UNKNOWN', '-', 'agent'],
    ]);
  });

  it('are shown from the page of clusters', async () => {
    const file = join(folder, 'clusters.json');
    await writeFile(file, CLUSTERS_PAGE);
    expect(cells((await show('endpoint', { file })).out)).toEqual([
      ['ENDPOINT', 'STATUS', 'OUTLIER CHECK', 'CLUSTER'],
      ['10.1.0.1:8080', 'HEALTHY', 'FAILED', 'outbound|80||web.shop.svc.cluster.local'],
      ['10.1.0.2:8080', 'HEALTHY', 'OK', 'outbound|80||web.shop.svc.cluster.local'],
      ['unix://./socket', 'UNKNOWN', 'OK', 'agent'],
    ]);
    const { out } = await show('endpoint', { file, cluster: 'AGENT', output: 'json' });
    expect(JSON.parse(out)).toMatchObject([{ name: 'agent' }]);
  });

  it('are shown as they were sent', async () => {
    expect(cells((await show('eds')).out)).toEqual([
      ['NAME', 'STATUS', 'LOCALITY', 'CLUSTER'],
      ['./socket', 'UNKNOWN', 'agent'],
      ['10.1.0.2:8080', 'UNHEALTHY', 'north/a', 'outbound|80||web.shop.svc.cluster.local'],
      ['10.1.0.10:8080', 'HEALTHY', 'north/a', 'outbound|80||web.shop.svc.cluster.local'],
    ]);
  });

  it.each<[Partial<ProxyConfigFlags>, readonly string[]]>([
    [{ status: 'unhealthy' }, ['10.1.0.2:8080']],
    [{ address: '10.1.0.10' }, ['10.1.0.10:8080']],
    [{ port: '8080', status: 'HEALTHY' }, ['10.1.0.10:8080']],
    [{ cluster: 'agent' }, ['unix://./socket']],
    [{ port: '9' }, []],
  ])('that fit %j', async (flags, expected) => {
    const rows = cells((await show('endpoint', flags)).out).slice(1);
    expect(rows.map(([address]) => address)).toEqual(expected);
  });
});

describe('all', () => {
  it('is every table, told apart by names', async () => {
    const lines = await table('all', { withHeaders: true });
    expect(lines.filter((line) => line.startsWith('---'))).toEqual([
      '------ BOOTSTRAP INFO ------',
      '------ CLUSTER INFO ------',
      '------ LISTENER INFO ------',
      '------ ROUTE INFO ------',
      '------ SECRET INFO ------',
      '------ ENDPOINTS INFO ------',
    ]);
    expect(lines).toContain('Envoy Version: 1.36.2/Clean/RELEASE/BoringSSL');
    for (const name of ['cluster/PassthroughCluster', 'listener/0.0.0.0_80', 'route/80', 'endpoint/10.1.0.2:8080'])
      expect(lines.some((line) => line.startsWith(name))).toBe(true);
  });
});

describe('problems', () => {
  const content = async (text: string): Promise<string> => {
    const file = join(folder, 'bad.json');
    await writeFile(file, text);
    return file;
  };

  it('are told in one line with an exit status', async () => {
    const missing = await show('cluster', { file: join(folder, 'none.json') });
    expect(missing).toMatchObject({ code: 1, err: expect.stringContaining('can not be read') });
    const broken = await show('cluster', { file: await content('{') });
    expect(broken).toMatchObject({ code: 65, err: expect.stringContaining('is not JSON') });
    const other = await show('cluster', { file: await content('{"a":1}') });
    expect(other).toMatchObject({ code: 65, err: expect.stringContaining('no Envoy config dump') });
    expect(await show('cluster', { output: 'xml' })).toMatchObject({ code: 64 });
    expect(await show('cluster', { port: 'x' })).toMatchObject({ code: 64 });
  });

  it('are told when it is unclear what to show', async () => {
    const both = await outcomeOf((context) =>
      proxyConfig('cluster', 'a.b', { xdsAddress: '', output: 'short', file: dump }, context),
    );
    expect(both).toMatchObject({ code: 64, err: expect.stringContaining('the name of a proxy or --file') });
    expect(
      await outcomeOf((context) => proxyConfig('all', undefined, { xdsAddress: '', output: 'short' }, context)),
    ).toMatchObject({
      code: 64,
    });
  });
});
