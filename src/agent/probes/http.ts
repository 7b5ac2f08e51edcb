// One HTTP probe as a kubelet makes it: a connection of its own, certificates not verified, few redirects, a short answer.
// In: an HttpProbe; out: status and the beginning of the body. Called by probe.ts.

import type { IncomingMessage } from 'node:http';
import { request as requestSecurely } from 'node:https';
import { request } from '../http.ts';
import { MAX_BODY, type ProbeTarget } from './target.ts';

export interface HttpProbe {
  readonly host: string | undefined;
  readonly port: number;
  readonly path: string;
  readonly secure: boolean;
  readonly headers: readonly (readonly [name: string, value: string])[];
}

export interface HttpAttempt extends ProbeTarget {
  readonly timeoutMs: number;
  /** Headers to send beside the probe's own. */
  readonly passed: Readonly<Record<string, string>>;
}

export interface ProbeAnswer {
  readonly status: number;
  readonly body: string;
}

const MAX_REDIRECTS = 10;
/** They speak of one connection, and this is another. */
const HOP_BY_HOP: ReadonlySet<string> = new Set([
  ...['connection', 'keep-alive', 'proxy-connection', 'te', 'trailer', 'transfer-encoding', 'upgrade', 'host'],
  ...['content-length', 'accept-encoding'],
]);

/** Rejects when there is no answer in time. */
export async function httpProbe(probe: HttpProbe, attempt: HttpAttempt): Promise<ProbeAnswer> {
  const deadline = Date.now() + attempt.timeoutMs;
  const host = probe.host ?? attempt.host;
  let url = new URL(`${probe.secure ? 'https' : 'http'}://${host.includes(':') ? `[${host}]` : host}:${probe.port}`);
  // Not by the constructor, which would tidy a path that the application may know as it is.
  let path = probe.path;
  for (let redirects = 0; ; redirects++) {
    const response = await open(url, path, probe, attempt, deadline);
    const status = response.statusCode ?? 0;
    const next = redirectOf(response, url, path);
    // A redirect to elsewhere counts as an answer: whoever is there is not the application.
    if (next === undefined || next.hostname !== url.hostname) return { status, body: await beginning(response) };
    response.destroy();
    if (redirects + 1 >= MAX_REDIRECTS) throw new Error(`stopped after ${MAX_REDIRECTS} redirects`);
    path = next.pathname + next.search;
    url = next;
  }
}

function redirectOf(response: IncomingMessage, url: URL, path: string): URL | undefined {
  const { location } = response.headers;
  if (location === undefined || ![301, 302, 303, 307, 308].includes(response.statusCode ?? 0)) return undefined;
  const base = URL.canParse(path, url.href) ? new URL(path, url.href).href : url.href;
  if (!URL.canParse(location, base)) return undefined;
  const next = new URL(location, base);
  return next.protocol === 'http:' || next.protocol === 'https:' ? next : undefined;
}

function open(
  url: URL,
  path: string,
  probe: HttpProbe,
  attempt: HttpAttempt,
  deadline: number,
): Promise<IncomingMessage> {
  const isSecure = url.protocol === 'https:';
  const headers = headersOf(probe, attempt.passed);
  return new Promise((resolve, reject) => {
    const call = (isSecure ? requestSecurely : request)(
      {
        host: url.hostname.replace(/^\[|\]$/g, ''),
        port: url.port || (isSecure ? 443 : 80),
        path,
        headers,
        agent: false,
        ...(attempt.source === undefined ? {} : { localAddress: attempt.source }),
        ...(isSecure ? { rejectUnauthorized: false } : {}),
      },
      resolve,
    );
    const timer = setTimeout(
      () => call.destroy(new Error(`no answer within ${attempt.timeoutMs} ms`)),
      Math.max(1, deadline - Date.now()),
    );
    call.on('close', () => clearTimeout(timer));
    call.on('error', reject);
    call.end();
  });
}

function headersOf(probe: HttpProbe, passed: Readonly<Record<string, string>>): Record<string, string> {
  const headers: Record<string, string> = { 'user-agent': 'kube-probe/1.0', accept: '*/*' };
  for (const [name, value] of Object.entries(passed)) if (!HOP_BY_HOP.has(name)) headers[name] = value;
  for (const [name, value] of probe.headers) headers[name.toLowerCase()] = value;
  return { ...headers, connection: 'close' };
}

async function beginning(response: IncomingMessage): Promise<string> {
  const chunks: Buffer[] = [];
  let size = 0;
  for await (const chunk of response as AsyncIterable<Buffer>) {
    chunks.push(chunk);
    size += chunk.length;
    if (size >= MAX_BODY) break;
  }
  return Buffer.concat(chunks).subarray(0, MAX_BODY).toString('utf8');
}
