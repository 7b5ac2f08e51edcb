import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { call, talk } from '../support/apps.ts';
import { newestEnvoy } from '../support/envoy.ts';
import { type Mesh, startMesh } from '../support/mesh.ts';
import type { LocalControlPlane } from '../support/server.ts';
import { istio, routes, to } from './fixtures.ts';

const envoy = newestEnvoy();

const LUA = 'type.googleapis.com/envoy.extensions.filters.http.lua.v3.Lua';
const ROUTER = {
  filterChain: {
    filter: {
      name: 'envoy.filters.network.http_connection_manager',
      subFilter: { name: 'envoy.filters.http.router' },
    },
  },
};
const filter = (name: string, configPatches: readonly object[], rest: object = {}): object =>
  istio('EnvoyFilter', name, { ...rest, configPatches });
const on = (workload: string): object => ({ workloadSelector: { labels: { workload } } });
const answerHeader = (key: string, value: string): object => ({
  response_headers_to_add: [{ header: { key, value }, append_action: 'OVERWRITE_IF_EXISTS_OR_ADD' }],
});
/** A script that appends a word to a header of the answer: the order of scripts can be read from it. */
const word = (text: string): string =>
  `function envoy_on_response(handle)
     local before = handle:headers():get("x-words")
     handle:headers():replace("x-words", (before and before .. " " or "") .. "${text}")
   end`;
const luaFilter = (name: string, text: string): object => ({
  name,
  typed_config: { '@type': LUA, default_source_code: { inline_string: word(text) } },
});
const extension = (name: string, spec: object): object => ({
  apiVersion: 'extensions.istio.io/v1alpha1',
  kind: 'TrafficExtension',
  metadata: { name, namespace: 'shop' },
  spec,
});

describe.skipIf(envoy === '')('what users add to the configuration', () => {
  let mesh: Mesh<LocalControlPlane>;

  beforeAll(async () => {
    mesh = await startMesh({
      envoy,
      workloads: [
        { name: 'gateway', role: 'router', labels: { istio: 'ingressgateway' } },
        { name: 'client' },
        { name: 'web', service: 'web', ports: [{ name: 'http', number: 8080 }] },
      ],
      objects: (at) => [
        routes('web', [
          { name: 'marked', match: [{ uri: { prefix: '/marked' } }], route: [to('web')] },
          { route: [to('web')] },
        ]),
        istio('Gateway', 'front', {
          selector: { istio: 'ingressgateway' },
          servers: [{ port: { number: 8000, protocol: 'HTTP', name: 'http' }, hosts: ['*'], bind: at.pod('gateway') }],
        }),
        istio('VirtualService', 'front', {
          hosts: ['shop.example'],
          gateways: ['front'],
          http: [{ route: [to('web')] }],
        }),
      ],
    });
  });
  afterAll(() => mesh?.finish());

  const get = (path = '/') => mesh.call('client', { host: 'web', path });
  const enter = () =>
    call({ address: mesh.at.pod('gateway'), port: 8000, headers: { host: 'shop.example', connection: 'close' } });
  const words = async (path?: string): Promise<unknown> => (await get(path)).headers['x-words'];
  /** Chains of before serve until their connections have ended: with the next answer, which is had here. */
  const apply = async (objects: readonly object[]): Promise<void> => {
    await mesh.apply('added', objects);
    await get();
  };

  describe('an EnvoyFilter', () => {
    it('puts filters into chains, in the order of priorities and operations', async () => {
      const insert = (operation: string, name: string): object => ({
        applyTo: 'HTTP_FILTER',
        match: { context: 'SIDECAR_INBOUND', listener: ROUTER },
        patch: { operation, value: luaFilter(name, name) },
      });
      await apply([
        filter('late', [insert('INSERT_BEFORE', 'late')], { ...on('web'), priority: 10 }),
        filter('early', [insert('INSERT_BEFORE', 'early'), insert('INSERT_FIRST', 'first')], on('web')),
      ]);
      // Answers pass the filters from the last to the first.
      expect(await words()).toBe('late early first');
    });

    it('merges into the settings of a filter, and takes filters away', async () => {
      const chain = { context: 'SIDECAR_INBOUND', listener: ROUTER };
      const manager = {
        context: 'SIDECAR_INBOUND',
        listener: { filterChain: { filter: { name: 'envoy.filters.network.http_connection_manager' } } },
      };
      await apply([
        filter(
          'named',
          [
            {
              applyTo: 'HTTP_FILTER',
              match: chain,
              patch: { operation: 'INSERT_BEFORE', value: luaFilter('gone', 'gone') },
            },
            {
              applyTo: 'HTTP_FILTER',
              match: {
                context: 'SIDECAR_INBOUND',
                listener: {
                  filterChain: {
                    filter: { name: 'envoy.filters.network.http_connection_manager', subFilter: { name: 'gone' } },
                  },
                },
              },
              patch: { operation: 'REMOVE' },
            },
            {
              applyTo: 'NETWORK_FILTER',
              match: manager,
              patch: {
                operation: 'MERGE',
                value: {
                  name: 'envoy.filters.network.http_connection_manager',
                  typed_config: {
                    '@type':
                      'type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager',
                    server_name: 'patched',
                    server_header_transformation: 'OVERWRITE',
                    local_reply_config: {
                      body_format: { text_format_source: { inline_string: 'sorry: %RESPONSE_CODE%' } },
                    },
                  },
                },
              },
            },
          ],
          on('web'),
        ),
        istio('AuthorizationPolicy', 'deny', {
          selector: { matchLabels: { app: 'web' } },
          action: 'DENY',
          rules: [{ to: [{ operation: { paths: ['/denied'] } }] }],
        }),
      ]);
      expect(await words()).toBeUndefined();
      const answer = await call({ address: mesh.at.pod('web'), port: 8080, headers: { connection: 'close' } });
      expect(answer.headers['server']).toBe('patched');
      const denied = await get('/denied');
      expect([denied.status, denied.body]).toEqual([403, 'sorry: 403']);
    });

    it('changes a route by its name, a virtual host, and a whole route table', async () => {
      const outbound = (applyTo: string, match: object, value: object): object => ({
        applyTo,
        match: { context: 'SIDECAR_OUTBOUND', routeConfiguration: match },
        patch: { operation: 'MERGE', value },
      });
      await apply([
        filter(
          'routes',
          [
            outbound('HTTP_ROUTE', { vhost: { route: { name: 'marked' } } }, answerHeader('x-route', 'marked')),
            outbound(
              'VIRTUAL_HOST',
              { vhost: { name: 'web.shop.svc.cluster.local:8080' } },
              answerHeader('x-host', 'web'),
            ),
            outbound('ROUTE_CONFIGURATION', {}, answerHeader('x-table', 'all')),
          ],
          on('client'),
        ),
      ]);
      const marked = await get('/marked');
      expect(marked.headers).toMatchObject({ 'x-route': 'marked', 'x-host': 'web', 'x-table': 'all' });
      const other = await get('/');
      expect(other.headers).toMatchObject({ 'x-host': 'web', 'x-table': 'all' });
      expect(other.headers['x-route']).toBeUndefined();
      expect((await enter()).headers['x-table']).toBeUndefined();
    });

    it('changes a cluster, and adds one that a route of its own leads to', async () => {
      const { address, port } = mesh.app('web');
      const added = {
        name: 'straight',
        type: 'STATIC',
        connect_timeout: '1s',
        load_assignment: {
          cluster_name: 'straight',
          endpoints: [{ lb_endpoints: [{ endpoint: { address: { socket_address: { address, port_value: port } } } }] }],
        },
      };
      await apply([
        filter(
          'clusters',
          [
            { applyTo: 'CLUSTER', match: { context: 'SIDECAR_OUTBOUND' }, patch: { operation: 'ADD', value: added } },
            {
              applyTo: 'HTTP_ROUTE',
              match: {
                context: 'SIDECAR_OUTBOUND',
                routeConfiguration: { vhost: { name: 'web.shop.svc.cluster.local:8080' } },
              },
              patch: {
                operation: 'INSERT_FIRST',
                value: { name: 'straight', match: { prefix: '/straight' }, route: { cluster: 'straight' } },
              },
            },
            {
              applyTo: 'CLUSTER',
              match: { context: 'SIDECAR_OUTBOUND', cluster: { service: 'web.shop.svc.cluster.local' } },
              patch: {
                operation: 'MERGE',
                value: { alt_stat_name: 'renamed' },
              },
            },
          ],
          on('client'),
        ),
      ]);
      const straight = await get('/straight');
      expect(straight.status).toBe(200);
      expect(straight.echo().headers['x-forwarded-client-cert']).toBeUndefined();
      const counted = async (): Promise<number> =>
        [...(await mesh.proxy('client').stats('^cluster.renamed.upstream_rq_completed$')).values()][0] ?? 0;
      const before = await counted();
      expect((await get('/')).status).toBe(200);
      await expect.poll(counted, { timeout: 5000 }).toBe(before + 1);
    });

    it('changes a listener, its own filters and its chains, and adds listeners', async () => {
      const inbound = (port: number): object => ({ context: 'SIDECAR_INBOUND', listener: { portNumber: port } });
      const answering = (text: string): object => ({
        filters: [
          {
            name: 'envoy.filters.network.direct_response',
            typed_config: {
              '@type': 'type.googleapis.com/envoy.extensions.filters.network.direct_response.v3.Config',
              response: { inline_string: text },
            },
          },
        ],
      });
      const at = mesh.at.pod('web');
      const added = {
        name: 'added',
        address: { socket_address: { address: at, port_value: 9300 } },
        filter_chains: [answering('from a listener that was added')],
      };
      const proxied = {
        name: 'envoy.filters.listener.proxy_protocol',
        typed_config: {
          '@type': 'type.googleapis.com/envoy.extensions.filters.listener.proxy_protocol.v3.ProxyProtocol',
          allow_requests_without_proxy_protocol: true,
        },
      };
      await apply([
        filter(
          'listeners',
          [
            { applyTo: 'LISTENER', match: { context: 'SIDECAR_INBOUND' }, patch: { operation: 'ADD', value: added } },
            {
              applyTo: 'LISTENER',
              match: inbound(8080),
              patch: { operation: 'MERGE', value: { stat_prefix: 'merged' } },
            },
            {
              applyTo: 'LISTENER_FILTER',
              match: inbound(8080),
              patch: { operation: 'INSERT_FIRST', value: proxied },
            },
            {
              applyTo: 'FILTER_CHAIN',
              match: inbound(8080),
              patch: {
                operation: 'ADD',
                value: {
                  name: 'by-source',
                  filter_chain_match: {
                    destination_port: 8080,
                    transport_protocol: 'raw_buffer',
                    source_prefix_ranges: [{ address_prefix: '203.0.113.9', prefix_len: 32 }],
                  },
                  ...answering('from a chain that was added'),
                },
              },
            },
          ],
          on('web'),
        ),
      ]);
      expect((await get('/')).status).toBe(200);
      await expect.poll(() => talk(at, 9300, 'x'), { timeout: 5000 }).toBe('from a listener that was added');
      // Who comes from there, by the header that the new filter reads, gets the new chain.
      const from = `PROXY TCP4 203.0.113.9 192.0.2.1 41000 8080\r\nnot a word of TLS\r\n`;
      await expect.poll(() => talk(at, 8080, from), { timeout: 5000 }).toBe('from a chain that was added');
      const stats = await mesh.proxy('web').stats('^listener.merged.*downstream_cx_total$');
      expect([...stats.values()][0]).toBeGreaterThan(0);
    });

    it('brings the settings of a filter by themselves, as whoever names it finds them', async () => {
      const named = {
        name: 'shared-words',
        config_discovery: { config_source: { ads: {}, resource_api_version: 'V3' }, type_urls: [LUA] },
      };
      const shared = (text: string): object => ({
        applyTo: 'EXTENSION_CONFIG',
        patch: {
          operation: 'ADD',
          value: {
            name: 'shared-words',
            typed_config: { '@type': LUA, default_source_code: { inline_string: word(text) } },
          },
        },
      });
      const use = (text: string): Promise<void> =>
        apply([
          filter(
            'discovered',
            [
              {
                applyTo: 'HTTP_FILTER',
                match: { context: 'SIDECAR_INBOUND', listener: ROUTER },
                patch: { operation: 'INSERT_BEFORE', value: named },
              },
              shared(text),
            ],
            on('web'),
          ),
        ]);
      await use('one');
      await expect.poll(() => words(), { timeout: 5000 }).toBe('one');
      await use('two');
      await expect.poll(() => words(), { timeout: 5000 }).toBe('two');
    });

    it('takes away routes and hosts', async () => {
      const outbound = (applyTo: string, match: object): object => ({
        applyTo,
        match: { context: 'SIDECAR_OUTBOUND', routeConfiguration: match },
        patch: { operation: 'REMOVE' },
      });
      const host = 'web.shop.svc.cluster.local:8080';
      await apply([
        filter('gone', [outbound('HTTP_ROUTE', { vhost: { name: host, route: { name: 'marked' } } })], on('client')),
      ]);
      expect((await get('/marked')).status).toBe(200);
      expect(await mesh.proxy('client').dump('dynamic_route_configs')).not.toContain('"marked"');
      const hostGone = {
        applyTo: 'VIRTUAL_HOST',
        match: { context: 'GATEWAY', routeConfiguration: { vhost: { name: 'shop.example:8000' } } },
        patch: { operation: 'REMOVE' },
      };
      expect((await enter()).status).toBe(200);
      await apply([filter('gone', [hostGone])]);
      await expect.poll(async () => (await enter()).status, { timeout: 5000 }).toBe(404);
      await apply([]);
      await expect.poll(async () => (await enter()).status, { timeout: 5000 }).toBe(200);
    });

    it('of a gateway leaves sidecars alone', async () => {
      await apply([
        filter('edge', [
          {
            applyTo: 'HTTP_FILTER',
            match: { context: 'GATEWAY', listener: { portNumber: 8000, ...ROUTER } },
            patch: { operation: 'INSERT_BEFORE', value: luaFilter('edge', 'edge') },
          },
        ]),
      ]);
      await expect.poll(async () => (await enter()).headers['x-words'], { timeout: 5000 }).toBe('edge');
      expect(await words()).toBeUndefined();
    });
  });

  describe('a TrafficExtension', () => {
    const lua = (text: string): object => ({ lua: { inlineCode: word(text) } });
    const selector = { matchLabels: { app: 'web' } };

    it('runs a script in front of the application, in the order of phases and priorities', async () => {
      await apply([
        extension('last', { selector, ...lua('last'), match: [{ mode: 'SERVER' }] }),
        extension('authn', { selector, ...lua('authn'), phase: 'AUTHN', match: [{ mode: 'SERVER' }] }),
        extension('urgent', { selector, ...lua('urgent'), priority: 5, match: [{ mode: 'SERVER' }] }),
      ]);
      await expect.poll(() => words(), { timeout: 5000 }).toBe('last urgent authn');
    });

    it('runs at clients and gateways where it is told to, and is gone when it is taken away', async () => {
      await apply([
        extension('client', {
          selector: { matchLabels: { workload: 'client' } },
          ...lua('out'),
          match: [{ mode: 'CLIENT' }],
        }),
        extension('edge', { selector: { matchLabels: { istio: 'ingressgateway' } }, ...lua('edge') }),
        extension('elsewhere', { selector, ...lua('wrong'), match: [{ mode: 'SERVER', ports: [{ number: 9 }] }] }),
      ]);
      await expect.poll(() => words(), { timeout: 5000 }).toBe('out');
      await expect.poll(async () => (await enter()).headers['x-words'], { timeout: 5000 }).toBe('edge');
      await apply([]);
      await expect.poll(() => words(), { timeout: 5000 }).toBeUndefined();
    });
  });
});
