import type { IncomingMessage } from 'node:http';
import { request } from './http.ts';

export interface HttpTarget {
  readonly host: string;
  readonly port: number;
}

export interface HttpAnswer {
  readonly status: number;
  readonly body: string;
}

const TIMEOUT_MS = 5000;

/** Opens a response for streaming. node:http and not fetch: the latter's machinery costs every sidecar megabytes. */
export function open(
  target: HttpTarget,
  method: 'GET' | 'POST',
  path: string,
  timeoutMs = TIMEOUT_MS,
): Promise<IncomingMessage> {
  return new Promise((resolve, reject) => {
    const call = request(
      { host: target.host, port: target.port, method, path, agent: false, timeout: timeoutMs },
      resolve,
    );
    call.on('timeout', () =>
      call.destroy(new Error(`no answer from ${target.host}:${target.port} within ${timeoutMs} ms`)),
    );
    call.on('error', reject);
    call.end();
  });
}

/** One exchange with Envoy's admin interface (or another local server). Rejects if there is no answer. */
export async function ask(target: HttpTarget, method: 'GET' | 'POST', path: string): Promise<HttpAnswer> {
  const response = await open(target, method, path);
  response.setEncoding('utf8');
  let body = '';
  for await (const chunk of response) body += chunk;
  return { status: response.statusCode ?? 0, body };
}

/** Values of `name: number` lines, as Envoy prints statistics. */
export function readStats(text: string): Map<string, number> {
  const stats = new Map<string, number>();
  for (const line of text.split('\n')) {
    const at = line.lastIndexOf(': ');
    const value = Number(line.slice(at + 2));
    if (at > 0 && Number.isFinite(value)) stats.set(line.slice(0, at), value);
  }
  return stats;
}
