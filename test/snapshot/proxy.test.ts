import { describe, expect, it } from 'vitest';
import { DEFAULT_MESH_CONFIG } from '../../src/config/mesh.ts';
import { parseProxy } from '../../src/snapshot/index.ts';
import { familyOf, interceptionOf, namesOf, networkViewOf, settingsOf } from '../../src/snapshot/proxy.ts';
import { proxy } from '../support/snapshot-builders.ts';

const ID = 'sidecar~10.1.2.3~web-0.shop~shop.svc.cluster.local';

describe('node ids', () => {
  it('have four parts', () => {
    expect(parseProxy({ id: ID })).toMatchObject({
      type: 'sidecar',
      addresses: ['10.1.2.3'],
      instance: 'web-0.shop',
      namespace: 'shop',
      dnsDomain: 'shop.svc.cluster.local',
    });
  });

  it.each([
    ['sidecar~10.1.2.3~web-0.shop', 'has not four parts'],
    [`${ID}~more`, 'has not four parts'],
    ['', 'has not four parts'],
    ['ztunnel~10.1.2.3~web-0.shop~shop.svc.cluster.local', 'of unknown type ztunnel'],
    ['sidecar~nonsense~web-0.shop~shop.svc.cluster.local', 'has no valid address'],
    ['sidecar~~web-0.shop~shop.svc.cluster.local', 'has no valid address'],
  ])('%s is refused', (id, reason) => {
    expect(parseProxy({ id })).toEqual({ error: expect.stringContaining(reason) });
  });

  it.each([
    ['10.0.0.1, 10.0.0.2', ['10.0.0.1', '10.0.0.2']],
    ['bad,2001:db8::1', ['2001:db8::1']],
    ['bad', ['10.1.2.3']],
    ['', ['10.1.2.3']],
  ])('INSTANCE_IPS %j gives %j', (ips, addresses) => {
    expect(parseProxy({ id: ID, metadata: { INSTANCE_IPS: ips } })).toMatchObject({ addresses });
  });

  it('give way to NAMESPACE, and labels to STATIC_LABELS', () => {
    const metadata = { NAMESPACE: 'own', LABELS: { a: '1', b: '2' }, STATIC_LABELS: { b: '3' } };
    expect(parseProxy({ id: ID, metadata })).toMatchObject({ namespace: 'own', labels: { a: '1', b: '3' } });
  });

  it.each([
    ['1.32.9', 'classic'],
    ['1.33.0', 'current'],
    ['1.36.4', 'current'],
    ['1.37.0', 'latest'],
    ['2.0.0', 'latest'],
    ['', 'classic'],
    ['dev', 'classic'],
  ])('Envoy %s speaks the %s dialect', (userAgentVersion, dialect) => {
    expect(parseProxy({ id: ID, userAgentVersion })).toMatchObject({ dialect });
  });

  it('survive metadata of any shape', () => {
    const metadata = { LABELS: 'x', STATIC_LABELS: [1], INSTANCE_IPS: 7, NAMESPACE: {}, CLUSTER_ID: true };
    expect(parseProxy({ id: ID, metadata })).toMatchObject({ labels: {}, namespace: 'shop', clusterId: '' });
  });
});

describe('metadata', () => {
  const settings = (metadata: Readonly<Record<string, unknown>>) =>
    settingsOf(proxy({ metadata }), DEFAULT_MESH_CONFIG);

  it.each([
    [['10.0.0.1'], 'v4'],
    [['2001:db8::1'], 'v6'],
    [['10.0.0.1', '2001:db8::1'], 'dual'],
  ] as const)('%j is %s', (addresses, family) => {
    expect(familyOf(addresses)).toBe(family);
  });

  it('switches', () => {
    expect(
      settings({
        DNS_CAPTURE: 'true',
        HTTP10: '1',
        HTTP_PROXY_PORT: '15007',
        IDLE_TIMEOUT: '7s',
        UNPRIVILEGED_POD: 'true',
        INBOUND_LISTENER_EXACT_BALANCE: 'true',
        OUTBOUND_LISTENER_EXACT_BALANCE: 'TRUE',
        ENVOY_STATUS_PORT: '15021',
        ENVOY_PROMETHEUS_PORT: 15090,
        TLS_CLIENT_KEY: '/k',
        credential: '',
      }),
    ).toMatchObject({
      dnsCapture: true,
      http10: true,
      httpProxyPort: 15007,
      idleTimeout: '7s',
      unprivileged: true,
      inboundExactBalance: true,
      outboundExactBalance: true,
      statusPort: 15021,
      prometheusPort: 15090,
      tlsClientKey: '/k',
      externalSds: true,
    });
    expect(settings({ DNS_CAPTURE: 'false', HTTP10: '0', HTTP_PROXY_PORT: 'x' })).toMatchObject({
      dnsCapture: false,
      http10: false,
      httpProxyPort: 0,
      externalSds: false,
    });
  });

  it('interception and network view', () => {
    expect(interceptionOf(proxy())).toBe('REDIRECT');
    expect(interceptionOf(proxy({ metadata: { INTERCEPTION_MODE: 'TPROXY' } }))).toBe('TPROXY');
    expect(networkViewOf(proxy({ metadata: { REQUESTED_NETWORK_VIEW: 'b, a,,b' } }))).toEqual(['a', 'b']);
  });

  it('PROXY_CONFIG stands over the default of the mesh, as an object or as JSON, without what only agents read', () => {
    const config = { statNameLength: 200, concurrency: 7, proxyHeaders: { server: { disabled: true } } };
    for (const written of [config, JSON.stringify(config)]) {
      const { proxyConfig } = settings({ PROXY_CONFIG: written });
      expect(proxyConfig).toMatchObject({ statNameLength: 200, proxyHeaders: { server: { disabled: true } } });
      expect(proxyConfig).not.toHaveProperty('concurrency');
    }
    expect(settings({ PROXY_CONFIG: '{broken' }).proxyConfig).toEqual(settings({}).proxyConfig);
    expect(settings({}).proxyConfig).toMatchObject({ statNameLength: 189 });
  });

  it('names are those that the injector gives', () => {
    const labels = { 'service.istio.io/canonical-name': 'c', 'service.istio.io/canonical-revision': 'v2', app: 'a' };
    expect(namesOf(proxy(), labels)).toEqual({ canonicalService: 'c', canonicalRevision: 'v2' });
    expect(namesOf(proxy(), { app: 'a' })).toEqual({ canonicalService: '', canonicalRevision: '' });
  });
});
