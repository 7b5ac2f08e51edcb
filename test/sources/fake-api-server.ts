// An API server for tests: lists with pages, watches with bookmarks, discovery, and every way in which these fail.
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

export interface RawObject {
  readonly metadata: { readonly name: string; readonly namespace?: string; readonly [field: string]: unknown };
  readonly [field: string]: unknown;
}

interface Watcher {
  readonly path: string;
  readonly response: ServerResponse;
}

export class FakeApiServer {
  /** What was asked: path and the parameters that matter. */
  readonly asked: string[] = [];
  readonly #collections = new Map<string, Map<string, RawObject>>();
  readonly #forbidden = new Set<string>();
  readonly #watchers = new Set<Watcher>();
  readonly #server: Server;
  #version = 100;
  #folder = '';
  kubeconfig = '';

  constructor() {
    this.#server = createServer((request, response) => this.#answer(request, response));
  }

  async start(): Promise<void> {
    await new Promise<void>((resolve) => this.#server.listen(0, '127.0.0.1', resolve));
    await this.#writeKubeconfig();
  }

  async #writeKubeconfig(): Promise<void> {
    const { port } = this.#server.address() as AddressInfo;
    this.#folder = await mkdtemp(join(tmpdir(), 'meltemi-kube-'));
    this.kubeconfig = join(this.#folder, 'kubeconfig');
    const config = {
      apiVersion: 'v1',
      kind: 'Config',
      clusters: [{ name: 'c', cluster: { server: `http://127.0.0.1:${port}`, 'insecure-skip-tls-verify': true } }],
      users: [{ name: 'u', user: { token: 'secret' } }],
      contexts: [{ name: 'x', context: { cluster: 'c', user: 'u' } }],
      'current-context': 'x',
    };
    await writeFile(this.kubeconfig, JSON.stringify(config));
  }

  async stop(): Promise<void> {
    this.endWatches();
    this.#server.closeAllConnections();
    await new Promise((resolve) => this.#server.close(resolve));
    await rm(this.#folder, { recursive: true, force: true });
  }

  /** The collection exists from now on: `/apis/GROUP/VERSION/PLURAL`. */
  serve(path: string): void {
    this.#collections.set(path, new Map());
  }

  /** As when a CustomResourceDefinition is deleted. */
  unserve(path: string): void {
    this.#collections.delete(path);
    this.endWatches(path);
  }

  forbid(path: string, forbidden: boolean): void {
    if (forbidden) this.#forbidden.add(path);
    else this.#forbidden.delete(path);
  }

  put(path: string, raw: RawObject): void {
    const collection = this.#collections.get(path);
    const key = `${raw.metadata.namespace ?? ''}/${raw.metadata.name}`;
    const type = collection?.has(key) === true ? 'MODIFIED' : 'ADDED';
    const object = { ...raw, metadata: { ...raw.metadata, resourceVersion: String(++this.#version) } };
    collection?.set(key, object);
    this.send(path, { type, object });
  }

  delete(path: string, namespace: string, name: string): void {
    const collection = this.#collections.get(path);
    const object = collection?.get(`${namespace}/${name}`);
    collection?.delete(`${namespace}/${name}`);
    if (object === undefined) return;
    this.send(path, {
      type: 'DELETED',
      object: { ...object, metadata: { ...object.metadata, resourceVersion: String(++this.#version) } },
    });
  }

  /** Removes without telling the watchers, as happens while they are away. */
  deleteUnseen(path: string, namespace: string, name: string): void {
    this.#collections.get(path)?.delete(`${namespace}/${name}`);
    this.#version++;
  }

  bookmark(path: string): string {
    const version = String(++this.#version);
    this.send(path, { type: 'BOOKMARK', object: { metadata: { resourceVersion: version } } });
    return version;
  }

  expire(path: string): void {
    this.send(path, { type: 'ERROR', object: { kind: 'Status', code: 410, message: 'too old resource version' } });
  }

  send(path: string, event: unknown): void {
    for (const watcher of this.#watchers)
      if (watcher.path === path) watcher.response.write(`${JSON.stringify(event)}\n`);
  }

  endWatches(path?: string): void {
    for (const watcher of this.#watchers) {
      if (path !== undefined && watcher.path !== path) continue;
      watcher.response.end();
      this.#watchers.delete(watcher);
    }
  }

  watching(path: string): boolean {
    return [...this.#watchers].some((watcher) => watcher.path === path);
  }

  #answer(request: IncomingMessage, response: ServerResponse): void {
    const url = new URL(request.url ?? '/', 'http://x');
    const query = ['limit', 'continue', 'resourceVersion', 'watch', 'fieldSelector'].flatMap((name) => {
      const value = url.searchParams.get(name);
      return value === null ? [] : [`${name}=${value}`];
    });
    this.asked.push([url.pathname, ...query].join(' '));
    if (request.headers.authorization !== 'Bearer secret')
      return this.#reply(response, 401, { message: 'who are you' });
    if (this.#forbidden.has(url.pathname)) return this.#reply(response, 403, { message: 'no permission' });
    const collection = this.#collections.get(url.pathname);
    if (collection === undefined) return this.#discovery(url.pathname, response);
    if (url.searchParams.get('watch') === 'true') this.#watch(url, response);
    else this.#list(url, collection, response);
  }

  #reply(response: ServerResponse, status: number, body: unknown): void {
    response.writeHead(status, { 'content-type': 'application/json' }).end(JSON.stringify(body));
  }

  #discovery(path: string, response: ServerResponse): void {
    const below = [...this.#collections.keys()]
      .filter((each) => each.startsWith(`${path}/`))
      .map((each) => each.slice(path.length + 1).split('/'));
    const depth = path.split('/').length;
    if (below.length === 0 || !path.startsWith('/apis/'))
      return this.#reply(response, 404, { message: 'the server could not find it' });
    if (depth === 3)
      this.#reply(response, 200, {
        versions: [...new Set(below.map(([version]) => version))].map((version) => ({ version })),
      });
    else this.#reply(response, 200, { resources: below.map(([name]) => ({ name })) });
  }

  #list(url: URL, collection: ReadonlyMap<string, RawObject>, response: ServerResponse): void {
    const from = Number(url.searchParams.get('continue') ?? 0);
    const limit = Number(url.searchParams.get('limit') ?? 500);
    const all = [...collection.values()];
    const more = from + limit < all.length ? { continue: String(from + limit) } : {};
    this.#reply(response, 200, {
      metadata: { resourceVersion: String(this.#version), ...more },
      items: all.slice(from, from + limit),
    });
  }

  #watch(url: URL, response: ServerResponse): void {
    const watcher: Watcher = { path: url.pathname, response };
    response.writeHead(200, { 'content-type': 'application/json' });
    response.flushHeaders();
    this.#watchers.add(watcher);
    response.on('close', () => this.#watchers.delete(watcher));
    const since = Number(url.searchParams.get('resourceVersion'));
    for (const object of this.#collections.get(url.pathname)?.values() ?? []) {
      if (Number(object.metadata['resourceVersion']) > since) this.send(url.pathname, { type: 'MODIFIED', object });
    }
  }
}
