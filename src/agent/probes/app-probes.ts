// A kubelet can't probe an application behind mutual TLS: it asks the agent, and the agent asks the application.
// In: the pod's probes as the injector wrote them into the environment, requests of a kubelet; out: answers. Called by status.ts.

import type { IncomingMessage, ServerResponse } from 'node:http';
import { type Probe, parseProbe, runProbe } from './probe.ts';
import type { ProbeTarget } from './target.ts';

export interface AppProbes {
  /** By path, such as `/app-health/CONTAINER/readyz`. */
  readonly probes: ReadonlyMap<string, Probe>;
  readonly remarks: readonly string[];
}

const PATH = /^\/(app-health|app-lifecycle)\/[^/]+\/(livez|readyz|startupz|prestopz|poststartz)$/;

/** Reads ISTIO_KUBE_APP_PROBERS. What can't be read is left out, with a remark. */
export function parseAppProbes(text: string | undefined): AppProbes {
  const probes = new Map<string, Probe>();
  const remarks: string[] = [];
  for (const [path, value] of entriesOf(text, remarks)) {
    const probe = PATH.test(path) ? parseProbe(value) : 'no path of a probe';
    if (typeof probe === 'string') remarks.push(`ISTIO_KUBE_APP_PROBERS: ${path}: ${probe}`);
    else probes.set(path, probe);
  }
  return { probes, remarks };
}

function entriesOf(text: string | undefined, remarks: string[]): readonly [string, unknown][] {
  if (text === undefined || text === '') return [];
  try {
    const value: unknown = JSON.parse(text);
    if (typeof value === 'object' && value !== null) return Object.entries(value);
    remarks.push('ISTIO_KUBE_APP_PROBERS: expected an object');
  } catch {
    remarks.push('ISTIO_KUBE_APP_PROBERS is not JSON and is ignored');
  }
  return [];
}

/** Whether a path is of this kind, known or not. */
export function isProbePath(path: string): boolean {
  return path.startsWith('/app-health/') || path.startsWith('/app-lifecycle/');
}

/** Makes the probe, and answers with what came of it. */
export async function answerProbe(
  probes: ReadonlyMap<string, Probe>,
  target: ProbeTarget,
  request: IncomingMessage,
  response: ServerResponse,
): Promise<void> {
  const probe = probes.get((request.url ?? '').split('?')[0] ?? '');
  if (probe === undefined) {
    response.writeHead(400, { 'content-type': 'text/plain; charset=utf-8' });
    response.end('no probe of this path\n');
    return;
  }
  const passed = Object.fromEntries(
    Object.entries(request.headers).flatMap(([name, value]) => (typeof value === 'string' ? [[name, value]] : [])),
  );
  const { status, text } = await runProbe(probe, target, passed);
  response.writeHead(status, { 'content-type': 'text/plain; charset=utf-8' });
  response.end(text);
}
