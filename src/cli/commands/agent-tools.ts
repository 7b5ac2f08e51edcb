// `meltemi wait` and `meltemi request`: what pods' hooks run beside an agent, with pilot-agent's flags.

import { request as httpRequest } from 'node:http';
import { setTimeout as pause } from 'node:timers/promises';
import { type CommandContext, UsageError } from '../program.ts';

interface WaitFlags {
  readonly url: string;
  readonly timeoutSeconds: string;
  readonly requestTimeoutMillis: string;
  readonly periodMillis: string;
}

/** Waits until the proxy is ready; gives 1 when it isn't in time. */
export async function waitForProxy(flags: WaitFlags, context: CommandContext): Promise<number> {
  if (!URL.canParse(flags.url)) throw new UsageError(`--url ${flags.url}: expected a URL`, 64);
  const end = Date.now() + number(flags.timeoutSeconds, 'timeoutSeconds') * 1000;
  const timeoutMs = number(flags.requestTimeoutMillis, 'requestTimeoutMillis');
  const periodMs = number(flags.periodMillis, 'periodMillis');
  for (let reason = ''; ; ) {
    try {
      const { status } = await ask(new URL(flags.url), 'GET', timeoutMs);
      if (status === 200) return 0;
      reason = `status ${status}`;
    } catch (error) {
      reason = error instanceof Error ? error.message : String(error);
    }
    if (Date.now() + periodMs > end) {
      context.err(`meltemi: the proxy did not get ready within ${flags.timeoutSeconds} s: ${reason}`);
      return 1;
    }
    await pause(periodMs);
  }
}

/** Sends one request to the proxy's admin (or another local port) and prints the answer. */
export async function requestOf(
  method: string,
  path: string,
  flags: { readonly debugPort: string },
  context: CommandContext,
): Promise<number> {
  const port = number(flags.debugPort, 'debug-port');
  const url = new URL(`http://localhost:${port}/${path.replace(/^\/+/, '')}`);
  const { status, body } = await ask(url, method.toUpperCase(), ANSWER_TIMEOUT_MS);
  if (body !== '') context.out(body);
  if (status < 400) return 0;
  context.err(`meltemi: ${method} ${url.href}: status ${status}`);
  return 1;
}

const ANSWER_TIMEOUT_MS = 30_000;

function number(text: string, flag: string): number {
  const value = Number(text);
  if (!Number.isFinite(value) || value < 0) throw new UsageError(`--${flag} ${text}: expected a number`, 64);
  return value;
}

/** node:http and not fetch, as everywhere in a sidecar: it costs less memory. */
function ask(url: URL, method: string, timeoutMs: number): Promise<{ readonly status: number; readonly body: string }> {
  return new Promise((resolve, reject) => {
    const call = httpRequest(url, { method, agent: false, timeout: timeoutMs }, (response) => {
      let body = '';
      response.setEncoding('utf8');
      response.on('data', (chunk: string) => {
        body += chunk;
      });
      response.on('error', reject);
      response.on('end', () => resolve({ status: response.statusCode ?? 0, body }));
    });
    call.on('timeout', () => call.destroy(new Error(`no answer within ${timeoutMs} ms`)));
    call.on('error', reject);
    call.end();
  });
}
