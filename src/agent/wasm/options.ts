import { join } from 'node:path';
import { durationMillis, parseDuration } from '../../lib/duration.ts';

/** How Wasm modules are fetched and kept. */
export interface WasmOptions {
  readonly directory: string;
  /** Registries and servers whose certificates are not verified, and that may speak plain HTTP; `*` for all. */
  readonly insecureHosts: ReadonlySet<string>;
  /** A module that was not asked for in so long is removed. */
  readonly expiryMs: number;
  readonly purgeIntervalMs: number;
  /** For one request to a server. */
  readonly requestTimeoutMs: number;
  readonly maxRetries: number;
  /** Largest module, octets. */
  readonly maxModuleBytes: number;
  /** All modules together, octets; those not asked for longest go first. */
  readonly maxCacheBytes: number;
}

const MIB = 1024 * 1024;
const HOUR_MS = 3600_000;

export function wasmOptionsOf(
  env: Readonly<Record<string, string | undefined>>,
  dataDirectory: string,
  remarks: string[],
): WasmOptions {
  const ms = (name: string, fallback: number): number => {
    const text = env[name] ?? '';
    const parsed = text === '' ? undefined : parseDuration(text);
    if (text !== '' && parsed === undefined) remarks.push(`${name} "${text}" is no duration; ${fallback} ms is used`);
    return parsed === undefined ? fallback : durationMillis(parsed);
  };
  const retries = Number(env['WASM_HTTP_REQUEST_MAX_RETRIES'] || 5);
  return {
    directory: env['WASM_MODULE_DIRECTORY'] || join(dataDirectory, 'wasm'),
    insecureHosts: new Set(
      (env['WASM_INSECURE_REGISTRIES'] ?? '')
        .split(',')
        .map((host) => host.trim())
        .filter(Boolean),
    ),
    expiryMs: ms('WASM_MODULE_EXPIRY', 24 * HOUR_MS),
    purgeIntervalMs: ms('WASM_PURGE_INTERVAL', HOUR_MS),
    requestTimeoutMs: ms('WASM_HTTP_REQUEST_TIMEOUT', 15_000),
    maxRetries: Number.isInteger(retries) && retries >= 0 ? retries : 5,
    maxModuleBytes: 256 * MIB,
    maxCacheBytes: 1024 * MIB,
  };
}
