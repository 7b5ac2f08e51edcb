// The merged Prometheus page: Envoy's, the agent's own, and the application's if it says where.
// In: where to fetch; out: written to the response line by line, so that a large page is never held here. Called by status.

import type { IncomingMessage, ServerResponse } from 'node:http';
import { type HttpTarget, open } from './admin.ts';

export interface MetricsSources {
  readonly envoy: HttpTarget;
  readonly application: { readonly target: HttpTarget; readonly path: string } | undefined;
  /** The agent's own page. */
  own(): Promise<string>;
  failed(source: 'envoy' | 'application', reason: string): void;
}

/** Where the application's page is, from the annotations that the injector moved into the environment. */
export function applicationTarget(
  annotations: string | undefined,
  host: string,
  /** Of agent and Envoy: scraping these would come back here, or double what is there already. */
  refused: readonly number[] = [],
): MetricsSources['application'] {
  if (annotations === undefined || annotations === '') return undefined;
  try {
    const { scrape, path, port } = JSON.parse(annotations) as Readonly<Record<string, unknown>>;
    const number = Number(port ?? 80);
    if (String(scrape) !== 'true' || !Number.isInteger(number) || refused.includes(number)) return undefined;
    const given = typeof path === 'string' && path !== '' ? path : '/metrics';
    return { target: { host, port: number }, path: given.startsWith('/') ? given : `/${given}` };
  } catch {
    return undefined;
  }
}

/** Writes the page. A part that cannot be had is left out and reported; the others still count. */
export async function writeMergedMetrics(sources: MetricsSources, response: ServerResponse): Promise<void> {
  response.writeHead(200, { 'content-type': 'text/plain; version=0.0.4; charset=utf-8' });
  const parts = [{ name: 'envoy', target: sources.envoy, path: '/stats/prometheus' } as const];
  const { application } = sources;
  const all = application === undefined ? parts : [...parts, { name: 'application', ...application } as const];
  for (const part of all) {
    try {
      const page = await open(part.target, 'GET', part.path);
      if (page.statusCode !== 200) throw new Error(`status ${page.statusCode}`);
      if (part.name === 'envoy') await copyLines(page, response, withoutPrefix, Number.POSITIVE_INFINITY);
      else await copyLines(page, response, (line) => line, MAX_PAGE);
    } catch (error) {
      sources.failed(part.name, error instanceof Error ? error.message : String(error));
    }
  }
  response.end(await sources.own());
}

/** Envoy puts its own name before metrics made by configuration; the mesh's standard metrics are known without it. */
function withoutPrefix(line: string): string {
  return line.replace(/^(# (?:TYPE|HELP) )?envoy_istio_/, '$1istio_');
}

/** Ends a page of OpenMetrics, and would end the merged page before the next part. */
const END_MARK = '# EOF';

/** Longest page of an application, characters: one that runs away must not be the end of all metrics. */
const MAX_PAGE = 10 * 1024 * 1024;

async function copyLines(
  from: IncomingMessage,
  to: ServerResponse,
  edit: (line: string) => string,
  limit: number,
): Promise<void> {
  from.setEncoding('utf8');
  let rest = '';
  let size = 0;
  for await (const chunk of from as AsyncIterable<string>) {
    size += chunk.length;
    if (size > limit) {
      from.destroy();
      throw new Error(`page of more than ${limit} characters, cut off`);
    }
    const whole = (rest + chunk).split('\n');
    rest = whole.pop() ?? '';
    const lines = whole.filter((line) => line !== END_MARK);
    if (lines.length === 0) continue;
    const isFull = !to.write(`${lines.map(edit).join('\n')}\n`);
    if (isFull && !to.destroyed) await drained(to);
  }
  if (rest !== '' && rest !== END_MARK) to.write(`${edit(rest)}\n`);
}

function drained(response: ServerResponse): Promise<void> {
  return new Promise((resolve) => {
    response.once('drain', resolve);
    response.once('close', resolve);
  });
}
