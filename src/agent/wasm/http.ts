// One GET with what fetching modules needs of it: redirects, a size limit, retries, servers without a trusted certificate.
// In: a URL and headers; out: status, headers, body. No header is ever logged or put into an error. Called by fetch.ts, oci.ts.

import type { IncomingHttpHeaders, IncomingMessage } from 'node:http';
import { request as secureRequest } from 'node:https';
import { request as plainRequest } from '../http.ts';
import type { Timers } from '../../lib/ports.ts';

export interface GetOptions {
  readonly headers?: Readonly<Record<string, string>> | undefined;
  /** Largest body, octets; more is an error. */
  readonly limit: number;
  readonly timeoutMs: number;
  /** The certificate is not verified, and where TLS is not spoken, plain HTTP is. */
  readonly insecure: boolean;
}

export interface Got {
  readonly status: number;
  readonly headers: IncomingHttpHeaders;
  readonly body: Buffer;
}

const MAX_REDIRECTS = 5;

/** Follows redirects; what proves who we are is not taken along to another host. */
export async function get(address: string, options: GetOptions): Promise<Got> {
  let url = new URL(address);
  let { headers } = options;
  for (let redirects = 0; ; redirects++) {
    const response = await openLeniently(url, { ...options, headers });
    const status = response.statusCode ?? 0;
    const { location } = response.headers;
    if (status < 300 || status > 399 || location === undefined) {
      return { status, headers: response.headers, body: await bodyOf(response, options.limit, url) };
    }
    response.destroy();
    if (redirects >= MAX_REDIRECTS) throw new Error(`${url.host}: more than ${MAX_REDIRECTS} redirects`);
    const next = new URL(location, url);
    if (next.protocol !== 'http:' && next.protocol !== 'https:')
      throw new Error(`${url.host}: redirect to ${next.protocol}`);
    if (url.protocol === 'https:' && next.protocol === 'http:' && !options.insecure)
      throw new Error(`${url.host}: redirect from HTTPS to HTTP`);
    if (next.host !== url.host) headers = undefined;
    url = next;
  }
}

async function openLeniently(url: URL, options: GetOptions): Promise<IncomingMessage> {
  try {
    return await open(url, options);
  } catch (error) {
    const isNoTls = error instanceof Error && 'code' in error && NO_TLS.has(String(error.code));
    if (!options.insecure || url.protocol !== 'https:' || !isNoTls) throw error;
    const plain = new URL(url);
    plain.protocol = 'http:';
    return open(plain, options);
  }
}

/** How it looks when the server on the other side speaks plain HTTP. */
const NO_TLS: ReadonlySet<string> = new Set([
  'EPROTO',
  'ERR_SSL_WRONG_VERSION_NUMBER',
  'ECONNRESET',
  'ERR_SSL_PACKET_LENGTH_TOO_LONG',
]);

function open(url: URL, { headers, timeoutMs, insecure }: GetOptions): Promise<IncomingMessage> {
  const isSecure = url.protocol === 'https:';
  return new Promise((resolve, reject) => {
    const call = (isSecure ? secureRequest : plainRequest)(
      url,
      {
        headers: { 'user-agent': 'meltemi-agent', accept: '*/*', ...headers },
        agent: false,
        ...(isSecure && insecure ? { rejectUnauthorized: false } : {}),
      },
      resolve,
    );
    const timer = setTimeout(() => call.destroy(new Error(`${url.host}: no answer within ${timeoutMs} ms`)), timeoutMs);
    call.on('close', () => clearTimeout(timer));
    call.on('error', reject);
    call.end();
  });
}

async function bodyOf(response: IncomingMessage, limit: number, url: URL): Promise<Buffer> {
  const chunks: Buffer[] = [];
  let size = 0;
  for await (const chunk of response as AsyncIterable<Buffer>) {
    size += chunk.length;
    if (size > limit) {
      response.destroy();
      throw new Error(`${url.host}: more than ${limit} bytes`);
    }
    chunks.push(chunk);
  }
  if (!response.complete) throw new Error(`${url.host}: the answer was cut off`);
  return Buffer.concat(chunks);
}

const FIRST_RETRY_MS = 200;

/** Tries again, with growing pauses, while it may help. */
export async function withRetries<T>(attempt: () => Promise<T>, retries: number, timers: Timers): Promise<T> {
  for (let tried = 0; ; tried++) {
    try {
      return await attempt();
    } catch (error) {
      const isFinal = error instanceof FinalError || tried >= retries;
      if (isFinal) throw error;
      await new Promise<void>((resolve) => void timers.setTimeout(resolve, FIRST_RETRY_MS * 2 ** tried));
    }
  }
}

/** Something that trying again does not mend. */
export class FinalError extends Error {}

/** Throws unless it went well; whose fault it was decides whether it is tried again. */
export function checkStatus({ status }: Got, what: string): void {
  if (status >= 200 && status < 300) return;
  const message = `${what}: HTTP status ${status}`;
  throw status >= 500 || status === 429 || status === 408 ? new Error(message) : new FinalError(message);
}
