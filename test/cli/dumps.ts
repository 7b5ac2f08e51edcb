// A config dump as Envoy's admin page prints it: names of the proto files, types of its own, resources in any order.

const TYPE = 'type.googleapis.com/envoy';
const CLUSTER = `${TYPE}.config.cluster.v3.Cluster`;
const LISTENER = `${TYPE}.config.listener.v3.Listener`;
const ROUTE = `${TYPE}.config.route.v3.RouteConfiguration`;
const ASSIGNMENT = `${TYPE}.config.endpoint.v3.ClusterLoadAssignment`;
const HCM = `${TYPE}.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager`;
const TCP = `${TYPE}.extensions.filters.network.tcp_proxy.v3.TcpProxy`;

const config = (kind: string, name: string): object => ({
  filter_metadata: { istio: { config: `/apis/networking.istio.io/v1/namespaces/shop/${kind}/${name}` } },
});
const address = (host: string, port: number): object => ({ socket_address: { address: host, port_value: port } });
const http = (fields: object): object => ({
  name: 'envoy.filters.network.http_connection_manager',
  typed_config: { '@type': HCM, ...fields },
});
const tcp = (cluster: string): object => ({
  name: 'envoy.filters.network.tcp_proxy',
  typed_config: { '@type': TCP, stat_prefix: cluster, cluster },
});
const inline = (cluster: string, prefix = '/'): object => ({
  route_config: { virtual_hosts: [{ name: 'a', domains: ['*'], routes: [{ match: { prefix }, route: { cluster } }] }] },
});

const clusters = [
  { name: 'outbound|80||web.shop.svc.cluster.local', type: 'EDS' },
  {
    name: 'outbound|80|v2|web.shop.svc.cluster.local',
    type: 'EDS',
    metadata: config('destination-rule', 'web'),
    // Not a field of ours: what Envoy knows beyond us must not get in the way.
    a_field_of_tomorrow: { and_its_content: 1 },
  },
  { name: 'inbound|8080||', type: 'ORIGINAL_DST' },
  { name: 'PassthroughCluster', type: 'ORIGINAL_DST' },
  { name: 'outbound|443||api.example.com', type: 'STRICT_DNS' },
];

const listeners = [
  {
    name: 'virtualInbound',
    address: address('0.0.0.0', 15006),
    filter_chains: [
      { filter_chain_match: { destination_port: 15006 }, filters: [tcp('BlackHoleCluster')] },
      {
        filter_chain_match: { transport_protocol: 'tls', application_protocols: ['istio-peer-exchange', 'istio'] },
        filters: [tcp('InboundPassthroughCluster')],
      },
      {
        filter_chain_match: {
          transport_protocol: 'tls',
          destination_port: 8080,
          application_protocols: ['istio', 'istio-http/1.0', 'istio-http/1.1', 'istio-h2'],
        },
        filters: [http(inline('inbound|8080||'))],
      },
    ],
  },
  {
    name: '0.0.0.0_80',
    address: address('0.0.0.0', 80),
    additional_addresses: [{ address: address('::', 80) }],
    filter_chains: [
      {
        filter_chain_match: { transport_protocol: 'raw_buffer', application_protocols: ['http/1.1', 'h2c'] },
        filters: [http({ rds: { route_config_name: '80' } })],
      },
    ],
    default_filter_chain: { filters: [tcp('PassthroughCluster')] },
  },
  {
    name: '10.0.0.9_443',
    address: address('10.0.0.9', 443),
    filter_chains: [
      {
        filter_chain_match: {
          server_names: ['a.example.com', 'b.example.com'],
          prefix_ranges: [{ address_prefix: '10.0.0.0', prefix_len: 24 }],
        },
        filters: [tcp('outbound|443||api.example.com')],
      },
      { filters: [http(inline('x', '/healthz'))] },
    ],
  },
];

const routes = [
  {
    name: 'inbound|8080||',
    virtual_hosts: [{ name: 'inbound|http|8080', domains: ['*'], routes: [{ match: { prefix: '/' } }] }],
  },
  {
    name: '8080',
    virtual_hosts: [{ name: 'blackhole:8080', domains: ['*'] }],
  },
  {
    name: '80',
    virtual_hosts: [
      {
        name: 'web.shop.svc.cluster.local:80',
        domains: ['web.shop.svc.cluster.local', 'web', 'web.shop.svc', 'web.shop', 'web:80', '10.0.0.9'],
        routes: [
          { match: { path: '/login' }, metadata: config('virtual-service', 'web'), route: { cluster: 'x' } },
          { match: { safe_regex: { regex: '/v[0-9]+' } }, route: { cluster: 'x' } },
          { match: { path_separated_prefix: '/api' }, route: { cluster: 'x' } },
        ],
      },
      {
        name: 'allow_any',
        domains: ['*'],
        routes: [{ match: { prefix: '/' }, route: { cluster: 'PassthroughCluster' } }],
      },
    ],
  },
];

const endpoint = (host: string, port: number, health_status?: string): object => ({
  endpoint: { address: address(host, port) },
  ...(health_status === undefined ? {} : { health_status }),
});
const assignments = [
  {
    cluster_name: 'outbound|80||web.shop.svc.cluster.local',
    endpoints: [
      {
        locality: { region: 'north', zone: 'a' },
        lb_endpoints: [endpoint('10.1.0.2', 8080, 'UNHEALTHY'), endpoint('10.1.0.10', 8080, 'HEALTHY')],
      },
    ],
  },
  {
    cluster_name: 'agent',
    endpoints: [{ lb_endpoints: [{ endpoint: { address: { pipe: { path: './socket' } } } }] }],
  },
];

/** The dump's text. */
export const ENVOY_DUMP = JSON.stringify({
  configs: [
    {
      '@type': `${TYPE}.admin.v3.BootstrapConfigDump`,
      bootstrap: {
        node: {
          metadata: { ISTIO_VERSION: '1.30.0' },
          user_agent_build_version: {
            version: { major_number: 1, minor_number: 36, patch: 2 },
            metadata: { 'build.type': 'RELEASE', 'revision.status': 'Clean', 'ssl.version': 'BoringSSL' },
          },
        },
      },
    },
    { '@type': 'type.googleapis.com/a.type.of.Tomorrow', some_field: 1 },
    {
      '@type': `${TYPE}.admin.v3.ClustersConfigDump`,
      dynamic_active_clusters: clusters.map((cluster) => ({ cluster: { '@type': CLUSTER, ...cluster } })),
      static_clusters: [{ cluster: { '@type': CLUSTER, name: 'agent' } }],
    },
    {
      '@type': `${TYPE}.admin.v3.ListenersConfigDump`,
      dynamic_listeners: [
        ...listeners.map((listener) => ({ active_state: { listener: { '@type': LISTENER, ...listener } } })),
        { name: 'warming only', warming_state: { listener: { '@type': LISTENER, name: 'warming only' } } },
      ],
    },
    {
      '@type': `${TYPE}.admin.v3.RoutesConfigDump`,
      static_route_configs: [{ route_config: { '@type': ROUTE, ...routes[0] } }],
      dynamic_route_configs: routes.slice(1).map((route) => ({ route_config: { '@type': ROUTE, ...route } })),
    },
    {
      '@type': `${TYPE}.admin.v3.EndpointsConfigDump`,
      dynamic_endpoint_configs: assignments.map((one) => ({ endpoint_config: { '@type': ASSIGNMENT, ...one } })),
    },
  ],
});

/** What Envoy prints at `/clusters?format=json`. */
export const CLUSTERS_PAGE = JSON.stringify({
  cluster_statuses: [
    {
      name: 'outbound|80||web.shop.svc.cluster.local',
      host_statuses: [
        { address: address('10.1.0.2', 8080), health_status: { eds_health_status: 'HEALTHY' } },
        {
          address: address('10.1.0.1', 8080),
          health_status: { eds_health_status: 'HEALTHY', failed_outlier_check: true },
        },
      ],
    },
    { name: 'agent', host_statuses: [{ address: { pipe: { path: './socket' } }, health_status: {} }] },
  ],
});
