// Credentials for gateways over SDS: `kubernetes://NAME`, `kubernetes://NS/NAME`, `-cacert` for the CA part.
// Only a proxy with a proven identity of the secret's own namespace, whose service account may read Secrets there, is given
// any. CA certificates are no secrets: they need the namespace alone. No value is ever logged.

import { encode } from '../codec/index.ts';
import type { ConfigMapBody, SecretBody } from '../config/core.ts';
import type { ConfigObject } from '../config/object.ts';
import { TYPE_URL } from '../ir/draft.ts';
import type { Proxy } from '../ir/proxy.ts';
import type { Snapshot } from '../ir/snapshot.ts';
import { memo } from '../lib/memo.ts';
import { compareStrings } from '../lib/order.ts';
import { tableGet } from '../lib/table.ts';
import { type Resource, resourceOf } from '../resources/resource.ts';
import type { Peer } from '../xds/port.ts';

const SECRET = 'envoy.extensions.transport_sockets.tls.v3.Secret';
const CA_SUFFIX = '-cacert';

/** The resources of those of the names that this proxy may read and that exist, in order of name. */
export function readableSecrets(
  snapshot: Snapshot,
  proxy: Proxy,
  peer: Peer,
  names: ReadonlySet<string>,
  mayRead: MayRead,
): readonly Resource[] {
  const accounts = new Map(peer.identities.flatMap(accountOf));
  if (accounts.size === 0) return [];
  const found: Resource[] = [];
  for (const wanted of wantedIn(names, proxy.namespace)) {
    const resource = secretFor(snapshot, { accounts, mayRead }, wanted);
    if (resource !== undefined) found.push(resource);
  }
  return found;
}

/** What one name asks for. */
interface Wanted {
  readonly name: string;
  readonly namespace: string;
  /** `NAMESPACE/NAME` of a ConfigMap, else of a Secret. */
  readonly key: string;
  readonly configMap: boolean;
  /** The Secret that a name with the suffix of CAs was made from. */
  readonly caOf: string | undefined;
}

/** In order of name; names of other kinds are left out. Sets of names never change. */
const wantedIn = memo((names: ReadonlySet<string>, own: string): readonly Wanted[] =>
  [...names].sort(compareStrings).flatMap((name) => {
    const match = /^(kubernetes|kubernetes-gateway|configmap):\/\/(?:([^/]+)\/)?([^/]+)$/.exec(name);
    if (match === null) return [];
    const [, scheme, namespace = own, object = ''] = match;
    const key = `${namespace}/${object}`;
    const caOf = object.endsWith(CA_SUFFIX) ? key.slice(0, -CA_SUFFIX.length) : undefined;
    return [{ name, namespace, key, configMap: scheme === 'configmap', caOf }];
  }),
);

/** Whether an account may read the Secrets of its namespace. */
export type MayRead = (namespace: string, serviceAccount: string) => boolean;

interface Reader {
  /** Proven service accounts by namespace. */
  readonly accounts: ReadonlyMap<string, string>;
  readonly mayRead: MayRead;
}

function accountOf(identity: string): readonly (readonly [namespace: string, account: string])[] {
  const [, namespace, account] = /\/ns\/([^/]+)\/sa\/([^/]+)$/.exec(identity) ?? [];
  return namespace === undefined || account === undefined ? [] : [[namespace, account]];
}

function secretFor(
  snapshot: Snapshot,
  { accounts, mayRead }: Reader,
  { name, namespace, key, configMap, caOf }: Wanted,
): Resource | undefined {
  if (configMap) {
    const map = tableGet(snapshot.configMaps, key);
    return map === undefined ? undefined : caFromMap(map as ConfigObject<ConfigMapBody>, name);
  }
  const account = accounts.get(namespace);
  if (account === undefined) return undefined;
  const wantsCa = caOf !== undefined;
  if (!wantsCa && !mayRead(namespace, account)) return undefined;
  const own = tableGet(snapshot.secrets, key);
  if (own !== undefined) return rendered(own as ConfigObject<SecretBody>, name, wantsCa);
  const base = wantsCa ? tableGet(snapshot.secrets, caOf) : undefined;
  return base === undefined ? undefined : rendered(base as ConfigObject<SecretBody>, name, true);
}

const caFromMap = memo((map: ConfigObject<ConfigMapBody>, name: string): Resource | undefined => {
  const ca = map.spec.data['ca.crt'];
  return ca === undefined
    ? undefined
    : secretResource(map, { name, validationContext: { trustedCa: { inlineString: ca } } });
});

const rendered = memo((secret: ConfigObject<SecretBody>, name: string, wantsCa: boolean): Resource | undefined => {
  const { data } = secret.spec;
  const bytes = (...keys: readonly string[]): { readonly inlineBytes: string } | undefined => {
    const value = keys.map((key) => data[key]).find((candidate) => candidate !== undefined && candidate !== '');
    return value === undefined ? undefined : { inlineBytes: value };
  };
  if (wantsCa) {
    const trustedCa = bytes('cacert', 'ca.crt');
    return trustedCa === undefined
      ? undefined
      : secretResource(secret, { name, validationContext: { trustedCa, crl: bytes('crl', 'ca.crl') } });
  }
  const certificateChain = bytes('cert', 'tls.crt');
  const privateKey = bytes('key', 'tls.key');
  if (certificateChain === undefined || privateKey === undefined) return undefined;
  return secretResource(secret, {
    name,
    tlsCertificate: { certificateChain, privateKey, ocspStaple: bytes('tls.ocsp-staple') },
  });
});

function secretResource(
  object: ConfigObject,
  message: Parameters<typeof encode<typeof SECRET>>[1] & { readonly name: string },
): Resource {
  const origin = { kind: object.kind, namespace: object.namespace, name: object.name, generation: object.generation };
  return resourceOf(TYPE_URL.secret, message.name, encode(SECRET, message), [origin]);
}
