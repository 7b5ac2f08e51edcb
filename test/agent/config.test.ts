import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { parse } from 'yaml';
import { resolveConfig } from '../../src/agent/config.ts';
import { mergeLayers, readDownward, readInputs } from '../../src/agent/inputs.ts';
import { newFolder, removeFolders } from '../ca/support.ts';
import { configOf, inputsOf } from './support.ts';

afterAll(removeFolders);

describe('resolveConfig', () => {
  it('names the proxy by the environment, and by the machine where that is silent', () => {
    expect(configOf({ flags: { role: 'router', domain: 'x.example' } }).nodeId).toBe(
      'router~127.0.0.1~web-0.shop~x.example',
    );
    const bare = { ...inputsOf(), env: {}, addresses: ['192.0.2.1', 'fd00::1'] };
    const { config } = resolveConfig(bare);
    expect(config.nodeId).toBe('sidecar~192.0.2.1~machine.default~default.svc.cluster.local');
    expect(config.instanceIps).toEqual(['192.0.2.1', 'fd00::1']);
    expect(config.certificates.identity).toBe('spiffe://cluster.local/ns/default/sa/default');
    expect(() => resolveConfig({ ...bare, addresses: [] })).toThrow(/INSTANCE_IP/);
  });

  it('collects metadata from the environment, JSON where it is marked so', () => {
    const { config, remarks } = resolveConfig(
      inputsOf({
        env: {
          ISTIO_META_NETWORK: 'n1',
          ISTIO_METAJSON_STATIC: '{"a":[1]}',
          ISTIO_METAJSON_BAD: '{',
          ISTIO_META_CLUSTER_ID: 'east',
        },
        proxyConfig: { proxyMetadata: { ISTIO_META_DNS_CAPTURE: 'true', ISTIO_META_NETWORK: 'n0' } },
      }),
    );
    expect(config.metadata).toMatchObject({
      NETWORK: 'n1',
      STATIC: { a: [1] },
      DNS_CAPTURE: 'true',
      CLUSTER_ID: 'east',
    });
    expect(config.metadata).not.toHaveProperty('BAD');
    expect(remarks).toEqual(['ISTIO_METAJSON_BAD is not JSON and is ignored']);
    expect(config.clusterId).toBe('east');
  });

  it('finds servers, their names and roots', () => {
    const usual = configOf();
    expect(usual.discovery).toEqual({
      address: 'istiod.istio-system.svc:15012',
      security: 'tls',
      serverName: 'istiod.istio-system.svc',
      roots: { kind: 'file', path: './var/run/secrets/istio/root-cert.pem' },
    });
    const byAddress = configOf({
      flags: { discoveryAddress: '[::1]:15012' },
      env: { CA_ADDR: 'ca.example:443', CA_ROOT_CA: 'SYSTEM', PROV_CERT: '/certs' },
    });
    expect(byAddress.discovery).toMatchObject({
      serverName: 'istiod.istio-system.svc',
      roots: { path: '/certs/root-cert.pem' },
    });
    expect(byAddress.ca).toMatchObject({
      address: 'ca.example:443',
      serverName: 'ca.example',
      roots: { kind: 'system' },
    });
    expect(configOf({ proxyConfig: { controlPlaneAuthPolicy: 'NONE' } }).discovery.security).toBe('plaintext');
    expect(configOf({ env: { XDS_HEADER_X_TEAM: 'blue' } }).xdsHeaders).toEqual({ x_team: 'blue' });
  });

  it('reads the certificate policy, bounded', () => {
    const policy = configOf({
      env: { SECRET_TTL: '1h30m', SECRET_GRACE_PERIOD_RATIO: '7', WORKLOAD_RSA_KEY_SIZE: '1024', TRUST_DOMAIN: 'a@b' },
    }).certificates;
    expect(policy).toMatchObject({
      lifetimeSeconds: 5400,
      graceRatio: 1,
      key: { kind: 'rsa', bits: 2048 },
      identity: 'spiffe://a.b/ns/shop/sa/web',
    });
    expect(configOf().certificates).toMatchObject({
      lifetimeSeconds: 86400,
      graceRatio: 0.5,
      graceJitter: 0.01,
      key: { kind: 'ecdsa' },
    });
    const { config, remarks } = resolveConfig(inputsOf({ env: { SECRET_TTL: 'soon' } }));
    expect(config.certificates.lifetimeSeconds).toBe(86400);
    expect(remarks[0]).toContain('SECRET_TTL "soon"');
  });
});

describe('inputs', () => {
  const parseYaml = async (text: string): Promise<unknown> => parse(text);

  it('reads downward files as kubelet writes them', () => {
    expect(readDownward('app="web"\nnote="a \\"quoted\\" one"\nplain=x\n\nbroken\n')).toEqual({
      app: 'web',
      note: 'a "quoted" one',
      plain: 'x',
    });
  });

  it('merges layers, later over earlier, maps by key', () => {
    expect(
      mergeLayers([
        { concurrency: 1, statusPort: 1, proxyMetadata: { A: '1', B: '1' } },
        { concurrency: 2, proxyMetadata: { B: '2' } },
      ]),
    ).toEqual({ concurrency: 2, statusPort: 1, proxyMetadata: { A: '1', B: '2' } });
  });

  it('reads files where pods have them, PROXY_CONFIG over the mesh file, the annotation over both', async () => {
    const folder = newFolder();
    const before = process.cwd();
    mkdirSync(join(folder, 'etc/istio/pod'), { recursive: true });
    mkdirSync(join(folder, 'etc/istio/config'), { recursive: true });
    writeFileSync(join(folder, 'etc/istio/pod/labels'), 'app="web"\n');
    writeFileSync(join(folder, 'etc/istio/pod/annotations'), 'proxy.istio.io/config="statusPort: 3\\n"\n');
    writeFileSync(
      join(folder, 'etc/istio/config/mesh'),
      'trustDomain: example.org\ndefaultConfig:\n  statusPort: 1\n  proxyAdminPort: 1\n  concurrency: 1\n',
    );
    try {
      process.chdir(folder);
      const inputs = await readInputs({ PROXY_CONFIG: '{"statusPort": 2, "proxyAdminPort": 2}' }, {}, parseYaml);
      expect(inputs).toMatchObject({ labels: { app: 'web' }, trustDomain: 'example.org', remarks: [] });
      expect(inputs.proxyConfig).toEqual({ statusPort: 3, proxyAdminPort: 2, concurrency: 1 });
      expect((await readInputs({ PROXY_CONFIG: 'a: b: c' }, {}, parseYaml)).remarks[0]).toContain('PROXY_CONFIG');
    } finally {
      process.chdir(before);
    }
  });
});
