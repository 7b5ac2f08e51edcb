// Probes as Kubernetes has them: what one says, and one attempt of it.
// In: a probe in JSON form (of a pod, or of a WorkloadGroup); out: a Probe, a ProbeResult. Called by app-probes.ts, health.ts.

import { execFile } from 'node:child_process';
import { connect } from 'node:net';
import { grpcHealth } from './grpc.ts';
import { type HttpProbe, httpProbe } from './http.ts';
import { MAX_BODY, type ProbeTarget } from './target.ts';

export type ProbeAction =
  | ({ readonly kind: 'http' } & HttpProbe)
  | { readonly kind: 'tcp'; readonly host: string | undefined; readonly port: number }
  | { readonly kind: 'grpc'; readonly port: number; readonly service: string }
  | { readonly kind: 'exec'; readonly command: readonly string[] };

export interface Probe {
  readonly action: ProbeAction;
  readonly timeoutMs: number;
}

export interface ProbeResult {
  readonly ok: boolean;
  /** What a kubelet is told: the application's own status for HTTP, else 200 or 500. */
  readonly status: number;
  /** The answer's beginning, or why there is none. */
  readonly text: string;
}

type Json = Readonly<Record<string, unknown>>;

/** Says what is wrong where it can't be read. */
export function parseProbe(value: unknown): Probe | string {
  if (!isJson(value)) return 'expected an object';
  const seconds = value['timeoutSeconds'] ?? timeoutIn(value['timeout']) ?? 1;
  const timeoutMs = typeof seconds === 'number' && seconds > 0 ? seconds * 1000 : 1000;
  const action = actionOf(value);
  return typeof action === 'string' ? action : { action, timeoutMs };
}

/** A duration, as the API's JSON form of other probes has it. */
function timeoutIn(value: unknown): number | undefined {
  const [, seconds] = typeof value === 'string' ? (/^(\d+(?:\.\d+)?)s$/.exec(value) ?? []) : [];
  return seconds === undefined ? undefined : Number(seconds);
}

function actionOf(value: Json): ProbeAction | string {
  const { httpGet, tcpSocket, grpc, exec } = value;
  if (isJson(httpGet)) return httpAction(httpGet);
  if (isJson(tcpSocket)) {
    const port = portOf(tcpSocket['port']);
    return port === undefined
      ? 'tcpSocket.port: expected a number'
      : { kind: 'tcp', host: textOf(tcpSocket['host']), port };
  }
  if (isJson(grpc)) {
    const port = portOf(grpc['port']);
    const service = textOf(grpc['service']) ?? '';
    return port === undefined ? 'grpc.port: expected a number' : { kind: 'grpc', port, service };
  }
  if (isJson(exec)) {
    const { command } = exec;
    const words = Array.isArray(command) ? command.filter((word): word is string => typeof word === 'string') : [];
    return words.length === 0 ? 'exec.command: expected words' : { kind: 'exec', command: words };
  }
  return 'expected httpGet, tcpSocket, grpc or exec';
}

function httpAction(httpGet: Json): ProbeAction | string {
  const port = portOf(httpGet['port']);
  if (port === undefined) return 'httpGet.port: expected a number';
  const path = textOf(httpGet['path']) ?? '/';
  const headers = Array.isArray(httpGet['httpHeaders']) ? httpGet['httpHeaders'].filter(isJson) : [];
  return {
    kind: 'http',
    host: textOf(httpGet['host']),
    port,
    path: path.startsWith('/') ? path : `/${path}`,
    secure: textOf(httpGet['scheme'])?.toUpperCase() === 'HTTPS',
    headers: headers.flatMap(({ name, value }) =>
      typeof name === 'string' && name !== '' ? [[name, typeof value === 'string' ? value : ''] as const] : [],
    ),
  };
}

function isJson(value: unknown): value is Json {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function textOf(value: unknown): string | undefined {
  return typeof value === 'string' && value !== '' ? value : undefined;
}

function portOf(value: unknown): number | undefined {
  const port = Number(value);
  return Number.isInteger(port) && port > 0 && port < 65_536 ? port : undefined;
}

/** One attempt. Never rejects. `passed`: headers of the request for which the probe is made. */
export async function runProbe(
  { action, timeoutMs }: Probe,
  target: ProbeTarget,
  passed: Readonly<Record<string, string>> = {},
): Promise<ProbeResult> {
  try {
    switch (action.kind) {
      case 'http': {
        const { status, body } = await httpProbe(action, { ...target, timeoutMs, passed });
        return { ok: status >= 200 && status < 400, status, text: body };
      }
      case 'tcp':
        await reached(action.host ?? target.host, action.port, target.source, timeoutMs);
        return PASSED;
      case 'grpc':
        await grpcHealth({ ...target, port: action.port, service: action.service, timeoutMs });
        return PASSED;
      case 'exec':
        await executed(action.command, timeoutMs);
        return PASSED;
    }
  } catch (error) {
    return { ok: false, status: 500, text: error instanceof Error ? error.message : String(error) };
  }
}

const PASSED: ProbeResult = { ok: true, status: 200, text: '' };

function reached(host: string, port: number, source: string | undefined, timeoutMs: number): Promise<void> {
  return new Promise((resolve, reject) => {
    const socket = connect({ host, port, ...(source === undefined ? {} : { localAddress: source }) });
    socket.setTimeout(timeoutMs, () => socket.destroy(new Error(`no connection within ${timeoutMs} ms`)));
    socket.once('error', reject);
    socket.once('connect', () => {
      socket.destroy();
      resolve();
    });
  });
}

function executed([program = '', ...words]: readonly string[], timeoutMs: number): Promise<void> {
  return new Promise((resolve, reject) => {
    execFile(program, words, { timeout: timeoutMs, maxBuffer: MAX_BODY, killSignal: 'SIGKILL' }, (error, out, err) => {
      if (error === null) resolve();
      else
        reject(
          new Error(
            `${error.killed === true ? `not done within ${timeoutMs} ms` : error.message.split('\n')[0]}: ${err || out}`.trim(),
          ),
        );
    });
  });
}
