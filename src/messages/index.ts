// The messages of the xDS API in their canonical proto3-JSON form, as readonly types.
// In: nothing (types.ts and schema.ts are written by `npm run generate` from the protos).
// Out: one interface per message, `Messages` by full name, short aliases, and SCHEMA, which src/codec runs on.
// Called by translate and everything else that builds or reads Envoy resources.
export type * from './generated/types.ts';
/** Short names for messages that share theirs with another. */
export type {
  envoy_config_listener_v3_Filter as NetworkFilter,
  envoy_extensions_access_loggers_stats_v3_Config as StatsAccessLog,
  envoy_extensions_filters_http_ext_authz_v3_ExtAuthz as HttpExtAuthz,
  envoy_extensions_filters_http_grpc_stats_v3_FilterConfig as GrpcStats,
  envoy_extensions_filters_http_local_ratelimit_v3_LocalRateLimit as HttpLocalRateLimit,
  envoy_extensions_filters_http_lua_v3_Lua as HttpLua,
  envoy_extensions_filters_http_rbac_v3_RBAC as HttpRbac,
  envoy_extensions_filters_http_rbac_v3_RBACPerRoute as HttpRbacPerRoute,
  envoy_extensions_filters_http_router_v3_Router as HttpRouter,
  envoy_extensions_filters_http_set_filter_state_v3_Config as HttpSetFilterState,
  envoy_extensions_filters_http_wasm_v3_Wasm as HttpWasm,
  envoy_extensions_filters_network_ext_authz_v3_ExtAuthz as NetworkExtAuthz,
  envoy_extensions_filters_network_rbac_v3_RBAC as NetworkRbac,
  envoy_extensions_filters_network_set_filter_state_v3_Config as NetworkSetFilterState,
  envoy_extensions_filters_network_wasm_v3_Wasm as NetworkWasm,
  envoy_extensions_upstreams_http_v3_HttpProtocolOptions as UpstreamHttpProtocolOptions,
  envoy_service_discovery_v3_Resource as DiscoveryResource,
  udpa_type_v1_TypedStruct as UdpaTypedStruct,
  xds_type_matcher_v3_Matcher as XdsMatcher,
  xds_type_v3_TypedStruct as XdsTypedStruct,
} from './generated/types.ts';
export { SCHEMA } from './generated/schema.ts';
export { Encoded, Prepared } from './encoded.ts';
export type { AnyMessage, EmptyMessage, JsonObject, JsonValue } from './json.ts';
export type { Schema } from './schema-shape.ts';
