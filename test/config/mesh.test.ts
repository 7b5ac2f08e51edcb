import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  DEFAULT_MESH_CONFIG,
  DEFAULT_PROXY_CONFIG,
  mergeProxyConfig,
  parseMeshConfig,
  parseMeshNetworks,
  parseProxyConfig,
} from '../../src/config/mesh.ts';

describe('mesh configuration', () => {
  it('is the defaults where nothing is said', () => {
    expect(parseMeshConfig(undefined)).toEqual({ mesh: DEFAULT_MESH_CONFIG, findings: [] });
    expect(parseMeshConfig({}).mesh).toBe(DEFAULT_MESH_CONFIG);
    expect(DEFAULT_MESH_CONFIG).toMatchObject({
      trustDomain: 'cluster.local',
      rootNamespace: 'istio-system',
      proxyListenPort: 15001,
      proxyInboundListenPort: 15006,
      connectTimeout: '10s',
      dnsRefreshRate: '60s',
      outboundTrafficPolicy: { mode: 'ALLOW_ANY' },
      localityLbSetting: { enabled: true },
      defaultConfig: { drainDuration: '45s', statusPort: 15020, discoveryAddress: 'istiod.istio-system.svc:15012' },
    });
    expect(DEFAULT_MESH_CONFIG.extensionProviders.map(({ name }) => name)).toEqual([
      'prometheus',
      'stackdriver',
      'envoy',
    ]);
  });

  it('puts fields over the defaults, messages merged, lists replaced, providers by name', () => {
    const { mesh, findings } = parseMeshConfig({
      connectTimeout: '1500ms',
      localityLbSetting: { failover: [{ from: 'a', to: 'b' }] },
      defaultServiceExportTo: ['.'],
      defaultConfig: { proxyMetadata: { A: '1' }, concurrency: 2 },
      extensionProviders: [
        { name: 'envoy', envoyFileAccessLog: { path: '/tmp/log' } },
        { name: 'zipkin', zipkin: { service: 'z.obs', port: 9411 } },
      ],
    });
    expect(findings).toEqual([]);
    expect(mesh.connectTimeout).toBe('1.500s');
    expect(mesh.localityLbSetting).toEqual({ enabled: true, failover: [{ from: 'a', to: 'b' }] });
    expect(mesh.defaultServiceExportTo).toEqual(['.']);
    expect(mesh.defaultConfig).toMatchObject({ concurrency: 2, statusPort: 15020, proxyMetadata: { A: '1' } });
    expect(mesh.extensionProviders.map(({ name }) => name)).toEqual(['prometheus', 'stackdriver', 'envoy', 'zipkin']);
    expect(mesh.extensionProviders[2]?.envoyFileAccessLog?.path).toBe('/tmp/log');
  });

  it('keeps the last good value of each wrong field, and no more', () => {
    const before = parseMeshConfig({
      trustDomain: 'a.b',
      extensionProviders: [{ name: 'p', prometheus: {} }],
      defaultConfig: { concurrency: 4 },
    }).mesh;
    const { mesh, findings } = parseMeshConfig(
      {
        trustDomain: 7,
        rootNamespace: 'root',
        extensionProviders: [
          { name: 'p', prometheus: {}, sds: {} },
          { name: 'q', zipkin: { service: 'z', port: 99999 } },
          { name: 'r', prometheus: {} },
        ],
        defaultConfig: { concurrency: 'many', statusPort: 1 },
        outbound_traffic_policy: {},
      },
      before,
    );
    expect(findings.map(({ severity, path }) => [severity, path])).toEqual([
      ['error', 'trustDomain'],
      ['error', 'extensionProviders[1].zipkin.port'],
      ['error', 'defaultConfig.concurrency'],
      ['warning', 'outbound_traffic_policy'],
      ['error', 'extensionProviders[0]'],
    ]);
    expect([mesh.trustDomain, mesh.rootNamespace]).toEqual(['a.b', 'root']);
    expect(mesh.extensionProviders.map(({ name }) => name)).toEqual(['prometheus', 'stackdriver', 'envoy', 'p', 'r']);
    expect(mesh.defaultConfig).toMatchObject({ concurrency: 4, statusPort: 1 });
  });

  it('keeps the identity of what is equal', () => {
    const first = parseMeshConfig({ tlsDefaults: { minProtocolVersion: 'TLSV1_3' }, connectTimeout: '1s' }).mesh;
    expect(
      parseMeshConfig({ tlsDefaults: { minProtocolVersion: 'TLSV1_3' }, connectTimeout: '1000ms' }, first).mesh,
    ).toBe(first);
    const second = parseMeshConfig(
      { tlsDefaults: { minProtocolVersion: 'TLSV1_3' }, connectTimeout: '2s' },
      first,
    ).mesh;
    expect(second.connectTimeout).toBe('2s');
    expect(second.tlsDefaults).toBe(first.tlsDefaults);
  });

  it('merges proxy configurations as annotations do', () => {
    const merged = mergeProxyConfig(
      { ...DEFAULT_PROXY_CONFIG, proxyMetadata: { A: '1', B: '2' }, proxyHeaders: { requestId: { disabled: true } } },
      { concurrency: 1, proxyMetadata: { B: '3' }, proxyHeaders: { server: { disabled: true } } },
    );
    expect(merged).toMatchObject({
      concurrency: 1,
      statusPort: 15020,
      proxyMetadata: { A: '1', B: '3' },
      proxyHeaders: { requestId: { disabled: true }, server: { disabled: true } },
    });
    expect(parseProxyConfig({ concurrency: -1 }).findings).toMatchObject([{ path: 'concurrency' }]);
  });

  it('never throws', () => {
    fc.assert(
      fc.property(
        fc.dictionary(fc.constantFrom(...Object.keys(DEFAULT_MESH_CONFIG)), fc.anything({ maxDepth: 3 })),
        (raw) => {
          expect(parseMeshConfig(raw).mesh.rootNamespace).not.toBe('');
          parseMeshNetworks({ networks: raw });
        },
      ),
    );
  });
});

describe('mesh networks', () => {
  it('keeps the last good definition of a wrong network', () => {
    const first = parseMeshNetworks({
      networks: { a: { endpoints: [{ fromRegistry: 'c1' }] }, b: { endpoints: [{ fromCidr: '10.0.0.0/8' }] } },
    });
    expect(first.findings).toEqual([]);
    const second = parseMeshNetworks(
      { networks: { a: { endpoints: [{ fromCidr: '10.0.0.0/99' }] }, c: {} } },
      first.networks,
    );
    expect(second.findings).toMatchObject([
      { severity: 'error', code: 'MEL0030', path: 'networks["a"].endpoints[0].fromCidr' },
    ]);
    expect(second.networks.networks).toEqual({ a: { endpoints: [{ fromRegistry: 'c1' }] }, c: {} });
    expect(parseMeshNetworks({ networks: { a: { gateways: [{ port: 1 }] } } }).findings).toMatchObject([
      { path: 'networks["a"].gateways[0]' },
    ]);
  });
});
