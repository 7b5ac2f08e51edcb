import { featuresOf } from '../../src/config/features.ts';
import { connect } from 'node:net';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type CallAnswer, call } from '../support/apps.ts';
import { type Issued, issue } from '../support/certificates.ts';
import { newestEnvoy } from '../support/envoy.ts';
import { type Mesh, startMesh } from '../support/mesh.ts';
import type { LocalControlPlane } from '../support/server.ts';
import { until } from '../support/wait.ts';
import { istio, NAMESPACE, to } from './fixtures.ts';

const envoy = newestEnvoy();

const SITE = { host: 'shop.example' };
const UPSTREAM = 'type.googleapis.com/envoy.extensions.transport_sockets';

describe.skipIf(envoy === '')('gateways', () => {
  let mesh: Mesh<LocalControlPlane>;
  let authority: Issued;
  let front: Issued;

  beforeAll(async () => {
    mesh = await startMesh({
      envoy,
      server: { features: { ...featuresOf({}).features, quicListeners: true } },
      workloads: [
        {
          name: 'gateway',
          role: 'router',
          labels: { istio: 'ingressgateway', 'gateway.networking.k8s.io/gateway-name': 'front' },
        },
        {
          name: 'guarded',
          role: 'router',
          labels: { istio: 'guarded' },
          proxyConfig: { gatewayTopology: { proxyProtocol: {} }, connectionSettings: { profile: 'EDGE' } },
        },
        { name: 'client' },
        { name: 'web', service: 'web', ports: [{ name: 'http', number: 8080 }] },
        { name: 'cart', service: 'cart', namespace: 'cart', ports: [{ name: 'http', number: 8080 }] },
      ],
      objects: () => [
        {
          apiVersion: 'v1',
          kind: 'Service',
          metadata: { name: 'gateway', namespace: NAMESPACE },
          spec: {
            clusterIP: '10.96.78.1',
            selector: { workload: 'gateway' },
            ports: [
              { name: 'https', port: 8443, targetPort: 8443 },
              { name: 'http3', port: 8443, targetPort: 8443, protocol: 'UDP' },
              { name: 'http-usual', port: 80, targetPort: 8080 },
              { name: 'https-usual', port: 443, targetPort: 8447 },
            ],
          },
        },
      ],
    });
    const folder = mesh.plane.folder.sub('outside');
    authority = issue(folder, 'outside-root', 'DNS:root.example');
    front = issue(folder, 'front', 'DNS:shop.example', authority);
  });
  afterAll(() => mesh?.finish());

  const gateway = (name: string, servers: readonly object[], on = 'gateway', rest: object = {}): object =>
    istio('Gateway', name, {
      selector: { istio: on === 'gateway' ? 'ingressgateway' : on },
      servers: servers.map((server) => ({ bind: mesh.at.pod(on), ...server })),
      ...rest,
    });
  const http = (number: number, hosts: readonly string[] = ['shop.example']): object => ({
    port: { number, protocol: 'HTTP', name: `http-${number}` },
    hosts,
  });
  const https = (number: number, tls: object, hosts: readonly string[] = ['shop.example']): object => ({
    port: { number, protocol: 'HTTPS', name: `https-${number}` },
    hosts,
    tls,
  });
  const site = (name: string, spec: object, namespace = NAMESPACE): object =>
    istio('VirtualService', name, { hosts: ['shop.example'], gateways: ['front'], ...spec }, namespace);
  const secret = (name: string, data: Readonly<Record<string, string>>): object => ({
    apiVersion: 'v1',
    kind: 'Secret',
    metadata: { name, namespace: NAMESPACE },
    data: Object.fromEntries(Object.entries(data).map(([key, value]) => [key, Buffer.from(value).toString('base64')])),
  });
  const serverSecret = (): object =>
    secret('front', { 'tls.crt': front.cert, 'tls.key': front.key, 'ca.crt': authority.cert });
  const ask = (port: number, path = '/', headers: Record<string, string> = {}): Promise<CallAnswer> =>
    call({ address: mesh.at.pod('gateway'), port, path, headers: { ...SITE, connection: 'close', ...headers } });
  const askTls = (port: number, tls: object, headers: Record<string, string> = {}, path = '/'): Promise<CallAnswer> =>
    call({
      ...{ address: mesh.at.pod('gateway'), port, path },
      headers: { ...SITE, connection: 'close', ...headers },
      tls: { ca: authority.cert, servername: 'shop.example', ...tls },
    });
  const statusOf = (answer: Promise<CallAnswer>): Promise<number> => answer.then(({ status }) => status);
  const answers = (answer: () => Promise<CallAnswer>, status = 200): Promise<void> =>
    until(async () => (await statusOf(answer())) === status, `status ${status}`, 8000);
  const apply = (objects: readonly object[]): Promise<void> => mesh.apply('front', objects);

  describe('with routes', () => {
    it('join those of several Gateways and VirtualServices, the catch-all last, and say who lost a port', async () => {
      const named = (name: string): object => to('web', undefined, { headers: { request: { set: { 'x-by': name } } } });
      await apply([
        gateway('front', [http(8000)]),
        gateway('second', [http(8000, ['second.example'])]),
        gateway('third', [{ port: { number: 8000, protocol: 'TCP', name: 'tcp' }, hosts: ['*'] }]),
        site('a-all', { http: [{ route: [named('all')] }] }),
        site('b-cart', { http: [{ match: [{ uri: { prefix: '/cart' } }], route: [named('cart')] }] }),
        site('second', { hosts: ['*'], gateways: ['second'], http: [{ route: [named('second')] }] }),
      ]);
      await answers(() => ask(8000));
      const by = async (path: string, headers = {}) => (await ask(8000, path, headers)).echo().headers['x-by'];
      expect(await by('/cart/1')).toBe('cart');
      expect(await by('/other')).toBe('all');
      expect(await by('/', { host: 'second.example' })).toBe('second');
      const lost = mesh.plane.server.config.findings().filter(({ code }) => code === 'IST0145');
      expect(lost.map(({ ref }) => ref?.name)).toEqual(['third']);
      expect(lost[0]?.message).toContain('port 8000 already serves HTTP');
    });

    it('delegate parts of a host to VirtualServices of other namespaces', async () => {
      await apply([
        gateway('front', [http(8000)]),
        site('root', {
          http: [
            {
              match: [{ uri: { prefix: '/cart' } }],
              headers: { request: { set: { 'x-root': 'yes' } } },
              delegate: { name: 'cart', namespace: 'cart' },
            },
            { match: [{ uri: { prefix: '/nobody' } }], delegate: { name: 'nobody', namespace: 'cart' } },
            { route: [to('web')] },
          ],
        }),
        istio(
          'VirtualService',
          'cart',
          {
            http: [
              { match: [{ uri: { prefix: '/cart/closed' } }], directResponse: { status: 410 } },
              { match: [{ uri: { prefix: '/elsewhere' } }], directResponse: { status: 418 } },
              { rewrite: { uri: '/inside' }, route: [to('cart.cart.svc.cluster.local')] },
            ],
          },
          'cart',
        ),
      ]);
      await answers(() => ask(8000, '/cart/closed'), 410);
      const open = (await ask(8000, '/cart/open')).echo();
      expect(open).toMatchObject({ app: 'cart', path: '/inside/open', headers: { 'x-root': 'yes' } });
      // A match that can't hold within the root's takes its rule out; a rule whose delegate is missing is none.
      expect((await ask(8000, '/elsewhere')).echo().app).toBe('web');
      expect((await ask(8000, '/nobody')).echo().app).toBe('web');
      expect((await ask(8000, '/')).echo().headers['x-root']).toBeUndefined();
    });
  });

  it('redirect to the port that was asked, and leave out the one that everybody expects', async () => {
    const authority = 'new.example';
    const leads = (path: string, redirect: object): object => ({ match: [{ uri: { exact: path } }], redirect });
    await apply([
      serverSecret(),
      // The Service has both usual ports at others of the workload.
      gateway('front', [http(8000), http(80), https(443, { mode: 'SIMPLE', credentialName: 'front' })]),
      site('site', {
        http: [
          leads('/same', { authority, derivePort: 'FROM_REQUEST_PORT' }),
          leads('/usual', { authority, derivePort: 'FROM_PROTOCOL_DEFAULT' }),
          leads('/secure', { scheme: 'https', derivePort: 'FROM_PROTOCOL_DEFAULT' }),
          leads('/open', { authority, scheme: 'http', derivePort: 'FROM_REQUEST_PORT' }),
        ],
      }),
    ]);
    const ways: readonly ((path: string) => Promise<CallAnswer>)[] = [
      (path) => ask(8000, path),
      (path) => ask(8080, path),
      (path) => askTls(8447, {}, {}, path),
    ];
    for (const way of ways) await answers(() => way('/same'), 301);
    const locations = (path: string): Promise<readonly unknown[]> =>
      Promise.all(ways.map(async (way) => (await way(path)).headers.location));
    const [plain, secure] = ['http://new.example', 'https://new.example'];
    expect(await locations('/same')).toEqual([`${plain}:8000/same`, `${plain}/same`, `${secure}/same`]);
    expect(await locations('/usual')).toEqual([`${plain}/usual`, `${plain}/usual`, `${secure}/usual`]);
    expect(await locations('/secure')).toEqual([1, 2, 3].map(() => 'https://shop.example/secure'));
    expect(await locations('/open')).toEqual([`${plain}:8000/open`, `${plain}/open`, `${plain}:443/open`]);
  });

  describe('with TLS', () => {
    it('OPTIONAL_MUTUAL takes clients without a certificate, and checks those that have one', async () => {
      await apply([
        serverSecret(),
        gateway('front', [https(8444, { mode: 'OPTIONAL_MUTUAL', credentialName: 'front' })]),
        site('site', { http: [{ route: [to('web')] }] }),
      ]);
      const folder = mesh.plane.folder.sub('partners');
      const partner = issue(folder, 'partner', 'DNS:partner.example', authority);
      const impostor = issue(folder, 'impostor', 'DNS:partner.example');
      await answers(() => askTls(8444, {}));
      expect((await askTls(8444, {})).echo().headers['x-forwarded-client-cert']).not.toContain('partner.example');
      const known = await askTls(8444, { cert: partner.cert, key: partner.key });
      expect(known.echo().headers['x-forwarded-client-cert']).toContain('DNS=partner.example');
      await expect(askTls(8444, { cert: impostor.cert, key: impostor.key })).rejects.toThrow();
    });

    it('ISTIO_MUTUAL takes workloads of the mesh alone', async () => {
      await apply([
        gateway('front', [https(8445, { mode: 'ISTIO_MUTUAL' })]),
        site('site', { http: [{ route: [to('web')] }] }),
        istio('ServiceEntry', 'edge', {
          hosts: ['edge.example'],
          location: 'MESH_INTERNAL',
          resolution: 'STATIC',
          ports: [{ number: 8080, targetPort: 8445, name: 'http', protocol: 'HTTP' }],
          endpoints: [{ address: mesh.at.pod('gateway') }],
        }),
        istio('DestinationRule', 'edge', {
          host: 'edge.example',
          trafficPolicy: { tls: { mode: 'ISTIO_MUTUAL', sni: 'shop.example' } },
        }),
        istio('VirtualService', 'edge', {
          hosts: ['edge.example'],
          http: [{ rewrite: { authority: 'shop.example' }, route: [to('edge.example')] }],
        }),
      ]);
      const through = () => mesh.call('client', { host: 'edge.example' });
      await answers(through);
      expect((await through()).echo()).toMatchObject({ app: 'web', headers: { host: 'shop.example' } });
      await expect(askTls(8445, { rejectUnauthorized: false })).rejects.toThrow();
    });

    it('originate mutual TLS with the certificate of a Secret', async () => {
      const folder = mesh.plane.folder.sub('own');
      const own = issue(folder, 'own', 'DNS:own.example', authority);
      const rule = (credentialName: string): object =>
        istio('DestinationRule', 'far', {
          host: 'far.example',
          trafficPolicy: { tls: { mode: 'MUTUAL', credentialName, sni: 'shop.example' } },
        });
      const objects = (credentialName: string): readonly object[] => [
        serverSecret(),
        secret('own', { 'tls.crt': own.cert, 'tls.key': own.key, 'ca.crt': authority.cert }),
        // Behind the one server of the gateway is another one: it shows what certificate was presented.
        gateway('front', [https(8446, { mode: 'MUTUAL', credentialName: 'front' }), http(8000, ['far.example'])]),
        site('site', { http: [{ route: [to('web')] }] }),
        site('far', {
          hosts: ['far.example'],
          http: [{ rewrite: { authority: 'shop.example' }, route: [to('far.example')] }],
        }),
        istio('ServiceEntry', 'far', {
          hosts: ['far.example'],
          location: 'MESH_EXTERNAL',
          resolution: 'STATIC',
          ports: [{ number: 8446, name: 'http', protocol: 'HTTP' }],
          endpoints: [{ address: mesh.at.pod('gateway') }],
        }),
        rule(credentialName),
      ];
      const far = () => ask(8000, '/', { host: 'far.example' });
      await apply(objects('own'));
      await answers(far);
      expect((await far()).echo().headers['x-forwarded-client-cert']).toContain('DNS=own.example');
      await apply(objects('absent'));
      await answers(far, 503);
    });

    it('answer HTTP/3 where the Service has the port for UDP too, and advertise it', async () => {
      await apply([
        serverSecret(),
        gateway('front', [
          https(8443, { mode: 'SIMPLE', credentialName: 'front' }),
          // The Service has no such port.
          https(8447, { mode: 'SIMPLE', credentialName: 'front' }, ['tcp.example']),
        ]),
        site('site', { http: [{ route: [to('web')] }] }),
        site('tcp', { hosts: ['tcp.example'], http: [{ route: [to('web')] }] }),
        http3Client(mesh.at.pod('gateway'), authority.cert),
      ]);
      await answers(() => askTls(8443, {}));
      expect((await askTls(8443, {})).headers['alt-svc']).toBe('h3=":8443"; ma=86400');
      const other = await askTls(
        8447,
        { servername: 'tcp.example', rejectUnauthorized: false },
        { host: 'tcp.example' },
      );
      expect([other.status, other.headers['alt-svc']]).toEqual([200, undefined]);

      const quic = () => mesh.call('client', { host: 'web', path: '/http3' });
      await answers(quic);
      const echo = (await quic()).echo();
      expect(echo.headers).toMatchObject({ host: 'shop.example', 'x-forwarded-proto': 'https' });
      const count = async (name: string): Promise<number> =>
        [...(await mesh.proxy('gateway').stats(name)).values()].reduce((sum, value) => sum + value, 0);
      await until(async () => (await count('downstream_cx_http3_total$')) > 0, 'a connection of HTTP/3');
    });
  });

  describe('that face the internet', () => {
    it('take the address of the client from the PROXY protocol, and nothing without it', async () => {
      await apply([
        gateway('guarded', [http(8000)], 'guarded'),
        site('guarded', { gateways: ['guarded'], http: [{ route: [to('web')] }] }),
      ]);
      const raw = (lines: string): Promise<string> => exchange(mesh.at.pod('guarded'), 8000, lines);
      const request = 'GET /who HTTP/1.1\r\nhost: shop.example\r\nconnection: close\r\n\r\n';
      const proxied = `PROXY TCP4 203.0.113.7 192.0.2.1 41000 443\r\n${request}`;
      await until(async () => (await raw(proxied)).startsWith('HTTP/1.1 200'), 'the gateway open', 8000);
      expect(await raw(proxied)).toContain('"x-forwarded-for":"203.0.113.7"');
      expect(await raw(request)).toBe('');
      // The limits of the profile EDGE.
      const odd = proxied.replace('connection:', 'x_odd: 1\r\nconnection:');
      expect(await raw(odd)).toMatch(/^HTTP\/1.1 400/);
      expect(await raw(proxied.replace('/who', '//who%2Fis'))).toMatch(/^HTTP\/1.1 307[^]*location: \/who\/is/);
    });
  });

  it('hold to policies that name them by targetRefs', async () => {
    const deny = (name: string): object =>
      istio('AuthorizationPolicy', 'by-name', {
        targetRefs: [{ group: 'gateway.networking.k8s.io', kind: 'Gateway', name }],
        action: 'DENY',
        rules: [{ to: [{ operation: { paths: ['/closed'] } }] }],
      });
    const base = [gateway('front', [http(8000)]), site('site', { http: [{ route: [to('web')] }] })];
    await apply([...base, deny('front')]);
    await answers(() => ask(8000, '/closed'), 403);
    expect((await ask(8000, '/open')).status).toBe(200);
    await apply([...base, deny('other')]);
    await answers(() => ask(8000, '/closed'), 200);
  });
});

/** Makes a sidecar speak HTTP/3 to the gateway for one path: Envoy is the client that this machine has. */
function http3Client(address: string, ca: string): object {
  const cluster = {
    name: 'by-http3',
    type: 'STATIC',
    connect_timeout: '3s',
    load_assignment: {
      cluster_name: 'by-http3',
      endpoints: [
        {
          lb_endpoints: [{ endpoint: { address: { socket_address: { address, port_value: 8443, protocol: 'UDP' } } } }],
        },
      ],
    },
    typed_extension_protocol_options: {
      'envoy.extensions.upstreams.http.v3.HttpProtocolOptions': {
        '@type': 'type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions',
        explicit_http_config: { http3_protocol_options: {} },
      },
    },
    transport_socket: {
      name: 'envoy.transport_sockets.quic',
      typed_config: {
        '@type': `${UPSTREAM}.quic.v3.QuicUpstreamTransport`,
        upstream_tls_context: {
          sni: 'shop.example',
          common_tls_context: { validation_context: { trusted_ca: { inline_string: ca } } },
        },
      },
    },
  };
  const route = {
    name: 'by-http3',
    match: { prefix: '/http3' },
    route: { cluster: 'by-http3', host_rewrite_literal: 'shop.example' },
  };
  const vhost = { name: 'web.shop.svc.cluster.local:8080' };
  return istio('EnvoyFilter', 'http3', {
    workloadSelector: { labels: { workload: 'client' } },
    configPatches: [
      {
        applyTo: 'CLUSTER',
        match: { context: 'SIDECAR_OUTBOUND' },
        patch: { operation: 'ADD', value: cluster },
      },
      {
        applyTo: 'HTTP_ROUTE',
        match: { context: 'SIDECAR_OUTBOUND', routeConfiguration: { vhost } },
        patch: { operation: 'INSERT_FIRST', value: route },
      },
    ],
  });
}

/** All that comes back for some bytes, until the other side closes. */
function exchange(host: string, port: number, bytes: string): Promise<string> {
  return new Promise((resolve) => {
    let text = '';
    const socket = connect({ host, port }, () => void socket.write(bytes));
    socket.setTimeout(5000, () => socket.destroy());
    socket.on('data', (chunk) => (text += chunk.toString()));
    socket.on('error', () => undefined);
    socket.on('close', () => resolve(text));
  });
}
