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
export function applicationTarget(annotations: string | undefined, host: string): MetricsSources['application'] {
  if (annotations === undefined || annotations === '') return undefined;
  try {
    const { scrape, path, port } = JSON.parse(annotations) as Readonly<Record<string, unknown>>;
    const number = Number(port ?? 80);
    if (String(scrape) !== 'true' || !Number.isInteger(number)) return undefined;
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
      await copyLines(page, response, part.name === 'envoy' ? withoutPrefix : (line) => line);
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

async function copyLines(from: IncomingMessage, to: ServerResponse, edit: (line: string) => string): Promise<void> {
  from.setEncoding('utf8');
  let rest = '';
  for await (const chunk of from) {
    const lines = (rest + chunk).split('\n');
    rest = lines.pop() ?? '';
    if (lines.length === 0) continue;
    const isFull = !to.write(`${lines.map(edit).join('\n')}\n`);
    if (isFull && !to.destroyed) await drained(to);
  }
  if (rest !== '') to.write(`${edit(rest)}\n`);
}

function drained(response: ServerResponse): Promise<void> {
  return new Promise((resolve) => {
    response.once('drain', resolve);
    response.once('close', resolve);
  });
}
