import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { packageVersion } from '../../src/cli/package-version.ts';
import { TYPE_URL } from '../../src/ir/draft.ts';
import { connection, consoleOf, resource, typeStatus } from '../console/support.ts';
import { cells, commandLine, type DebugServer, debugServer, type Outcome } from './support.ts';

const COUNT = 300;
let server: DebugServer;
let address: readonly string[] = [];

beforeAll(async () => {
  const sentAt = Date.now() - 65_000;
  const taken = (nonce: string) => typeStatus({ sentNonce: nonce, ackedNonce: nonce, sentAt });
  const types = new Map([
    [TYPE_URL.cluster, taken('1')],
    [TYPE_URL.listener, typeStatus({ sentNonce: '2', ackedNonce: '1', sentAt })],
    [TYPE_URL.endpoint, typeStatus({ sentNonce: '3', sentAt, lastError: 'bad' })],
    [TYPE_URL.route, typeStatus({})],
    [TYPE_URL.secret, taken('4')],
  ]);
  // More than one gRPC message of the default size.
  const clusters = Array.from({ length: COUNT }, (_, i) =>
    resource('envoy.config.cluster.v3.Cluster', {
      name: `outbound|80||s${i}.shop.svc.cluster.local`,
      type: 'EDS',
      altStatName: 'x'.repeat(20_000),
    }),
  );
  server = await debugServer(
    consoleOf([
      connection('web-7d9f-abcde.shop', clusters, { types, version: '1.30.0' }),
      connection('gateway-0.edge', [], { version: '1.29.1', clusterId: 'east' }),
      connection('web-0.shop', [], { version: '1.30.0' }),
      connection('web-0.edge', [], { version: '' }),
    ]),
  );
  address = ['--xds-address', server.address];
});

afterAll(() => server.close());

const meltemi = (...args: string[]): Promise<Outcome> => commandLine(...args, ...address);

describe('proxy-status', () => {
  it('lists proxies with the types that they are subscribed to', async () => {
    const { code, out } = await meltemi('proxy-status');
    expect(code).toBe(0);
    expect(out).toBe(
      [
        'NAME                    CLUSTER        ISTIOD        VERSION     SUBSCRIBED TYPES',
        'gateway-0.edge          east           meltemi-0     1.29.1      0',
        'web-0.edge              Kubernetes     meltemi-0                 0',
        'web-0.shop              Kubernetes     meltemi-0     1.30.0      0',
        'web-7d9f-abcde.shop     Kubernetes     meltemi-0     1.30.0      5 (CDS,LDS,EDS,RDS,SDS)',
        '',
      ].join('\n'),
    );
  });

  it('shows states and ages when asked so', async () => {
    const { out } = await meltemi('ps', '-v', '1', '-n', 'shop');
    const [header, none, web] = cells(out);
    expect(header).toEqual(['NAME', 'CLUSTER', 'CDS', 'LDS', 'EDS', 'RDS', 'ECDS', 'SDS', 'ISTIOD', 'VERSION']);
    expect(web?.map((cell) => cell.replace(/\(6\ds\)/, '(65s)'))).toEqual([
      'web-7d9f-abcde.shop',
      'Kubernetes',
      'SYNCED (65s)',
      'STALE (65s)',
      'ERROR (65s)',
      'NOT SENT',
      'IGNORED',
      'SYNCED (65s)',
      'meltemi-0',
      '1.30.0',
    ]);
    expect(none?.slice(2, 8)).toEqual(Array(6).fill('IGNORED'));
  });

  it.each([
    [['web-0.shop'], ['web-0.shop']],
    [['web-0'], ['web-0.edge', 'web-0.shop']],
    [['web-0', '-n', 'edge'], ['web-0.edge']],
    [['deployment/web.shop'], ['web-0.shop']],
  ])('%j shows %j', async (args, expected) => {
    const { out } = await meltemi('ps', ...args);
    expect(
      cells(out)
        .slice(1)
        .map(([name]) => name),
    ).toEqual(expected);
  });

  it('prints the answer as JSON and YAML', async () => {
    const { out } = await meltemi('ps', 'web-7d9f-abcde.shop', '-o', 'json');
    expect(JSON.parse(out)).toMatchObject({
      typeUrl: 'istio.io/debug/syncz',
      controlPlane: { identifier: expect.stringContaining('"ID":"meltemi-0"') },
      resources: [
        {
          '@type': 'type.googleapis.com/envoy.service.status.v3.ClientConfig',
          node: { id: 'web-7d9f-abcde.shop' },
          genericXdsConfigs: [{ configStatus: 'SYNCED' }, {}, {}, {}, {}],
        },
      ],
    });
    expect((await meltemi('ps', '-o', 'yaml')).out).toContain('\nresources:\n- ');
  });

  it('knows no other proxy', async () => {
    const { code, err } = await meltemi('ps', 'nobody.shop');
    expect({ code, err }).toEqual({
      code: 1,
      err: `meltemi: proxy nobody.shop is not connected to ${server.address}\n`,
    });
  });
});

describe('proxy-config', () => {
  it.each([['web-7d9f-abcde.shop'], ['web-7d9f-abcde'], ['pod/web-7d9f-abcde.shop']])('of %s', async (name) => {
    const { out } = await meltemi('pc', 'clusters', name);
    expect(cells(out)).toHaveLength(COUNT + 1);
    expect(cells(out)[1]?.slice(0, 5)).toEqual(['s0.shop.svc.cluster.local', '80', '-', 'outbound', 'EDS']);
  });

  it('is printed whole', async () => {
    const { out } = await meltemi('proxy-config', 'all', 'web-0.shop', '-o', 'json');
    const { configs } = JSON.parse(out) as { configs: { '@type': string }[] };
    expect(configs.map((config) => config['@type'])).toContain('type.googleapis.com/envoy.admin.v3.ClustersConfigDump');
  });

  it('shows tables of a proxy without anything', async () => {
    const { code, out } = await meltemi('pc', 'all', 'web-0.shop');
    expect(code).toBe(0);
    expect(out).toContain('No active or warming secrets found.');
  });

  it.each([
    ['nobody.shop', 'proxy nobody.shop is not connected to'],
    ['nobody', 'proxy nobody is not connected to'],
    ['web-0', 'web-0 may be any of web-0.edge, web-0.shop'],
  ])('of %s is an error', async (name, message) => {
    const { code, err } = await meltemi('pc', 'listener', name);
    expect(code).toBe(1);
    expect(err).toContain(message);
    expect(err.trimEnd().split('\n')).toHaveLength(1);
  });
});

describe('version', () => {
  it('is of the binary', async () => {
    expect((await commandLine('version')).out).toBe(`client version: ${packageVersion()}\n`);
    expect((await commandLine('version', '--short=false')).out).toContain(`Node.js ${process.versions.node}`);
    expect(JSON.parse((await commandLine('version', '-o', 'json')).out)).toEqual({
      clientVersion: { version: packageVersion() },
    });
  });

  it('is of the control plane and the proxies too', async () => {
    expect((await meltemi('version', '--remote', '--short')).out).toBe(
      [
        `client version: ${packageVersion()}`,
        'control plane version: 1.2.3',
        'data plane version: 1.29.1 (1 proxies), 1.30.0 (2 proxies), unknown (1 proxies)',
        '',
      ].join('\n'),
    );
    expect(JSON.parse((await meltemi('version', '--remote', '-o', 'json')).out)).toMatchObject({
      meshVersion: [{ Component: 'meltemi', Info: { version: '1.2.3' } }],
      dataPlaneVersion: [{ ID: 'gateway-0.edge', IstioVersion: '1.29.1' }, {}, {}, {}],
    });
  });
});

describe('problems', () => {
  it('are told in one line', async () => {
    const { code, out, err } = await commandLine('ps', '--xds-address', '127.0.0.1:1');
    expect({ code, out, err }).toEqual({
      code: 1,
      out: '',
      err: 'meltemi: no control plane answers at 127.0.0.1:1: connection refused\n',
    });
  });

  it.each([
    [['ps', '-o', 'xml']],
    [['ps', '-v', 'much']],
    [['ps', '--no-such-flag']],
    [['pc', 'cluster']],
    [['pc', 'nonsense', 'a.b']],
    [['pc', 'route', 'a.b', '--fqdn', 'x']],
    [['version', '-o', 'text']],
  ])('%j is wrong usage', async (args) => {
    expect((await commandLine(...args)).code).toBe(64);
  });
});
