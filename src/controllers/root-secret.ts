// The self-signed root in Secret `istio-ca-secret`, shared by all replicas and revisions of a cluster.
// In: an API server. Out: a RootStore for ca/. Of replicas that start at once, one creates the Secret and the others
// take what it made; a renewed certificate replaces the one that was read, or nothing.

import type { RootMaterial, RootStore } from '../ca/root-store.ts';
import { CaError } from '../ca/errors.ts';
import type { Log, Timers } from '../lib/ports.ts';
import { type KubeApi, KubeError } from '../sources/kube-api.ts';
import { isRecord, orMissing, textOf } from '../sources/kube-discovery.ts';

export interface RootSecretOptions {
  readonly api: KubeApi;
  readonly namespace: string;
  readonly timers: Timers;
  readonly log: Log;
}

export const ROOT_SECRET = 'istio-ca-secret';
const TYPE = 'istio.io/ca-root';
const CERTIFICATE = 'ca-cert.pem';
const KEY = 'ca-key.pem';
const ANSWER_MS = 10_000;
const RETRY_MS = 1_000;
/** As long as istiod tries, ms. */
const PATIENCE_MS = 20 * 60_000;

interface Stored {
  readonly root: RootMaterial;
  readonly raw: Readonly<Record<string, unknown>>;
}

export function secretRootStore(options: RootSecretOptions): RootStore {
  const { api, namespace } = options;
  const collection = `/api/v1/namespaces/${namespace}/secrets`;
  const path = `${collection}/${ROOT_SECRET}`;

  const read = async (): Promise<Stored | undefined> => {
    const raw = await persistently(options, () => orMissing(api.get(path, {}, AbortSignal.timeout(ANSWER_MS))));
    if (raw === undefined) return undefined;
    const data = isRecord(raw) ? raw['data'] : undefined;
    const [certificate, key] = [textOf(data, CERTIFICATE), textOf(data, KEY)].map(decoded);
    if (!isRecord(raw) || certificate === undefined || key === undefined || certificate === '' || key === '') {
      throw new CaError(
        'STATE_DAMAGED',
        `Secret ${namespace}/${ROOT_SECRET} lacks ${CERTIFICATE} or ${KEY}: restore it, or delete it to start with a new root`,
      );
    }
    return { root: { certificate, key }, raw };
  };

  const create = async (root: RootMaterial): Promise<RootMaterial> => {
    const metadata = { name: ROOT_SECRET, namespace, labels: { 'istio.io/config': 'true' } };
    const body = { apiVersion: 'v1', kind: 'Secret', metadata, type: TYPE, data: encoded(root) };
    const created = await persistently(options, () =>
      unlessConflict(api.send({ method: 'POST', path: collection, body }, AbortSignal.timeout(ANSWER_MS))),
    );
    if (created) return root;
    const kept = await read();
    return kept?.root ?? create(root);
  };

  const replace = async (root: RootMaterial): Promise<void> => {
    const stored = await read();
    // Renewed by another replica meanwhile, or replaced by somebody: theirs stands.
    if (stored === undefined || stored.root.key !== root.key) return;
    const body = { ...stored.raw, data: { ...(stored.raw['data'] as object), ...encoded(root) } };
    await unlessConflict(api.send({ method: 'PUT', path, body }, AbortSignal.timeout(ANSWER_MS)));
  };

  return { load: async () => (await read())?.root, create, replace };
}

function encoded({ certificate, key }: RootMaterial): Record<string, string> {
  return { [CERTIFICATE]: base64(certificate), [KEY]: base64(key) };
}

function base64(text: string): string {
  return Buffer.from(text, 'utf8').toString('base64');
}

function decoded(text: string): string {
  return Buffer.from(text, 'base64').toString('utf8');
}

async function unlessConflict(answer: Promise<unknown>): Promise<boolean> {
  try {
    await answer;
    return true;
  } catch (error) {
    if (error instanceof KubeError && error.status === 409) return false;
    throw error;
  }
}

/** Without its root a control plane is of no use: it waits for an API server that doesn't answer yet. */
async function persistently<T>({ timers, log }: RootSecretOptions, attempt: () => Promise<T>): Promise<T> {
  for (let waited = 0; ; waited += RETRY_MS) {
    try {
      return await attempt();
    } catch (error) {
      const passing =
        !(error instanceof KubeError) || error.status === 0 || error.status >= 500 || error.status === 429;
      if (!passing || waited >= PATIENCE_MS) throw error;
      log.warn({ secret: ROOT_SECRET, error: String(error) }, 'the root can not be read yet');
      await new Promise<void>((resolve) => timers.setTimeout(resolve, RETRY_MS));
    }
  }
}
