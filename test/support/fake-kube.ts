// An API server in memory, behind the port that the control plane uses: objects with versions, lists, watches, the kinds of
// patches, compare-and-set. It can be made unreachable. For tests of what is written; real servers have tests of their own.
import { type KubeApi, KubeError, type KubeWrite, type Query } from '../../src/sources/kube-api.ts';

export type Raw = Readonly<Record<string, unknown>> & { readonly metadata: RawMeta };
interface RawMeta {
  readonly name: string;
  readonly namespace?: string;
  readonly labels?: Readonly<Record<string, string>>;
  readonly resourceVersion?: string;
  readonly [field: string]: unknown;
}

interface Target {
  /** `/api/v1` or `/apis/GROUP/VERSION`, then the plural. */
  readonly collection: string;
  readonly namespace: string | undefined;
  readonly name: string | undefined;
  readonly sub: string | undefined;
}

interface Watcher {
  readonly target: Target;
  readonly query: Query;
  readonly lines: (values: readonly unknown[]) => void;
  readonly end: (error?: Error) => void;
}

export class FakeKube implements KubeApi {
  /** Writes that came through, as `PATCH /path`. */
  readonly writes: string[] = [];
  readonly objects = new Map<string, Raw>();
  /** Answers to POSTs of things that are asked instead of kept (reviews), by the end of the path. */
  readonly answers = new Map<string, (body: unknown) => unknown>();
  readonly #watchers = new Set<Watcher>();
  readonly #log: { readonly version: number; readonly type: string; readonly key: string; readonly object: Raw }[] = [];
  #version = 1;
  #down = false;
  /** `GROUP/VERSION/PLURAL` of what discovery tells, beside the core group. */
  readonly served = new Set<string>();
  /** Called before each write; may throw. */
  onWrite: (write: KubeWrite) => void = () => undefined;

  set down(down: boolean) {
    this.#down = down;
    if (down) for (const watcher of [...this.#watchers]) watcher.end(new KubeError(0, 'connection lost'));
  }

  put(path: string, raw: Raw): void {
    const target = targetOf(path);
    this.#store(`${target.collection}|${target.namespace ?? ''}|${raw.metadata.name}`, raw);
  }

  delete(path: string): void {
    const { collection, namespace = '', name = '' } = targetOf(path);
    const key = `${collection}|${namespace}|${name}`;
    const object = this.objects.get(key);
    if (object === undefined) return;
    this.objects.delete(key);
    const resourceVersion = String(++this.#version);
    this.#tell('DELETED', key, { ...object, metadata: { ...object.metadata, resourceVersion } });
  }

  read(path: string): Raw | undefined {
    const { collection, namespace = '', name = '' } = targetOf(path);
    return this.objects.get(`${collection}|${namespace}|${name}`);
  }

  async get(path: string, query: Query, signal: AbortSignal): Promise<unknown> {
    await this.#reach(signal);
    const group = /^\/apis\/([^/]+)(?:\/([^/]+))?$/.exec(path);
    if (group !== null) return this.#discovery(group[1] ?? '', group[2]);
    const target = targetOf(path);
    if (target.name !== undefined) {
      const found = this.read(path);
      if (found === undefined) throw new KubeError(404, `${path} not found`);
      return found;
    }
    const items = [...this.objects].flatMap(([key, object]) => (fits(key, object, target, query) ? [object] : []));
    return { metadata: { resourceVersion: String(this.#version) }, items };
  }

  async follow(
    path: string,
    query: Query,
    signal: AbortSignal,
    onLines: (values: readonly unknown[]) => void,
  ): Promise<void> {
    await this.#reach(signal);
    const target = targetOf(path);
    return new Promise((resolve, reject) => {
      const watcher: Watcher = {
        target,
        query,
        lines: onLines,
        end: (error) => {
          this.#watchers.delete(watcher);
          if (error === undefined) resolve();
          else reject(error);
        },
      };
      this.#watchers.add(watcher);
      signal.addEventListener('abort', () => watcher.end(new KubeError(0, 'aborted')), { once: true });
      const since = Number(query['resourceVersion']);
      for (const { version, type, key, object } of [...this.#log])
        if (version > since && fits(key, object, target, query)) onLines([{ type, object }]);
    });
  }

  async send(write: KubeWrite, signal: AbortSignal): Promise<unknown> {
    await this.#reach(signal);
    this.onWrite(write);
    const { method, path, body } = write;
    const target = targetOf(path);
    for (const [end, answer] of this.answers) if (path.endsWith(end)) return answer(body);
    if (method === 'DELETE') {
      this.writes.push(`${method} ${path}`);
      this.delete(path);
      return {};
    }
    const raw = body as Raw;
    const name = target.name ?? raw.metadata.name;
    const key = `${target.collection}|${target.namespace ?? ''}|${name}`;
    const before = this.objects.get(key);
    if (method === 'POST' && before !== undefined) throw new KubeError(409, `${name} already exists`);
    if (method === 'PUT' || (method === 'PATCH' && write.patch !== 'apply-patch') || target.sub !== undefined) {
      if (before === undefined) throw new KubeError(404, `${path} not found`);
    }
    if (method === 'PUT' && raw.metadata.resourceVersion !== before?.metadata.resourceVersion)
      throw new KubeError(409, `${name} has been modified`);
    const expected = raw.metadata?.resourceVersion;
    if (write.patch === 'merge-patch' && expected !== undefined && expected !== before?.metadata.resourceVersion)
      throw new KubeError(409, `${name} has been modified`);
    this.writes.push(`${method} ${path}`);
    const after = method === 'PATCH' ? patched(before, write) : raw;
    return this.#store(key, after);
  }

  #discovery(group: string, version: string | undefined): unknown {
    const all = [...this.served].map((each) => each.split('/')).filter(([name]) => name === group);
    if (all.length === 0) throw new KubeError(404, `${group} not found`);
    return version === undefined
      ? { versions: all.map((each) => ({ version: each[1] })) }
      : { resources: all.filter((each) => each[1] === version).map((each) => ({ name: each[2] })) };
  }

  #store(key: string, raw: Raw): Raw {
    const resourceVersion = String(++this.#version);
    const [, namespace = ''] = key.split('|');
    const where = namespace === '' ? {} : { namespace };
    const object = { ...raw, metadata: { ...raw.metadata, ...where, resourceVersion } };
    const type = this.objects.has(key) ? 'MODIFIED' : 'ADDED';
    this.objects.set(key, object);
    this.#tell(type, key, object);
    return object;
  }

  #tell(type: string, key: string, object: Raw): void {
    this.#log.push({ version: this.#version, type, key, object });
    for (const watcher of [...this.#watchers])
      if (fits(key, object, watcher.target, watcher.query)) watcher.lines([{ type, object }]);
  }

  async #reach(signal: AbortSignal): Promise<void> {
    await Promise.resolve();
    if (signal.aborted) throw new KubeError(0, 'aborted');
    if (this.#down) throw new KubeError(0, 'connection refused');
  }
}

function targetOf(path: string): Target {
  const parts = path.split('/').filter((part) => part !== '');
  const head = parts[0] === 'api' ? 2 : 3;
  const rest = parts.slice(head);
  const namespaced = rest[0] === 'namespaces' && rest.length > 2;
  const [plural = '', name, sub] = namespaced ? rest.slice(2) : rest;
  return {
    collection: `/${parts.slice(0, head).join('/')}/${plural}`,
    namespace: namespaced ? rest[1] : undefined,
    name,
    sub,
  };
}

function fits(key: string, object: Raw, { collection, namespace }: Target, query: Query): boolean {
  const [where, ns = ''] = key.split('|');
  if (where !== collection || (namespace !== undefined && ns !== namespace)) return false;
  const field = /^metadata\.name=(.+)$/.exec(String(query['fieldSelector'] ?? ''))?.[1];
  if (field !== undefined && object.metadata.name !== field) return false;
  const [label, value] = String(query['labelSelector'] ?? '').split('=');
  if (label === undefined || label === '') return true;
  const found = object.metadata.labels?.[label];
  return found !== undefined && (value === undefined || found === value);
}

function patched(before: Raw | undefined, { patch, body }: KubeWrite): Raw {
  if (patch !== 'json-patch') return merged(before ?? {}, body) as Raw;
  const copy = structuredClone(before) as unknown as Record<string, unknown>;
  for (const { op, path, value } of body as { op: string; path: string; value: unknown }[]) {
    const steps = path.split('/').slice(1);
    const last = steps.pop() ?? '';
    const at = steps.reduce<Record<string, unknown>>((here, step) => here[step] as Record<string, unknown>, copy);
    if (op === 'test' && at[last] !== value) throw new KubeError(422, `test of ${path} failed`);
    if (op === 'add') at[last] = value;
  }
  return copy as unknown as Raw;
}

function merged(under: unknown, over: unknown): unknown {
  if (typeof under !== 'object' || under === null || typeof over !== 'object' || over === null || Array.isArray(over))
    return over;
  const result: Record<string, unknown> = { ...under };
  for (const [key, value] of Object.entries(over)) {
    if (value === null) delete result[key];
    else result[key] = merged(result[key], value);
  }
  return result;
}
