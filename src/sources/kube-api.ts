// The two requests that informers make of a Kubernetes API server: read a page, follow changes.
// In: a kubeconfig, or the service account of the pod. Out: plain JSON values. Called by kube-discovery.ts and
// kube-reflector.ts. Credentials are asked for anew with each request, since tokens rotate.

import { request as httpRequest, type IncomingMessage } from 'node:http';
import { request as httpsRequest, type RequestOptions } from 'node:https';
import { StringDecoder } from 'node:string_decoder';
import { KubeConfig } from '@kubernetes/client-node';

export type Query = Readonly<Record<string, string | number | boolean | undefined>>;

export interface KubeApi {
  /** The body of a 200 answer; otherwise rejects with KubeError. */
  get(path: string, query: Query, signal: AbortSignal): Promise<unknown>;
  /** Resolves when the server ends the stream; `onLines` gets the values of each chunk that arrived together. */
  follow(path: string, query: Query, signal: AbortSignal, onLines: (values: readonly unknown[]) => void): Promise<void>;
}

/** An answer other than 200, or none at all (status 0). */
export class KubeError extends Error {
  readonly status: number;

  constructor(status: number, message: string) {
    super(message);
    this.name = 'KubeError';
    this.status = status;
  }
}

/** Throws where the file can't be read or names no cluster. Without a path: the cluster that the process runs in. */
export function loadKubeconfig(path: string | undefined): KubeConfig {
  const config = new KubeConfig();
  if (path === undefined) config.loadFromCluster();
  else config.loadFromFile(path);
  const server = config.getCurrentCluster()?.server ?? '';
  if (!URL.canParse(server) || server.includes('undefined')) {
    throw new Error(
      path === undefined ? 'not inside of a cluster, and no kubeconfig is given' : `${path} names no cluster`,
    );
  }
  return config;
}

/** Nothing arrives for this long on a request that should be quick: the connection is dead. */
const ANSWER_MS = 60_000;

export function kubeApi(config: KubeConfig): KubeApi {
  return {
    get: async (path, query, signal) => {
      const response = await open(config, path, query, signal, ANSWER_MS);
      const text = await textOf(response);
      if (response.statusCode !== 200) throw errorOf(response, text);
      return JSON.parse(text) as unknown;
    },
    follow: async (path, query, signal, onLines) => {
      const idle = Number(query['timeoutSeconds'] ?? 300) * 1000 + 30_000;
      const response = await open(config, path, query, signal, idle);
      if (response.statusCode !== 200) throw errorOf(response, await textOf(response));
      await linesOf(response, onLines);
    },
  };
}

async function open(
  config: KubeConfig,
  path: string,
  query: Query,
  signal: AbortSignal,
  idleMs: number,
): Promise<IncomingMessage> {
  const url = new URL((config.getCurrentCluster()?.server ?? '').replace(/\/$/, '') + path);
  for (const [name, value] of Object.entries(query)) if (value !== undefined) url.searchParams.set(name, String(value));
  const options: RequestOptions = { method: 'GET', headers: { Accept: 'application/json' }, signal };
  await config.applyToHTTPSOptions(options);
  return new Promise((resolve, reject) => {
    const send = url.protocol === 'http:' ? httpRequest : httpsRequest;
    const request = send(url, options, resolve);
    request.on('error', (error) => reject(new KubeError(0, error.message)));
    request.on('socket', (socket) => socket.setKeepAlive(true, 30_000));
    request.setTimeout(idleMs, () => request.destroy(new Error('nothing arrived for too long')));
    request.end();
  });
}

async function textOf(response: IncomingMessage): Promise<string> {
  const chunks: Buffer[] = [];
  try {
    for await (const chunk of response) chunks.push(chunk as Buffer);
  } catch (error) {
    throw new KubeError(0, error instanceof Error ? error.message : 'connection lost');
  }
  return Buffer.concat(chunks).toString('utf8');
}

function errorOf(response: IncomingMessage, text: string): KubeError {
  const status = response.statusCode ?? 0;
  try {
    const body: unknown = JSON.parse(text);
    const message = typeof body === 'object' && body !== null && 'message' in body ? String(body.message) : '';
    return new KubeError(status, message === '' ? `status ${status}` : message);
  } catch {
    return new KubeError(status, `status ${status}`);
  }
}

function linesOf(response: IncomingMessage, onLines: (values: readonly unknown[]) => void): Promise<void> {
  return new Promise((resolve, reject) => {
    const decoder = new StringDecoder('utf8');
    let rest = '';
    response.on('data', (chunk: Buffer) => {
      const lines = (rest + decoder.write(chunk)).split('\n');
      rest = lines.pop() ?? '';
      const values = lines.filter((line) => line.trim() !== '').map(parseLine);
      if (values.length > 0) onLines(values);
    });
    response.on('end', () => resolve());
    response.on('error', (error) => reject(new KubeError(0, error.message)));
    response.on('close', () => reject(new KubeError(0, 'connection closed')));
  });
}

function parseLine(line: string): unknown {
  try {
    return JSON.parse(line) as unknown;
  } catch {
    return undefined;
  }
}
