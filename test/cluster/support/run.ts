// Programs that the suite drives a cluster with: kubectl, helm and meltemi itself, on whatever KUBECONFIG names.
import { execFile } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { parseAllDocuments, stringify } from 'yaml';

export const ROOT = fileURLToPath(new URL('../../../', import.meta.url));

/** Image that runs as control plane, proxy and, since it holds Node, as the sample's applications. */
export const IMAGE = process.env['MELTEMI_IMAGE'] ?? 'meltemi:0.1.0';

export interface Ran {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

interface RunOptions {
  readonly input?: string;
  readonly timeout?: number;
}

/** Runs a program to its end, whatever its status. */
export function ran(program: string, args: readonly string[], options: RunOptions = {}): Promise<Ran> {
  return new Promise((resolve) => {
    const child = execFile(
      program,
      [...args],
      { cwd: ROOT, maxBuffer: 64 << 20, timeout: options.timeout ?? 400_000 },
      (error, stdout, stderr) => {
        const code = error === null ? 0 : typeof error.code === 'number' ? error.code : 127;
        resolve({ code, stdout, stderr: stderr === '' && error !== null ? error.message : stderr });
      },
    );
    child.stdin?.end(options.input ?? '');
  });
}

async function output(program: string, args: readonly string[], options?: RunOptions): Promise<string> {
  const { code, stdout, stderr } = await ran(program, args, options);
  if (code !== 0) throw new Error(`${program} ${args.join(' ')}\n${stderr}${stdout}`);
  return stdout;
}

export const kubectl = (...args: string[]): Promise<string> => output('kubectl', args);
export const helm = (...args: string[]): Promise<string> => output('helm', args);
export const meltemi = (...args: string[]): Promise<Ran> => ran(process.execPath, [`${ROOT}dist/main.js`, ...args]);

export async function getJson<T>(...args: string[]): Promise<T> {
  return JSON.parse(await kubectl('get', ...args, '-o', 'json')) as T;
}

export function apply(...objects: object[]): Promise<string> {
  return output('kubectl', ['apply', '-f', '-'], { input: objects.map((object) => stringify(object)).join('---\n') });
}

/** What the API server says to objects that it may refuse. */
export function tryApply(object: object, ...flags: string[]): Promise<Ran> {
  return ran('kubectl', ['apply', ...flags, '-f', '-'], { input: stringify(object) });
}

/** A control plane of the chart, with requests that fit a small node; all else is the chart's defaults. */
export async function installControlPlane(release: string, ...flags: string[]): Promise<void> {
  await helm('install', release, 'charts/meltemi', ...CONTROL_PLANE, ...flags, '--wait', '--timeout=300s');
}

const [, HUB = '', NAME = '', TAG = ''] = /^(?:(.*)\/)?([^/:]+)(?::([^/]+))?$/.exec(IMAGE) ?? [];

export const CONTROL_PLANE: readonly string[] = [
  ...['-n', 'istio-system'],
  ...['--set-string', `global.hub=${HUB},global.proxy.image=${NAME},global.tag=${TAG}`],
  ...['--set', 'resources.requests.cpu=50m,resources.requests.memory=128Mi'],
  ...['--set', 'global.proxy.resources.requests.cpu=10m,global.proxy.resources.requests.memory=64Mi'],
];

/** The sample as it is shipped, but for the image. */
export async function sample(): Promise<object[]> {
  const text = await kubectl('kustomize', 'samples/kubernetes');
  return parseAllDocuments(text.replaceAll(/image: meltemi:\S+/g, `image: ${IMAGE}`)).map(
    (document) => document.toJS() as object,
  );
}

export async function until<T>(
  what: string,
  look: () => Promise<T | undefined | false>,
  timeoutMs = 240_000,
): Promise<T> {
  const end = Date.now() + timeoutMs;
  let last = '';
  while (Date.now() < end) {
    try {
      const found = await look();
      if (found !== undefined && found !== false) return found;
    } catch (error) {
      last = String(error);
    }
    await new Promise((resolve) => setTimeout(resolve, 500));
  }
  throw new Error(`not within ${timeoutMs / 1000} s: ${what} ${last}`);
}

/** Waits until all pods of the deployments are those of the newest template, ready, and no others are left. */
export async function rolledOut(namespace: string, ...deployments: string[]): Promise<void> {
  for (const name of deployments)
    await kubectl('-n', namespace, 'rollout', 'status', `deployment/${name}`, '--timeout=300s');
}
