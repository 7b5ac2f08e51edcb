// What Istio's API has gained since the package's schemas were made, and what it requires.
// A row adds `fields` to every object of `kind` whose path ends with `at` ('' is the spec itself); `[]` steps into items.
import type { ConfigSchema } from './istio-source.ts';

interface Addition {
  readonly kind: string;
  readonly at: string;
  readonly fields?: Readonly<Record<string, ConfigSchema>>;
  readonly required?: readonly string[];
}

const string = (): ConfigSchema => ({ type: 'string' });
const boolean = (): ConfigSchema => ({ type: 'boolean' });
const strings = (): ConfigSchema => ({ type: 'array', items: string() });
const oneOf = (...values: string[]): ConfigSchema => ({ type: 'string', enum: values });
const integer = (limits: ConfigSchema = {}): ConfigSchema => ({ type: 'integer', ...limits });
const number = (limits: ConfigSchema = {}): ConfigSchema => ({ type: 'number', ...limits });
const object = (properties: Record<string, ConfigSchema>, ...required: string[]): ConfigSchema =>
  required.length > 0 ? { type: 'object', properties, required } : { type: 'object', properties };
const list = (items: ConfigSchema, limits: ConfigSchema = {}): ConfigSchema => ({ type: 'array', items, ...limits });

const targetRef = (): ConfigSchema =>
  object({ group: string(), kind: string(), name: string(), namespace: string() }, 'kind', 'name');
const targetRefs = (): ConfigSchema => list(targetRef(), { maxItems: 16 });
const pluginType = (): ConfigSchema => oneOf('UNSPECIFIED_PLUGIN_TYPE', 'HTTP', 'NETWORK');
const failStrategy = (): ConfigSchema => oneOf('FAIL_CLOSE', 'FAIL_OPEN', 'FAIL_RELOAD');
const destination = (): ConfigSchema =>
  object({ host: string(), subset: string(), port: object({ number: integer() }) }, 'host');
const percentage = (): ConfigSchema => object({ value: number() });

const SERVER_TLS = {
  ecdhCurves: strings(),
  caCertCredentialName: string(),
  caCrl: string(),
  credentialNames: list(string(), { minItems: 1, maxItems: 2 }),
  insecureSkipVerify: boolean(),
  mode: oneOf('PASSTHROUGH', 'SIMPLE', 'MUTUAL', 'AUTO_PASSTHROUGH', 'ISTIO_MUTUAL', 'OPTIONAL_MUTUAL'),
  tlsCertificates: list(object({ caCertificates: string(), privateKey: string(), serverCertificate: string() }), {
    minItems: 1,
    maxItems: 2,
  }),
};

const SELECTABLE = ['WasmPlugin', 'AuthorizationPolicy', 'RequestAuthentication', 'Telemetry'];

const TRAFFIC_POLICY: readonly Addition[] = [
  {
    kind: 'DestinationRule',
    at: 'connectionPool.http',
    fields: {
      http2KeepAlive: object({ interval: string(), timeout: string() }),
      maxConcurrentStreams: integer({ format: 'int32' }),
    },
  },
  { kind: 'DestinationRule', at: 'connectionPool.tcp', fields: { idleTimeout: string() } },
  {
    kind: 'DestinationRule',
    at: 'consistentHash.httpCookie',
    fields: { attributes: list(object({ name: string(), value: string() }, 'name')) },
    required: ['name'],
  },
  {
    kind: 'DestinationRule',
    at: 'loadBalancer',
    fields: {
      warmup: object(
        {
          duration: string(),
          minimumPercent: number({ minimum: 0, maximum: 100 }),
          aggression: number({ minimum: 0 }),
        },
        'duration',
      ),
      zoneAwareLbSetting: object({
        enabled: boolean(),
        failover: list(object({ from: string(), to: string() })),
        failoverPriority: strings(),
        minClusterSize: integer({ minimum: 1 }),
      }),
    },
  },
  {
    kind: 'DestinationRule',
    at: 'outlierDetection',
    fields: { outlierDetectionHttpErrorCodes: list(integer({ minimum: 100, maximum: 599 })) },
  },
  {
    kind: 'DestinationRule',
    at: 'trafficPolicy',
    fields: {
      proxyProtocol: object({ version: oneOf('V1', 'V2') }),
      retryBudget: object({
        budgetInterval: string(),
        minRetryConcurrency: integer({ minimum: 0 }),
        percent: number({ minimum: 0, maximum: 100 }),
      }),
    },
  },
  { kind: 'DestinationRule', at: 'tls', fields: { caCrl: string() } },
  { kind: 'DestinationRule', at: 'tunnel', required: ['targetHost', 'targetPort'] },
  { kind: 'DestinationRule', at: 'subsets[]', required: ['name'] },
  { kind: 'DestinationRule', at: '', required: ['host'] },
];

const VIRTUAL_SERVICE: readonly Addition[] = [
  {
    kind: 'VirtualService',
    at: 'http[]',
    fields: { mirrors: list(object({ destination: destination(), percentage: percentage() }, 'destination')) },
  },
  {
    kind: 'VirtualService',
    at: 'http[].corsPolicy',
    fields: { unmatchedPreflights: oneOf('UNSPECIFIED', 'FORWARD', 'IGNORE') },
  },
  { kind: 'VirtualService', at: 'http[].redirect', fields: { prefixRewrite: string() } },
  { kind: 'VirtualService', at: 'http[].retries', fields: { backoff: string(), retryIgnorePreviousHosts: boolean() } },
  {
    kind: 'VirtualService',
    at: 'http[].rewrite',
    fields: { uriRegexRewrite: object({ match: string(), rewrite: string() }) },
  },
  { kind: 'VirtualService', at: 'http[].directResponse', required: ['status'] },
  { kind: 'VirtualService', at: 'route[]', required: ['destination'] },
  { kind: 'VirtualService', at: 'destination', required: ['host'] },
  { kind: 'VirtualService', at: 'mirror', required: ['host'] },
  { kind: 'VirtualService', at: 'tls[]', required: ['match'] },
  { kind: 'VirtualService', at: 'tls[].match[]', required: ['sniHosts'] },
];

const NETWORKING: readonly Addition[] = [
  { kind: 'Gateway', at: 'servers[].tls', fields: SERVER_TLS },
  { kind: 'Gateway', at: 'servers[]', required: ['port', 'hosts'] },
  { kind: 'Gateway', at: 'servers[].port', required: ['number', 'protocol', 'name'] },
  { kind: 'Sidecar', at: 'ingress[].tls', fields: SERVER_TLS },
  { kind: 'Sidecar', at: 'ingress[]', required: ['port'] },
  { kind: 'Sidecar', at: 'egress[]', required: ['hosts'] },
  { kind: 'Sidecar', at: 'egressProxy', required: ['host'] },
  {
    kind: 'ServiceEntry',
    at: '',
    fields: { resolution: oneOf('NONE', 'STATIC', 'DNS', 'DNS_ROUND_ROBIN', 'DYNAMIC_DNS') },
    required: ['hosts'],
  },
  { kind: 'ServiceEntry', at: 'ports[]', required: ['number', 'name'] },
  { kind: 'WorkloadGroup', at: '', required: ['template'] },
  {
    kind: 'WorkloadGroup',
    at: 'probe',
    fields: { grpc: object({ port: integer(), service: string() }) },
  },
  { kind: 'WorkloadGroup', at: 'probe.exec', required: ['command'] },
  { kind: 'WorkloadGroup', at: 'probe.httpGet', required: ['port'] },
  { kind: 'WorkloadGroup', at: 'probe.tcpSocket', required: ['port'] },
];

const ENVOY_FILTER: readonly Addition[] = [
  { kind: 'EnvoyFilter', at: '', fields: { targetRefs: targetRefs() } },
  { kind: 'EnvoyFilter', at: 'routeConfiguration.vhost', fields: { domainName: string() } },
  {
    kind: 'EnvoyFilter',
    at: 'configPatches[].match',
    fields: {
      context: oneOf('ANY', 'SIDECAR_INBOUND', 'SIDECAR_OUTBOUND', 'GATEWAY', 'WAYPOINT'),
      waypoint: object({
        filter: object({ name: string(), subFilter: object({ name: string() }) }),
        portNumber: integer({ minimum: 0 }),
        route: object({ name: string() }),
      }),
    },
  },
  {
    kind: 'EnvoyFilter',
    at: 'configPatches[].patch',
    fields: {
      operation: oneOf(
        'INVALID',
        'MERGE',
        'ADD',
        'REMOVE',
        'INSERT_BEFORE',
        'INSERT_AFTER',
        'INSERT_FIRST',
        'REPLACE',
        'MERGE_AND_REPLACE_LIST',
      ),
    },
  },
];

const POLICIES: readonly Addition[] = [
  ...SELECTABLE.map((kind) => ({ kind, at: '', fields: { targetRef: targetRef(), targetRefs: targetRefs() } })),
  { kind: 'WasmPlugin', at: '', fields: { type: pluginType(), failStrategy: failStrategy() }, required: ['url'] },
  { kind: 'WasmPlugin', at: 'match[].ports[]', required: ['number'] },
  { kind: 'WasmPlugin', at: 'env[]', required: ['name'] },
  {
    kind: 'AuthorizationPolicy',
    at: 'from[].source',
    fields: {
      serviceAccounts: list({ type: 'string', maxLength: 320 }, { maxItems: 16 }),
      notServiceAccounts: list({ type: 'string', maxLength: 320 }, { maxItems: 16 }),
      trustDomains: strings(),
      notTrustDomains: strings(),
    },
  },
  { kind: 'AuthorizationPolicy', at: 'when[]', required: ['key'] },
  {
    kind: 'RequestAuthentication',
    at: 'jwtRules[]',
    fields: {
      fromCookies: list({ type: 'string', minLength: 1 }),
      spaceDelimitedClaims: list({ type: 'string', minLength: 1 }, { maxItems: 64 }),
      timeout: string(),
    },
  },
  { kind: 'RequestAuthentication', at: 'fromHeaders[]', required: ['name'] },
  { kind: 'RequestAuthentication', at: 'outputClaimToHeaders[]', required: ['header', 'claim'] },
  {
    kind: 'Telemetry',
    at: 'tracing[]',
    fields: { disableContextPropagation: boolean(), enableIstioTags: boolean() },
  },
  { kind: 'Telemetry', at: 'customTags{}', fields: { formatter: object({ value: string() }, 'value') } },
  { kind: 'Telemetry', at: 'customTags{}.environment', required: ['name'] },
  { kind: 'Telemetry', at: 'customTags{}.header', required: ['name'] },
  { kind: 'Telemetry', at: 'customTags{}.literal', required: ['value'] },
  { kind: 'Telemetry', at: 'providers[]', required: ['name'] },
];

const ADDITIONS = [...TRAFFIC_POLICY, ...VIRTUAL_SERVICE, ...NETWORKING, ...ENVOY_FILTER, ...POLICIES];

/** Calls `visit` for every schema below `schema`, itself included, with its path. */
export function walkSchema(
  schema: ConfigSchema,
  path: string,
  visit: (schema: ConfigSchema, path: string) => void,
): void {
  visit(schema, path);
  for (const [name, property] of Object.entries(schema.properties ?? {})) {
    walkSchema(property, path === '' ? name : `${path}.${name}`, visit);
  }
  if (schema.items !== undefined) walkSchema(schema.items, `${path}[]`, visit);
  if (typeof schema.additionalProperties === 'object') walkSchema(schema.additionalProperties, `${path}{}`, visit);
}

/** Whether a path is, or ends with, the given steps. */
export function endsWithPath(path: string, end: string): boolean {
  return path === end || (end !== '' && path.endsWith(`.${end}`));
}

function applyAddition(spec: ConfigSchema, addition: Addition): void {
  let found = false;
  walkSchema(spec, '', (schema, path) => {
    if (!endsWithPath(path, addition.at) || schema.type !== 'object') return;
    found = true;
    if (addition.fields !== undefined)
      schema.properties = { ...schema.properties, ...structuredClone(addition.fields) };
    if (addition.required !== undefined) schema.required = [...addition.required];
  });
  if (!found) throw new Error(`nothing in ${addition.kind} ends with ${addition.at}`);
}

function propertiesOf(schema: ConfigSchema | undefined, names: readonly string[]): Record<string, ConfigSchema> {
  const picked = names.map((name) => [name, structuredClone(schema?.properties?.[name] ?? {})]);
  return Object.fromEntries(picked) as Record<string, ConfigSchema>;
}

/** TrafficExtension came after the package; it is a WasmPlugin taken apart, or a Lua script. */
function trafficExtension(wasmPlugin: ConfigSchema): ConfigSchema {
  const shared = propertiesOf(wasmPlugin, ['match', 'priority', 'selector', 'targetRefs']);
  const plugin = ['failStrategy', 'imagePullPolicy', 'imagePullSecret', 'pluginConfig', 'pluginName', 'sha256', 'type'];
  const wasm = object(propertiesOf(wasmPlugin, [...plugin, 'url', 'verificationKey', 'vmConfig']), 'url');
  const lua = object({ inlineCode: { type: 'string', minLength: 1, maxLength: 65536 } }, 'inlineCode');
  const phase = oneOf('UNSPECIFIED', 'AUTHN', 'AUTHZ', 'STATS');
  return { ...object({ ...shared, phase, lua, wasm }), exclusive: [['wasm', 'lua']] };
}

/** Brings the package's schemas up to date, in place. */
export function addNewer(specs: Record<string, ConfigSchema>): void {
  for (const addition of ADDITIONS) {
    const spec = specs[addition.kind];
    if (spec === undefined) throw new Error(`the package has no ${addition.kind}`);
    applyAddition(spec, addition);
  }
  const pool = specs['DestinationRule']?.properties?.['trafficPolicy']?.properties?.['connectionPool'] ?? {};
  const sidecar = specs['Sidecar']?.properties ?? {};
  sidecar['inboundConnectionPool'] = structuredClone(pool);
  const ingress = sidecar['ingress']?.items?.properties ?? {};
  ingress['connectionPool'] = structuredClone(pool);
  specs['TrafficExtension'] = trafficExtension(specs['WasmPlugin'] ?? {});
}
