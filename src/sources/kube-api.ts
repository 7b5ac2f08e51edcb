// The requests made of a Kubernetes API server: read a page, follow changes, write one object.
// In: where the server is, and credentials. Out: plain JSON values, or what a given function makes of the bytes. Called by kube-discovery.ts,
// kube-list-watch.ts and the controllers. Credentials are asked for anew with each request, since tokens rotate.

import { Agent as HttpAgent, request as httpRequest } from 'node:http';
import { Agent as HttpsAgent, type AgentOptions, request as httpsRequest, type RequestOptions } from 'node:https';
import { createSecureContext, type SecureContext } from 'node:tls';
import { isDeepStrictEqual } from 'node:util';
import type { KubeAccess } from './kube-access.ts';
import { type Answer, KubeSession, type SessionRequest } from './kube-session.ts';
import { frameSplitter, lineSplitter, type Splitter } from './kube-stream.ts';

export type Query = Readonly<Record<string, string | number | boolean | undefined>>;

export type Decode = (bytes: Uint8Array) => unknown;

export interface KubeReader {
  /**
   * The body of a 200 answer; otherwise rejects with KubeError. With `decode` it is asked for in Kubernetes' own encoding, which
   * that reads: most bytes of it are passed over. A server may still answer in JSON.
   */
  get(path: string, query: Query, signal: AbortSignal, decode?: Decode): Promise<unknown>;
  /**
   * Resolves when the server ends the stream; `onValues` gets the values of each chunk that arrived together, `onOpen` hears
   * that there will be some. `decode`: as with `get`, for each of them.
   */
  follow(
    path: string,
    query: Query,
    signal: AbortSignal,
    onValues: (values: readonly unknown[]) => void,
    onOpen?: () => void,
    decode?: Decode,
  ): Promise<void>;
}

export interface KubeApi extends KubeReader {
  /** The same two requests for objects of which nothing but the metadata is sent; where it is missing, the whole does as well. */
  readonly metadata?: KubeReader | undefined;
  /** The body of an answer below 300; otherwise rejects with KubeError. */
  send(write: KubeWrite, signal: AbortSignal): Promise<unknown>;
}

/** How the body of a PATCH is meant. */
export type PatchType = 'json-patch' | 'merge-patch' | 'apply-patch';

export interface KubeWrite {
  readonly method: 'POST' | 'PUT' | 'PATCH' | 'DELETE';
  readonly path: string;
  readonly query?: Query | undefined;
  readonly body?: unknown;
  /** Of PATCH only. */
  readonly patch?: PatchType | undefined;
  /** Of what was written only the metadata is answered, and none of it read: the result is undefined. */
  readonly unread?: boolean | undefined;
}

/** An answer other than was hoped for, or none at all (status 0). */
export class KubeError extends Error {
  readonly status: number;

  constructor(status: number, message: string) {
    super(message);
    this.name = 'KubeError';
    this.status = status;
  }
}

/** Nothing arrives for this long on a request that should be quick: the connection is dead. */
const ANSWER_MS = 60_000;

const JSON_TYPE = 'application/json';
const TYPED = 'application/vnd.kubernetes.protobuf';
const PATCH_TYPES: Readonly<Record<PatchType, string>> = {
  'json-patch': 'application/json-patch+json',
  'merge-patch': 'application/merge-patch+json',
  // JSON is YAML.
  'apply-patch': 'application/apply-patch+yaml',
};

export function kubeApi(access: KubeAccess): KubeApi {
  const connection = new Connection(access);
  return {
    ...readerOf(connection, JSON_TYPE, JSON_TYPE),
    metadata: readerOf(connection, partial('PartialObjectMetadataList'), partial('PartialObjectMetadata')),
    send: async ({ method, path, query = {}, body, patch, unread = false }, signal) => {
      const type = patch === undefined ? JSON_TYPE : PATCH_TYPES[patch];
      const content = body === undefined ? undefined : { type, text: JSON.stringify(body) };
      const accept = unread ? partial('PartialObjectMetadata') : JSON_TYPE;
      const response = await connection.open({ method, path, query, signal, accept, idleMs: ANSWER_MS, content });
      const bytes = await bytesOf(response);
      if (response.status >= 300) throw errorOf(response, bytes);
      return unread ? undefined : (JSON.parse(bytes.toString('utf8')) as unknown);
    },
  };
}

function readerOf(connection: Connection, list: string, event: string): KubeReader {
  return {
    get: async (path, query, signal, decode) => {
      const accept = decode === undefined ? list : `${TYPED}, ${list}`;
      const response = await connection.open({ method: 'GET', path, query, signal, accept, idleMs: ANSWER_MS });
      const bytes = await bytesOf(response);
      if (response.status !== 200) throw errorOf(response, bytes);
      const read = decoderOf(response, decode);
      return read === undefined ? (JSON.parse(bytes.toString('utf8')) as unknown) : read(bytes);
    },
    follow: async (path, query, signal, onValues, onOpen, decode) => {
      const idleMs = Number(query['timeoutSeconds'] ?? 300) * 1000 + 30_000;
      const accept = decode === undefined ? event : `${TYPED};stream=watch, ${event}`;
      const response = await connection.open({ method: 'GET', path, query, signal, accept, idleMs });
      if (response.status !== 200) throw errorOf(response, await bytesOf(response));
      onOpen?.();
      const read = decoderOf(response, decode);
      await valuesOf(response, read === undefined ? lineSplitter() : frameSplitter(read), onValues);
    },
  };
}

/** Undefined where the answer is JSON, whatever was asked for. */
function decoderOf({ contentType }: Answer, decode: Decode | undefined): Decode | undefined {
  return contentType?.startsWith(TYPED) === true ? decode : undefined;
}

function partial(as: string): string {
  return `${JSON_TYPE};as=${as};g=meta.k8s.io;v=v1`;
}

interface Call {
  readonly method: string;
  readonly path: string;
  readonly query: Query;
  readonly signal: AbortSignal;
  readonly idleMs: number;
  readonly accept?: string;
  readonly content?: { readonly type: string; readonly text: string } | undefined;
}

/** What requests go over while the credentials that belong to a connection are the same. */
interface Kept {
  readonly secrets: object;
  /** Undefined for clear text, and where the client library brings an agent of its own. */
  readonly session: KubeSession | undefined;
  readonly agent: HttpsAgent | HttpAgent;
}

/** Requests to one server, over connections that are kept: a single one where the server speaks HTTP/2. */
class Connection {
  readonly #access: KubeAccess;
  #kept: Kept | undefined;

  constructor(access: KubeAccess) {
    this.#access = access;
  }

  async open(call: Call): Promise<Answer> {
    const { method, path, query, signal, accept = JSON_TYPE, content } = call;
    const cluster = this.#access.getCurrentCluster();
    const url = new URL((cluster?.server ?? '').replace(/\/$/, '') + path);
    for (const [name, value] of Object.entries(query))
      if (value !== undefined) url.searchParams.set(name, String(value));
    const options: RequestOptions = { method, headers: { Accept: accept }, signal };
    await this.#access.applyToHTTPSOptions(options);
    if (content !== undefined) Object.assign(options.headers ?? {}, headersOf(content));
    // The client library makes an agent for each request, which would mean a TLS handshake for each.
    if (cluster?.proxyUrl !== undefined) return overHttp1(url, options, call);
    const { session, agent } = this.#keep(url, options);
    return (
      (await session?.request(requestOf(url, options, call)).catch(unanswered)) ??
      overHttp1(url, { ...options, agent }, call)
    );
  }

  #keep(url: URL, options: RequestOptions): Kept {
    const { ca, cert, key, pfx, passphrase, rejectUnauthorized, servername } = options;
    const tls = { ca, cert, key, pfx, passphrase, rejectUnauthorized, servername };
    const secrets = { origin: url.origin, ...tls };
    if (this.#kept === undefined || !isDeepStrictEqual(this.#kept.secrets, secrets))
      this.#kept = { secrets, ...connectionsTo(url, tls) };
    for (const name of ['ca', 'cert', 'key', 'pfx', 'passphrase'] as const) delete options[name];
    return this.#kept;
  }
}

/** Keys and certificates are read once, not for each connection. */
function connectionsTo(
  url: URL,
  { rejectUnauthorized, servername, ...secrets }: RequestOptions,
): Omit<Kept, 'secrets'> {
  if (url.protocol === 'http:') return { session: undefined, agent: new HttpAgent({ keepAlive: true }) };
  const secureContext = createSecureContext(withoutUndefined(secrets));
  const options: AgentOptions & { readonly secureContext: SecureContext } = {
    keepAlive: true,
    secureContext,
    ...withoutUndefined({ rejectUnauthorized, servername }),
  };
  const session = new KubeSession({ url, secureContext, rejectUnauthorized, servername });
  return { session, agent: new HttpsAgent(options) };
}

function requestOf({ pathname, search }: URL, options: RequestOptions, call: Call): SessionRequest {
  const { method, signal, idleMs, content } = call;
  const headers: Record<string, string | number> = {};
  for (const [name, value] of Object.entries(options.headers ?? {}))
    if (typeof value === 'string' || typeof value === 'number') headers[name.toLowerCase()] = value;
  if (typeof options.auth === 'string')
    headers['authorization'] = `Basic ${Buffer.from(options.auth).toString('base64')}`;
  return { method, path: pathname + search, headers, body: content?.text, signal, idleMs };
}

function unanswered(error: unknown): never {
  throw new KubeError(0, error instanceof Error ? error.message : String(error));
}

function overHttp1(url: URL, options: RequestOptions, { idleMs, content }: Call): Promise<Answer> {
  const attempt = (again: boolean): Promise<Answer> =>
    new Promise((resolve, reject) => {
      const send = url.protocol === 'http:' ? httpRequest : httpsRequest;
      const request = send(url, options, (response) => {
        const { statusCode = 0, headers } = response;
        const whole = (): boolean => response.complete;
        resolve({ status: statusCode, contentType: headers['content-type'], body: response, whole });
      });
      request.on('error', (error: NodeJS.ErrnoException) => {
        // A kept connection that the server had closed just then. Whatever is written here may be written twice.
        if (again && request.reusedSocket && error.code === 'ECONNRESET') resolve(attempt(false));
        else reject(new KubeError(0, error.message));
      });
      request.on('socket', (socket) => socket.setKeepAlive(true, 30_000));
      request.setTimeout(idleMs, () => request.destroy(new Error('nothing arrived for too long')));
      request.end(content?.text);
    });
  return attempt(true);
}

function headersOf({ type, text }: { readonly type: string; readonly text: string }): Record<string, string | number> {
  return { 'Content-Type': type, 'Content-Length': Buffer.byteLength(text) };
}

function withoutUndefined<T extends object>(value: T): Partial<T> {
  return Object.fromEntries(Object.entries(value).filter(([, each]) => each !== undefined)) as Partial<T>;
}

function bytesOf({ body, whole }: Answer): Promise<Buffer> {
  return new Promise((resolve, reject) => {
    const chunks: Buffer[] = [];
    const lost = (): void => reject(new KubeError(0, 'connection lost'));
    body.on('data', (chunk: Buffer) => chunks.push(chunk));
    body.on('end', () => (whole() ? resolve(Buffer.concat(chunks)) : lost()));
    body.on('error', (error) => reject(new KubeError(0, error.message)));
    body.on('close', lost);
    // It may be over before anybody listens.
    if (body.closed) lost();
  });
}

function errorOf({ status }: Answer, bytes: Buffer): KubeError {
  try {
    const body: unknown = JSON.parse(bytes.toString('utf8'));
    const message = typeof body === 'object' && body !== null && 'message' in body ? String(body.message) : '';
    return new KubeError(status, message === '' ? `status ${status}` : message);
  } catch {
    return new KubeError(status, `status ${status}`);
  }
}

function valuesOf({ body }: Answer, split: Splitter, onValues: (values: readonly unknown[]) => void): Promise<void> {
  return new Promise((resolve, reject) => {
    const lost = (message: string): void => reject(new KubeError(0, message));
    body.on('data', (chunk: Buffer) => {
      let values: readonly unknown[];
      try {
        values = split(chunk);
      } catch (error) {
        body.destroy();
        return lost(error instanceof Error ? error.message : String(error));
      }
      if (values.length > 0) onValues(values);
    });
    body.on('end', () => resolve());
    body.on('error', (error) => lost(error.message));
    body.on('close', () => lost('connection closed'));
    if (body.closed) lost('connection closed');
  });
}
