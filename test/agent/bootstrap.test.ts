import { execFileSync, spawnSync } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { bootstrapOf } from '../../src/agent/bootstrap.ts';
import { newFolder, removeFolders } from '../ca/support.ts';
import { type ConfigRequest, configOf, envoyForTests } from './support.ts';

const ENVOY = envoyForTests();

afterAll(removeFolders);

interface Bootstrap {
  readonly node: {
    readonly id: string;
    readonly cluster: string;
    readonly locality?: object;
    readonly metadata: Record<string, unknown>;
  };
  readonly admin: { readonly address: object };
  readonly layeredRuntime: { readonly layers: readonly { readonly staticLayer?: object }[] };
  readonly statsConfig: { readonly statsMatcher: { readonly inclusionList: { readonly patterns: readonly object[] } } };
  readonly dynamicResources: { readonly adsConfig: { readonly apiType: string } };
  readonly clusterManager: { readonly localClusterName?: string };
  readonly staticResources: {
    readonly clusters: readonly { readonly name: string }[];
    readonly listeners: readonly object[];
  };
}

const bootstrap = (request: ConfigRequest = {}) => bootstrapOf(configOf(request)) as unknown as Bootstrap;

describe('bootstrapOf', () => {
  it('introduces the proxy', () => {
    const { node } = bootstrap({ labels: { app: 'web', 'topology.istio.io/locality': 'eu.eu-1.rack7' } });
    expect(node.id).toBe('sidecar~127.0.0.1~web-0.shop~shop.svc.cluster.local');
    expect(node.cluster).toBe('web.shop');
    expect(node.locality).toEqual({ region: 'eu', zone: 'eu-1', subZone: 'rack7' });
    expect(node.metadata).toMatchObject({
      NAME: 'web-0',
      NAMESPACE: 'shop',
      SERVICE_ACCOUNT: 'web',
      INSTANCE_IPS: '127.0.0.1',
      LABELS: { app: 'web' },
    });
  });

  it('asks for delta unless told not to', () => {
    expect(bootstrap().dynamicResources.adsConfig.apiType).toBe('DELTA_GRPC');
    expect(bootstrap({ env: { ISTIO_DELTA_XDS: 'false' } }).dynamicResources.adsConfig.apiType).toBe('GRPC');
  });

  it('takes runtime values, and an empty one removes a default', () => {
    const runtimeValues = { 'a.b': '1', 're2.max_program_size.error_level': '' };
    expect(bootstrap({ proxyConfig: { runtimeValues } }).layeredRuntime.layers[0]?.staticLayer).toEqual({ 'a.b': '1' });
  });

  it('adds the statistics that user and pod ask for', () => {
    const { patterns } = bootstrap({
      proxyConfig: { proxyStatsMatcher: { inclusionPrefixes: ['http.'], inclusionRegexps: ['x.*y'] } },
      annotations: { 'sidecar.istio.io/statsInclusionPrefixes': 'listener.{pod_ip},istio' },
      env: { INSTANCE_IP: '10.0.0.7' },
    }).statsConfig.statsMatcher.inclusionList;
    expect(patterns).toEqual(
      expect.arrayContaining([{ prefix: 'http.' }, { prefix: 'listener.10.0.0.7' }, { safeRegex: { regex: 'x.*y' } }]),
    );
    expect(patterns.filter((each) => JSON.stringify(each) === '{"prefix":"istio"}')).toHaveLength(1);
  });

  it('has a cluster for the other pods of the workload, where it shall know them', () => {
    const { clusterManager, staticResources } = bootstrap({ env: { ISTIO_META_ENABLE_SELF_DISCOVERY: 'true' } });
    expect(clusterManager.localClusterName).toBe('local_cluster');
    expect(staticResources.clusters.map(({ name }) => name)).toContain('local_cluster');
    expect(bootstrap().clusterManager.localClusterName).toBeUndefined();
    expect(bootstrap().staticResources.clusters.map(({ name }) => name)).not.toContain('local_cluster');
  });

  it('listens on both families for a proxy that has both', () => {
    const text = JSON.stringify(
      bootstrap({ env: { INSTANCE_IP: '10.0.0.7', INSTANCE_IPS: '10.0.0.7,fd00::7' } }).staticResources.listeners,
    );
    expect(
      text.match(/"additionalAddresses":\[\{"address":\{"socketAddress":\{"protocol":"TCP","address":"::"/g),
    ).toHaveLength(2);
    expect(JSON.stringify(bootstrap().staticResources.listeners)).not.toContain('additionalAddresses');
  });
});

const VARIANTS: readonly (readonly [string, ConfigRequest])[] = [
  ['a sidecar', {}],
  ['a gateway with state of the world', { flags: { role: 'router' }, env: { ISTIO_DELTA_XDS: 'false' } }],
  ['a dual stack proxy', { env: { INSTANCE_IP: '10.0.0.7', INSTANCE_IPS: '10.0.0.7,fd00::7' } }],
  [
    'everything a user can set',
    {
      labels: { app: 'web', 'istio-locality': 'eu.eu-1' },
      proxyConfig: {
        runtimeValues: { 'overload.global_downstream_max_connections': '1000', 'envoy.reloadable_features.x': 'true' },
        proxyStatsMatcher: { inclusionPrefixes: ['http'], inclusionSuffixes: ['rq'], inclusionRegexps: ['a.*'] },
        statsCompression: false,
      },
    },
  ],
];

it.each([
  [{}, '2147483647'],
  [{ runtimeValues: { 'overload.global_downstream_max_connections': '7' } }, '7'],
  [
    {
      runtimeValues: { 'overload.global_downstream_max_connections': '7' },
      proxyMetadata: { ISTIO_META_GLOBAL_DOWNSTREAM_MAX_CONNECTIONS: '8' },
    },
    '8',
  ],
  [
    {
      proxyMetadata: { ISTIO_META_GLOBAL_DOWNSTREAM_MAX_CONNECTIONS: '8' },
      connectionSettings: { globalDownstreamConnectionLimit: 9 },
    },
    '9',
  ],
])('with %j at most %s connections are open', (proxyConfig, limit) => {
  expect(bootstrap({ proxyConfig })).toMatchObject({
    overloadManager: { resourceMonitors: [{ typedConfig: { maxActiveDownstreamConnections: limit } }] },
  });
});

describe.skipIf(ENVOY === undefined)('real Envoy takes the bootstrap of', () => {
  it.each(VARIANTS)('%s, without a word', (_name, request) => {
    const path = join(newFolder(), 'bootstrap.json');
    writeFileSync(path, JSON.stringify(bootstrap(request)));
    const run = spawnSync(ENVOY ?? '', ['--mode', 'validate', '-c', path, '-l', 'warning'], { encoding: 'utf8' });
    expect(run.status).toBe(0);
    expect(run.stderr).toBe('');
  });

  it('and the version is one we test with', () => {
    expect(execFileSync(ENVOY ?? '', ['--version'], { encoding: 'utf8' })).toMatch(/\/1\.\d+\.\d+\//);
  });
});
