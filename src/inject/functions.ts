// What injection templates can call: Go's own functions, those of the sprig library, and those that istiod adds. Where
// two have one name istiod's is meant.

import { DEFAULT_PROXY_CONFIG } from '../config/mesh.ts';
import { deepEqual } from '../lib/equal.ts';
import type { YamlPort } from './config.ts';
import { type Container, type Json, PROXY } from './pod.ts';
import { BUILTINS } from './template/builtins.ts';
import { COLLECTION_FUNCTIONS, parsedJson } from './template/collection-functions.ts';
import type { TemplateFunction } from './template/evaluate.ts';
import { TEXT_FUNCTIONS } from './template/text-functions.ts';
import { ArgumentError, bagOf, fieldOf, isBag, sortedEntries, textOf } from './template/values.ts';

/** `environment` answers the function `env`; without it every variable is unset. */
export function templateFunctions(
  yaml: YamlPort,
  environment: (name: string) => string | undefined = () => undefined,
): ReadonlyMap<string, TemplateFunction> {
  return new Map(
    Object.entries({
      ...BUILTINS,
      ...TEXT_FUNCTIONS,
      ...COLLECTION_FUNCTIONS,
      ...ISTIO_FUNCTIONS,
      toYaml: (value: unknown) => (value === undefined ? '' : yaml.format(value)),
      fromYaml: (text: unknown) => {
        const parsed = yaml.parse(textOf(text));
        if (parsed.kind === 'problem') throw new ArgumentError(parsed.message);
        return parsed.value;
      },
      env: (name: unknown, fallback: unknown) => environment(textOf(name)) || textOf(fallback),
    }),
  );
}

const ISTIO_FUNCTIONS: Readonly<Record<string, TemplateFunction>> = {
  annotation: (meta, name, fallback) => {
    const annotations = bagOf(fieldOf(meta, 'Annotations'));
    return Object.hasOwn(annotations, textOf(name)) ? annotations[textOf(name)] : textOf(fallback);
  },
  isset: (map, key) => Object.hasOwn(bagOf(map), textOf(key)),
  valueOrDefault: (value, fallback) => (value === '' || value === undefined || value === null ? fallback : value),
  contains: (needle, text) => textOf(text).includes(textOf(needle)),
  toLower: (text) => textOf(text).toLowerCase(),
  directory: (path) => textOf(path).slice(0, textOf(path).lastIndexOf('/') + 1),
  // The first line is left as it is: it stands behind the call, which is indented already.
  indent: (spaces, text) => textOf(text).replaceAll('\n', `\n${' '.repeat(Math.max(0, Number(spaces)))}`),
  toJSON: (map) => JSON.stringify(Object.fromEntries(sortedEntries(bagOf(map)))),
  fromJSON: parsedJson,
  structToJSON: (value) => JSON.stringify(value ?? {}),
  protoToJSON: (value) => JSON.stringify(isBag(value) ? withoutDefaults(value) : {}),
  toJsonMap: (...maps) => JSON.stringify(Object.assign({}, ...maps.map(bagOf))),
  mergeMaps: (...maps) => Object.assign({}, ...maps.map(bagOf)) as Json,
  strdict: (...args) =>
    Object.fromEntries(
      Array.from({ length: Math.ceil(args.length / 2) }, (_, pair) => [
        textOf(args[pair * 2]),
        textOf(args[pair * 2 + 1]),
      ]),
    ),
  omitNil,
  formatDuration: (text) => textOf(text),
  excludeInboundPort,
  includeInboundPorts: (containers) => portsOf(containers, () => true),
  applicationPorts: (containers) => portsOf(containers, ({ name }) => name !== PROXY),
  kubevirtInterfaces: (text) => textOf(text),
  excludeInterfaces: (text) => textOf(text),
  appendMultusNetwork,
  otelResourceAttributes,
};

/** Fields of a ProxyConfig that every agent would take by itself make a pod's spec longer for nothing. */
function withoutDefaults(config: Json): Json {
  return Object.fromEntries(
    Object.entries(config).filter(
      ([key, value]) =>
        value !== undefined &&
        !deepEqual(value, DEFAULT_PROXY_CONFIG[key as keyof typeof DEFAULT_PROXY_CONFIG]) &&
        !(key === 'interceptionMode' && value === 'REDIRECT') &&
        !(key === 'proxyMetadata' && isBag(value) && Object.keys(value).length === 0),
    ),
  );
}

/** The list of ports with the status port in it. */
function excludeInboundPort(port: unknown, excluded: unknown): string {
  const own = textOf(port).trim();
  const list = textOf(excluded);
  if (own === '' || own === '0' || list.split(',').includes(own)) return list;
  return [...list.split(',').map((each) => each.trim()), own].filter((each) => each !== '').join(',');
}

function portsOf(containers: unknown, counts: (container: Container) => boolean): string {
  if (!Array.isArray(containers)) return '';
  return (containers as readonly Container[])
    .filter(counts)
    .flatMap(({ ports = [] }) => ports)
    .filter(({ protocol }) => protocol !== 'UDP' && protocol !== 'SCTP')
    .map(({ containerPort }) => containerPort)
    .join(',');
}

function omitNil(value: unknown): unknown {
  if (Array.isArray(value)) {
    const items = value.map(omitNil).filter((each) => each !== undefined);
    return items.length === 0 && value.length > 0 ? undefined : items;
  }
  if (!isBag(value)) return value ?? undefined;
  const entries = Object.entries(value).flatMap(([key, item]) => {
    const kept = omitNil(item);
    return kept === undefined ? [] : [[key, kept] as const];
  });
  return entries.length === 0 && Object.keys(value).length > 0 ? undefined : Object.fromEntries(entries);
}

/** Adds a network (`namespace/name`) to the list in Multus' annotation, which is JSON or separated by commas. */
function appendMultusNetwork(existing: unknown, network: unknown): string {
  const list = textOf(existing);
  const added = textOf(network);
  if (list === '') return added;
  const end = list.lastIndexOf(']');
  if (end < 0) {
    return list.split(',').some((each) => each.trim() === added) ? list : `${list}, ${added}`;
  }
  const networks = parsedJson(list);
  if (!Array.isArray(networks)) return list;
  const slash = added.indexOf('/');
  const [namespace, name] = slash < 0 ? [undefined, added] : [added.slice(0, slash), added.slice(slash + 1)];
  const isThere = networks.some((each) => isBag(each) && each['name'] === name && each['namespace'] === namespace);
  if (isThere) return list;
  return `${list.slice(0, end)}, ${JSON.stringify({ name, ...(namespace === undefined ? {} : { namespace }) })}${list.slice(end)}`;
}

const OTEL = 'resource.opentelemetry.io/service.';

/** OTEL_RESOURCE_ATTRIBUTES, where a provider of the mesh wants services described by OpenTelemetry's conventions. */
function otelResourceAttributes(
  mesh: unknown,
  annotations: unknown,
  labels: unknown,
  namespace: unknown,
  containers: unknown,
): string {
  const providers = isBag(mesh) && Array.isArray(mesh['extensionProviders']) ? mesh['extensionProviders'] : [];
  const isWanted = providers.some(
    (each) =>
      isBag(each) &&
      isBag(each['opentelemetry']) &&
      each['opentelemetry']['serviceAttributeEnrichment'] === 'OTEL_SEMANTIC_CONVENTIONS',
  );
  if (!isWanted) return '';
  const said = (name: string): string => textOf(bagOf(annotations)[`${OTEL}${name}`]);
  const list = Array.isArray(containers) ? (containers as readonly Container[]) : [];
  const [first] = list;
  const attributes = [
    ['service.namespace', said('namespace') || textOf(namespace)],
    [
      'service.version',
      said('version') ||
        textOf(bagOf(labels)['app.kubernetes.io/version']) ||
        (list.length === 1 ? versionOf(first?.image ?? '') : ''),
    ],
    [
      'service.instance.id',
      said('instance.id') || (first === undefined ? '' : `${textOf(namespace)}.$(POD_NAME).${first.name}`),
    ],
  ];
  return attributes.flatMap(([key, value]) => (value === '' ? [] : [`${key}=${value}`])).join(',');
}

/** Tag and digest of an image reference. */
function versionOf(image: string): string {
  const [reference = '', digest = ''] = image.split('@');
  const tag = /:([^/:]+)$/.exec(reference)?.[1] ?? '';
  return [tag, digest].filter((part) => part !== '').join('@');
}
