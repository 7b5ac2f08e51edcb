// Wasm modules on disk: fetched once, checked, kept while they are asked for, bounded in size and age.
// In: a ModuleRequest; out: the path of a file for Envoy to load. One fetch at a time for each module. Called by rewrite.ts.

import { mkdir, readdir, rename, rm, stat, utimes, writeFile } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import type { Clock, Log, Meter, Timers } from '../../lib/ports.ts';
import { FinalError, checkStatus, get, withRetries } from './http.ts';
import { type ImageReference, parseImage, pull, sha256 } from './oci.ts';
import type { WasmOptions } from './options.ts';
import { moduleIn } from './unpack.ts';

export type PullPolicy = 'IfNotPresent' | 'Always' | undefined;

export interface ModuleRequest {
  readonly url: string;
  /** Lower-case hex; empty if none was given. Of the module, or of the manifest of an image. */
  readonly sha256: string;
  readonly policy: PullPolicy;
  /** Changes with the object that asks: an image that is always pulled is pulled for each. */
  readonly version: string;
  /** Text of a docker config.json; empty if there is none. */
  readonly dockerConfig: string;
}

export interface CachePorts {
  readonly clock: Clock;
  readonly timers: Timers;
  readonly log: Log;
  readonly meter: Meter;
}

export interface ModuleCache {
  /** Path of the module. Rejects with what went wrong. */
  get(request: ModuleRequest): Promise<string>;
  close(): void;
}

/** Opens the folder, with what is in it from before. */
export function moduleCache(options: WasmOptions, ports: CachePorts): ModuleCache {
  return new DiskCache(options, ports);
}

/** `KEY.MODULE.wasm`: hashes of what was asked for and of the module itself. */
const FILE = /^([0-9a-f]{64})\.([0-9a-f]{64})\.wasm$/;

class DiskCache implements ModuleCache {
  readonly #options: WasmOptions;
  readonly #ports: CachePorts;
  readonly #log: Log;
  readonly #directory: string;
  readonly #pending = new Map<string, Promise<string>>();
  readonly #metrics: ReturnType<typeof metricsOf>;
  #cancelPurge: () => void = () => undefined;
  #opened = false;
  #closed = false;

  constructor(options: WasmOptions, ports: CachePorts) {
    this.#options = options;
    this.#ports = ports;
    this.#log = ports.log.child('wasm');
    this.#directory = resolve(options.directory);
    this.#metrics = metricsOf(ports.meter);
  }

  get(request: ModuleRequest): Promise<string> {
    const key = keyOf(request);
    const known = this.#pending.get(key);
    if (known !== undefined) return known;
    const found = this.#obtain(key, request).finally(() => this.#pending.delete(key));
    this.#pending.set(key, found);
    return found;
  }

  close(): void {
    this.#closed = true;
    this.#cancelPurge();
  }

  async #obtain(key: string, request: ModuleRequest): Promise<string> {
    await this.#open();
    const cached = await this.#cached(key);
    this.#metrics.lookups.inc({ hit: String(cached !== undefined) });
    if (cached !== undefined) return cached;
    try {
      const module = await this.#fetch(request);
      const path = join(this.#directory, `${key}.${sha256(module)}.wasm`);
      await writeFile(`${path}.new`, module, { mode: 0o644 });
      await rename(`${path}.new`, path);
      this.#metrics.fetches.inc({ result: 'success' });
      this.#log.info({ url: request.url, bytes: module.length }, 'Wasm module fetched');
      await this.#purge(path);
      return path;
    } catch (error) {
      this.#metrics.fetches.inc({ result: 'failure' });
      throw error;
    }
  }

  /** Nothing is read, written or timed in a proxy without modules. */
  async #open(): Promise<void> {
    if (this.#opened) return;
    this.#opened = true;
    await mkdir(this.#directory, { recursive: true });
    this.#schedulePurge();
  }

  async #cached(key: string): Promise<string | undefined> {
    const name = (await readdir(this.#directory)).find((each) => FILE.exec(each)?.[1] === key);
    if (name === undefined) return undefined;
    const path = join(this.#directory, name);
    const now = new Date(this.#ports.clock.now());
    await utimes(path, now, now);
    return path;
  }

  async #fetch(request: ModuleRequest): Promise<Buffer> {
    if (!URL.canParse(request.url)) throw new FinalError(`${request.url}: not a URL`);
    const url = new URL(request.url);
    const attempt =
      url.protocol === 'oci:'
        ? this.#pulling(parseImage(request.url.slice('oci://'.length)), request)
        : () => this.#downloaded(url, request);
    return withRetries(attempt, this.#options.maxRetries, this.#ports.timers);
  }

  #pulling(image: ImageReference, request: ModuleRequest): () => Promise<Buffer> {
    const { requestTimeoutMs: timeoutMs, maxModuleBytes } = this.#options;
    const insecure = this.#isInsecure(image.registry);
    return async () => {
      const { dockerConfig } = request;
      const { module, manifestDigest } = await pull(image, { insecure, timeoutMs, maxModuleBytes, dockerConfig });
      if (request.sha256 !== '' && request.sha256 !== manifestDigest)
        throw new FinalError(`${request.url}: the image's digest is ${manifestDigest}, not ${request.sha256}`);
      return module;
    };
  }

  async #downloaded(url: URL, request: ModuleRequest): Promise<Buffer> {
    if (url.protocol !== 'http:' && url.protocol !== 'https:')
      throw new FinalError(`${request.url}: expected oci, http or https`);
    const { requestTimeoutMs: timeoutMs, maxModuleBytes: limit } = this.#options;
    const got = await get(url.href, { limit, timeoutMs, insecure: this.#isInsecure(url.host) });
    checkStatus(got, url.host);
    const digest = sha256(got.body);
    const module = moduleIn(got.body, limit);
    if (request.sha256 !== '' && request.sha256 !== digest && request.sha256 !== sha256(module))
      throw new FinalError(`${request.url}: the module's digest is ${digest}, not ${request.sha256}`);
    return module;
  }

  #isInsecure(host: string): boolean {
    const { insecureHosts } = this.#options;
    return insecureHosts.has('*') || insecureHosts.has(host) || insecureHosts.has(host.replace(/:\d+$/, ''));
  }

  #schedulePurge(): void {
    if (this.#closed) return;
    this.#cancelPurge = this.#ports.timers.setTimeout(() => {
      void this.#purge(undefined).then(() => this.#schedulePurge());
    }, this.#options.purgeIntervalMs);
  }

  /** Envoy reads a file once, when it is told of it: one that was not asked for in a while is not needed any more. */
  async #purge(keep: string | undefined): Promise<void> {
    const now = this.#ports.clock.now();
    const files: { readonly path: string; readonly size: number; readonly usedAt: number }[] = [];
    for (const name of await readdir(this.#directory).catch(() => [])) {
      const path = join(this.#directory, name);
      const found = FILE.test(name) ? await stat(path).catch(() => undefined) : undefined;
      if (found !== undefined) files.push({ path, size: found.size, usedAt: found.mtimeMs });
    }
    files.sort((a, b) => b.usedAt - a.usedAt);
    let total = 0;
    for (const { path, size, usedAt } of files) {
      total += size;
      const goes = now - usedAt > this.#options.expiryMs || total > this.#options.maxCacheBytes;
      if (!goes || path === keep) continue;
      total -= size;
      await rm(path, { force: true });
      this.#log.debug({ path }, 'Wasm module removed');
    }
  }
}

/** What may be taken from the cache in place of a new fetch. */
function keyOf({ url, sha256: digest, policy, version, dockerConfig }: ModuleRequest): string {
  const isAlways = policy === 'Always' || (policy === undefined && followsTag(url));
  // Who may not pull an image may not find it in the cache either.
  const parts = [url, digest, isAlways && digest === '' ? version : '', sha256(Buffer.from(dockerConfig))];
  return sha256(Buffer.from(parts.join('\n')));
}

/** An image by a tag that is expected to move. */
function followsTag(url: string): boolean {
  if (!url.startsWith('oci://') || url.includes('@')) return false;
  const last = url.slice(url.lastIndexOf('/') + 1);
  return !last.includes(':') || last.endsWith(':latest');
}

function metricsOf(meter: Meter) {
  return {
    lookups: meter.counter('istio_agent_wasm_cache_lookup_count', 'Modules looked for in the cache.', ['hit']),
    fetches: meter.counter('istio_agent_wasm_remote_fetch_count', 'Modules fetched.', ['result']),
  };
}
