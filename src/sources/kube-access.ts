// Where a cluster's API server is, and what a request needs to be let in.
// In: a kubeconfig, or the service account of the pod. Out: credentials for requests, asked for with each one, since tokens
// and certificates rotate. Called by kubernetes.ts and server/kube.ts. Certificates, tokens, passwords and the service account
// are read here; kubeconfigs that want more (a plugin, a cloud account, a proxy, another's name) are left to the library.

import { readFileSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import type { RequestOptions } from 'node:https';
import { isIPv6 } from 'node:net';
import { dirname, resolve } from 'node:path';
import { parse } from 'yaml';
import { isRecord, textOf } from './kube-discovery.ts';

/** As much of the client library's KubeConfig as requests need. */
export interface KubeAccess {
  getCurrentCluster(): { readonly server: string; readonly proxyUrl?: string | undefined } | null;
  applyToHTTPSOptions(options: RequestOptions): Promise<void>;
}

const ACCOUNT = '/var/run/secrets/kubernetes.io/serviceaccount';
/** A token is read again after this, ms; a new one is there long before the old one ends. */
const TOKEN_MS = 30_000;

/** Without a path: the cluster that the process runs in. Throws where the file can't be read or names no cluster. */
export async function kubeAccess(path: string | undefined): Promise<KubeAccess> {
  if (path === undefined) return ownCluster(process.env);
  const found = plainAccess(path, parsed(path));
  if (found !== undefined) return found;
  const { loadKubeconfig } = await import('./kube-library.ts');
  return loadKubeconfig(path);
}

function ownCluster({ KUBERNETES_SERVICE_HOST: host, KUBERNETES_SERVICE_PORT: port }: NodeJS.ProcessEnv): KubeAccess {
  if (!host || !port) throw new Error('not inside of a cluster, and no kubeconfig is given');
  const scheme = ['80', '8080', '8001'].includes(port) ? 'http' : 'https';
  return accessOf(`${scheme}://${isIPv6(host) ? `[${host}]` : host}:${port}`, {
    ca: pemFile(`${ACCOUNT}/ca.crt`),
    token: tokenFile(`${ACCOUNT}/token`),
  });
}

type Fields = Readonly<Record<string, unknown>>;

function parsed(path: string): Fields {
  const config: unknown = parse(readFileSync(path, 'utf8'));
  return isRecord(config) ? config : {};
}

const CLUSTER_FIELDS: ReadonlySet<string> = new Set([
  ...['server', 'certificate-authority', 'certificate-authority-data', 'insecure-skip-tls-verify', 'tls-server-name'],
  ...['disable-compression', 'extensions'],
]);
const USER_FIELDS: ReadonlySet<string> = new Set([
  ...['client-certificate', 'client-certificate-data', 'client-key', 'client-key-data'],
  ...['token', 'tokenFile', 'username', 'password', 'extensions'],
]);

/** Undefined where there is something in it that isn't understood here. */
function plainAccess(path: string, config: Fields): KubeAccess | undefined {
  const context = named(config, 'contexts', 'context', textOf(config, 'current-context'));
  const cluster = named(config, 'clusters', 'cluster', textOf(context, 'cluster'));
  const user = named(config, 'users', 'user', textOf(context, 'user')) ?? {};
  const server = textOf(cluster, 'server');
  if (cluster === undefined || !URL.canParse(server)) throw new Error(`${path} names no cluster`);
  if (!onlyHas(cluster, CLUSTER_FIELDS) || !onlyHas(user, USER_FIELDS)) return undefined;
  const folder = dirname(path);
  const pem = (fields: Fields, name: string): Pem => {
    const data = textOf(fields, `${name}-data`);
    if (data !== '') return constant(Buffer.from(data, 'base64'));
    const file = textOf(fields, name);
    return file === '' ? constant(undefined) : pemFile(resolve(folder, file));
  };
  const [token, file] = [textOf(user, 'token'), textOf(user, 'tokenFile')];
  const [name, password] = [textOf(user, 'username'), textOf(user, 'password')];
  return accessOf(server, {
    ca: pem(cluster, 'certificate-authority'),
    cert: pem(user, 'client-certificate'),
    key: pem(user, 'client-key'),
    verify: cluster['insecure-skip-tls-verify'] !== true,
    servername: textOf(cluster, 'tls-server-name') || undefined,
    // A file goes before a token in the kubeconfig, as kubectl has it.
    token: file !== '' ? tokenFile(resolve(folder, file)) : token === '' ? undefined : constant(token),
    auth: name === '' ? undefined : `${name}:${password}`,
  });
}

function named(config: Fields, list: string, field: string, name: string): Fields | undefined {
  const all = config[list];
  if (!Array.isArray(all) || name === '') return undefined;
  const entry: unknown = all.find((each: unknown) => textOf(each, 'name') === name);
  const value = isRecord(entry) ? entry[field] : undefined;
  return isRecord(value) ? value : undefined;
}

function onlyHas(fields: Fields, known: ReadonlySet<string>): boolean {
  return Object.keys(fields).every((name) => known.has(name));
}

type Pem = () => Promise<Buffer | undefined>;

interface Credentials {
  readonly ca: Pem;
  readonly cert?: Pem | undefined;
  readonly key?: Pem | undefined;
  readonly verify?: boolean | undefined;
  readonly servername?: string | undefined;
  readonly token?: (() => Promise<string>) | undefined;
  /** `NAME:PASSWORD` */
  readonly auth?: string | undefined;
}

function accessOf(server: string, { ca, cert, key, verify = true, servername, token, auth }: Credentials): KubeAccess {
  return {
    getCurrentCluster: () => ({ server }),
    applyToHTTPSOptions: async (options) => {
      options.ca = await ca();
      options.cert = await cert?.();
      options.key = await key?.();
      options.rejectUnauthorized = verify;
      if (servername !== undefined) options.servername = servername;
      if (auth !== undefined) options.auth = auth;
      if (token !== undefined)
        options.headers = { ...(options.headers as Fields), Authorization: `Bearer ${await token()}` };
    },
  };
}

function constant<T>(value: T): () => Promise<T> {
  return () => Promise.resolve(value);
}

function pemFile(path: string): Pem {
  return () => readFile(path);
}

function tokenFile(path: string): () => Promise<string> {
  let read: { readonly at: number; readonly token: Promise<string> } | undefined;
  return () => {
    const now = performance.now();
    if (read === undefined || now - read.at > TOKEN_MS) {
      const token = readFile(path, 'utf8').then((text) => text.trim());
      // A failure isn't kept.
      token.catch(() => (read = undefined));
      read = { at: now, token };
    }
    return read.token;
  };
}
