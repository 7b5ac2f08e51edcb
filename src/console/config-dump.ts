// A proxy's configuration as Envoy's own `/config_dump` shapes it, so that every tool that reads the one reads the other.
// In: a connection. Out: the sections of an envoy.admin.v3.ConfigDump, encoded or as JSON. Called by the debug pages and
// by the debug types over xDS. Private keys and other secret values never get here.

import { anyOfEncoded, decode, decodeJson, Encoded, encode, typeNameOf } from '../codec/index.ts';
import { TYPE_URL } from '../ir/draft.ts';
import { base64OfText } from '../lib/base64.ts';
import { compareStrings } from '../lib/order.ts';
import type { AnyMessage, Messages } from '../messages/index.ts';
import { type Resource, resourceOf } from '../resources/resource.ts';
import { viewResources } from '../resources/view.ts';
import type { ConnectionInfo } from './port.ts';

type Json = Readonly<Record<string, unknown>>;

const SECRET = 'envoy.extensions.transport_sockets.tls.v3.Secret';
const EXTENSION = 'envoy.config.core.v3.TypedExtensionConfig';
/** Environment variable by which an image pull secret reaches a Wasm module. */
const PULL_SECRET = 'ISTIO_META_WASM_IMAGE_PULL_SECRET';
const REDACTED = '[redacted]';

/** A resource in JSON form, as the `Any` that was sent. */
function resourceJson(resource: Resource): Json {
  return { '@type': resource.typeUrl, ...(decodeJson(typeNameOf(resource.typeUrl), resource.bytes) as Json) };
}

/** envoy.admin.v3.ConfigDump of what the control plane means the proxy to have. */
export function configDump(connection: ConnectionInfo): Json {
  return { configs: configDumpResources(connection).map(resourceJson) };
}

/** The sections of the dump, encoded, in the order in which Envoy gives them. */
export function configDumpResources(connection: ConnectionInfo): readonly Resource[] {
  const all = (typeUrl: string): readonly Stated[] => stated(connection, typeUrl);
  return [
    section('envoy.admin.v3.BootstrapConfigDump', {}),
    section('envoy.admin.v3.ClustersConfigDump', {
      dynamicActiveClusters: all(TYPE_URL.cluster).map(({ about, packed }) => ({ ...about, cluster: packed })),
    }),
    section('envoy.admin.v3.EndpointsConfigDump', {
      dynamicEndpointConfigs: all(TYPE_URL.endpoint).map(({ about, packed }) => ({ ...about, endpointConfig: packed })),
    }),
    section('envoy.admin.v3.ListenersConfigDump', {
      dynamicListeners: all(TYPE_URL.listener).map(({ name, about, packed }) => ({
        name,
        activeState: { ...about, listener: packed },
      })),
    }),
    section('envoy.admin.v3.ScopedRoutesConfigDump', {}),
    section('envoy.admin.v3.RoutesConfigDump', {
      dynamicRouteConfigs: all(TYPE_URL.route).map(({ about, packed }) => ({ ...about, routeConfig: packed })),
    }),
    section('envoy.admin.v3.SecretsConfigDump', {
      dynamicActiveSecrets: all(TYPE_URL.secret).map(({ name, about, packed }) => ({ name, ...about, secret: packed })),
    }),
    section('envoy.admin.v3.EcdsConfigDump', {
      ecdsFilters: all(TYPE_URL.extension).map(({ about, packed }) => ({ ...about, ecdsFilter: packed })),
    }),
  ];
}

function section<Type extends keyof Messages>(type: Type, message: Messages[Type]): Resource {
  return resourceOf(`type.googleapis.com/${type}`, type, encode(type, message));
}

/** A resource as a dump states it. */
interface Stated {
  readonly name: string;
  readonly about: { readonly versionInfo: string; readonly lastUpdated?: string };
  readonly packed: AnyMessage | Encoded;
}

function stated(connection: ConnectionInfo, typeUrl: string): readonly Stated[] {
  const view = connection.view(typeUrl);
  if (view === undefined) return [];
  const sentAt = connection.types.get(typeUrl)?.sentAt ?? 0;
  const updated = sentAt === 0 ? {} : { lastUpdated: new Date(sentAt).toISOString() };
  return [...viewResources(view)]
    .sort((a, b) => compareStrings(a.name, b.name))
    .map((resource) => ({
      name: resource.name,
      about: { versionInfo: resource.version, ...updated },
      packed: anyOfEncoded(typeNameOf(resource.typeUrl) as keyof Messages, new Encoded(showable(resource))),
    }));
}

/** A resource's bytes without what nobody may read. */
export function showable({ typeUrl, bytes }: Resource): Uint8Array {
  if (typeUrl === TYPE_URL.secret) return withoutKeys(bytes);
  if (typeUrl === TYPE_URL.extension && Buffer.from(bytes).includes(PULL_SECRET)) return withoutPullSecret(bytes);
  return bytes;
}

/** Of a secret, only what any peer gets to see: the certificate chain, or what peers are verified by. */
function withoutKeys(bytes: Uint8Array): Uint8Array {
  const secret = decode(SECRET, bytes);
  const { name, tlsCertificate, validationContext } = secret;
  const certificateChain =
    tlsCertificate === undefined || tlsCertificate instanceof Encoded ? undefined : tlsCertificate.certificateChain;
  return encode(SECRET, {
    name,
    tlsCertificate:
      certificateChain === undefined
        ? undefined
        : { certificateChain, privateKey: { inlineBytes: base64OfText(REDACTED) } },
    validationContext,
  });
}

function withoutPullSecret(bytes: Uint8Array): Uint8Array {
  const hidden = JSON.stringify(decode(EXTENSION, bytes), (key, value: unknown) =>
    key === PULL_SECRET ? REDACTED : value,
  );
  return encode(EXTENSION, JSON.parse(hidden) as Messages[typeof EXTENSION]);
}
