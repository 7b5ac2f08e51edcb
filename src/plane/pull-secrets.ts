// Wasm modules from private registries: the agent fetches them, with a credential that comes with the extension itself.
// In: the extensions of a class, a proxy. Out: the same extensions with their secrets, for proxies with a proven identity
// of the namespace that they say they are of; anybody else is sent them without. No value is ever logged.

import type { SecretBody } from '../config/core.ts';
import type { ConfigObject } from '../config/object.ts';
import type { Draft } from '../ir/draft.ts';
import type { Proxy } from '../ir/proxy.ts';
import type { Scope, Snapshot } from '../ir/snapshot.ts';
import { memo } from '../lib/memo.ts';
import { smallTable, tableGet } from '../lib/table.ts';
import { resourceFor } from '../resources/resource.ts';
import { type ResourceTable, shardKey } from '../resources/view.ts';
import { type PrivateModule, privateModules } from '../translate/extensions/config.ts';
import type { Peer } from '../xds/port.ts';

const DOCKER_CONFIG = 'kubernetes.io/dockerconfigjson';
const DOCKER_CONFIG_KEY = '.dockerconfigjson';

/** Undefined where no extension needs a secret, or the proxy may have none. */
export function privateExtensions(
  snapshot: Snapshot,
  scope: Scope,
  proxy: Proxy,
  peer: Peer,
): ResourceTable | undefined {
  const modules = privateModules(scope);
  if (modules.length === 0) return undefined;
  const proven = peer.identities.some((identity) => identity.includes(`/ns/${proxy.namespace}/sa/`));
  if (!proven) return undefined;
  const [first, ...rest] = modules.flatMap((module) => withSecret(snapshot, module) ?? []);
  return first === undefined ? undefined : tableFor(first, ...rest);
}

function withSecret(snapshot: Snapshot, module: PrivateModule): Draft | undefined {
  const secret = tableGet(snapshot.secrets, module.secret);
  return secret === undefined ? undefined : rendered(secret as ConfigObject<SecretBody>, module);
}

const rendered = memo((secret: ConfigObject<SecretBody>, module: PrivateModule): Draft | undefined => {
  const encoded = secret.spec.type === DOCKER_CONFIG ? secret.spec.data[DOCKER_CONFIG_KEY] : undefined;
  return encoded === undefined ? undefined : module.draft(Buffer.from(encoded, 'base64').toString('utf8'));
});

const tableFor = memo(
  (...drafts: readonly [Draft, ...Draft[]]): ResourceTable =>
    smallTable(drafts.map((draft) => [shardKey(draft.name), [resourceFor(draft)]] as const)),
);
