// One kind of one API server as events for the store: parsed, projected, and limited to what this control plane serves.
// In: raw objects of a ListWatch. Out: batches of events. Called by kubernetes.ts, one for each kind.

import { isCustom, type KindInfo } from '../config/kinds.ts';
import { type Finding, type ObjectEvent, type ObjectRef, refKey } from '../config/object.ts';
import { type Checked, parseChecked, type Parsed, parseKnown, type ParseOptions } from '../config/parse/index.ts';
import { deepEqual } from '../lib/equal.ts';
import type { Counter, Gauge, Log, Timers } from '../lib/ports.ts';
import type { KubeApi } from './kube-api.ts';
import { discover, type Discovery, type Served, textOf } from './kube-discovery.ts';
import { ListWatch, type ListWatchSink, type RawObject, type WatchEvent } from './kube-list-watch.ts';
import type { Outage } from './kube-outage.ts';
import { Repeats } from './kube-repeats.ts';
import { slim } from './kube-slim.ts';
import { kindReaderOf } from './kube-wire-kinds.ts';

/** Whether an object is served by this control plane. */
export type Verdict =
  | { readonly kind: 'served' }
  /** It is another's, or of a namespace that is left out. */
  | { readonly kind: 'left-out' }
  /** No revision answers for it, which the user should know. Served all the same where the object itself names none. */
  | { readonly kind: 'unowned'; readonly message: string; readonly served: boolean };

/** Where verdicts may be others now. */
export interface ScopeChange {
  /** Namespaces that came to be selected, or no longer are. */
  readonly selection: ReadonlySet<string>;
  /** Namespaces whose configuration may have another owner. */
  readonly ownership: ReadonlySet<string> | 'all';
}

/** Which objects are served: asked for each one, and again for all of a kind when `refresh` is called. */
export interface ObjectScope {
  judge(info: KindInfo, namespace: string, labels: Readonly<Record<string, string>>): Verdict;
}

export interface ReflectorOptions {
  readonly api: KubeApi;
  /** Asked which kinds there are. */
  readonly discovery: Discovery;
  readonly info: KindInfo;
  readonly clusterId: string;
  readonly log: Log;
  readonly timers: Timers;
  readonly random: () => number;
  /** Only objects of this namespace; all where it is undefined. */
  readonly namespace?: string | undefined;
  readonly scope?: ObjectScope | undefined;
  readonly systemNamespace?: string | undefined;
  readonly pageSize?: number | undefined;
  readonly pollAbsentMs?: number | undefined;
  readonly outage?: Outage | undefined;
  /** False while the server certainly lacks the kind: then it isn't asked. */
  readonly defined?: ((info: KindInfo) => boolean) | undefined;
  readonly events: Counter;
  readonly lists: Counter;
  readonly unowned: Gauge;
  readonly emit: (events: readonly ObjectEvent[]) => void;
  /** Everything that was there is handed over. Called once. */
  readonly onListed: () => void;
}

/** Secrets that never hold a certificate for a proxy, and of which a cluster has many. */
const FIELD_SELECTORS: Readonly<Record<string, string>> = {
  Secret: 'type!=helm.sh/release.v1,type!=kubernetes.io/service-account-token',
};

interface Listing {
  readonly events: ObjectEvent[];
  readonly present: Map<string, ObjectRef>;
  readonly left: Set<string>;
  readonly unowned: Map<string, Finding>;
  readonly repeats: Repeats;
}

export class Reflector implements ListWatchSink {
  readonly #options: ReflectorOptions;
  readonly #watch: ListWatch;
  #known = new Map<string, ObjectRef>();
  /** Namespaces of which something was left out. */
  #left = new Set<string>();
  #unowned = new Map<string, Finding>();
  #repeats: Repeats;
  #listing: Listing | undefined;
  #listed = false;

  constructor(options: ReflectorOptions) {
    this.#options = options;
    this.#repeats = new Repeats(options.info.kind);
    const { api, info, log, timers, random, pageSize, pollAbsentMs, outage, defined, discovery } = options;
    this.#watch = new ListWatch({
      api,
      what: info.kind,
      discover: async (signal) =>
        defined?.(info) === false ? undefined : this.#within(await discover(discovery, info, signal)),
      sink: this,
      log,
      timers,
      random,
      fieldSelector: FIELD_SELECTORS[info.kind],
      decode: kindReaderOf(info.kind),
      pageSize,
      pollAbsentMs,
      outage,
    });
  }

  /** The name of the CustomResourceDefinition that would bring the kind. */
  get definition(): string {
    const { plural, group } = this.#options.info;
    return `${plural}.${group}`;
  }

  run(signal: AbortSignal): Promise<void> {
    return this.#watch.run(signal);
  }

  /** The definition of the kind came, changed or went. */
  redefined(): void {
    const { defined, info } = this.#options;
    if (defined?.(info) === false) this.#watch.relist();
    else this.#watch.lookAgain();
  }

  /** Reads everything again where a verdict on something that was read may be another now. */
  refresh({ selection, ownership }: ScopeChange): void {
    const { info } = this.#options;
    if (!info.namespaced) return;
    const owned = isCustom(info);
    if (owned && ownership === 'all') return this.#watch.relist();
    const moved = new Set([...selection, ...(owned && ownership !== 'all' ? ownership : [])]);
    const concerned =
      (this.#listing !== undefined && moved.size > 0) ||
      [...moved].some((namespace) => this.#left.has(namespace)) ||
      [...this.#known.values()].some(({ namespace }) => moved.has(namespace));
    if (concerned) this.#watch.relist();
  }

  begin(): void {
    const repeats = new Repeats(this.#options.info.kind);
    this.#listing = { events: [], present: new Map(), left: new Set(), unowned: new Map(), repeats };
  }

  page(items: readonly RawObject[], served: Served, checked: boolean): void {
    const listing = this.#listing ?? this.#current();
    for (const item of items) {
      const ref = this.#read(item, served, listing, checked);
      if (ref !== undefined) listing.present.set(refKey(ref), ref);
    }
  }

  end(): void {
    const { events, present, left, unowned, repeats } = this.#listing ?? this.#current();
    this.#listing = undefined;
    for (const [key, ref] of this.#known) if (!present.has(key)) events.push({ kind: 'delete', ref });
    this.#known = present;
    this.#repeats = repeats;
    this.#left = left;
    this.#options.lists.inc({ kind: this.#options.info.kind });
    events.push({ kind: 'findings', scope: this.#scope(), findings: [] });
    if (!deepEqual([...this.#unowned], [...unowned])) events.push(this.#unownedEvent(unowned));
    this.#unowned = unowned;
    this.#options.emit(events);
    this.#markListed();
  }

  events(batch: readonly WatchEvent[], served: Served): void {
    const { info, emit, events: counter } = this.#options;
    const events: ObjectEvent[] = [];
    const before = this.#unowned;
    this.#unowned = new Map(before);
    for (const { type, object, checked } of batch) {
      counter.inc({ kind: info.kind, type });
      const ref = this.#refOf(object);
      if (type === 'MODIFIED' && this.#repeats.is(refKey(ref), object, served.apiVersion)) continue;
      this.#unowned.delete(refKey(ref));
      if (type === 'DELETED') this.#gone(ref, events);
      else {
        const found = this.#read(object, served, { ...this.#current(), events }, checked);
        if (found === undefined) this.#gone(ref, events);
        else this.#known.set(refKey(found), found);
      }
    }
    if (!deepEqual([...before], [...this.#unowned])) events.push(this.#unownedEvent(this.#unowned));
    if (events.length > 0) emit(events);
  }

  /** The kind does not exist now: neither do its objects. */
  absent(): void {
    const events: ObjectEvent[] = [...this.#known.values()].map((ref) => ({ kind: 'delete', ref }));
    this.#known.clear();
    this.#repeats = new Repeats(this.#options.info.kind);
    if (this.#unowned.size > 0) {
      this.#unowned = new Map();
      events.push(this.#unownedEvent(this.#unowned));
    }
    if (events.length > 0) this.#options.emit(events);
    this.#markListed();
  }

  refused(message: string): void {
    const finding: Finding = {
      severity: 'error',
      code: 'MEL0040',
      origin: this.#options.clusterId,
      message: `${this.#options.info.plural}: ${message}`,
    };
    this.#options.emit([{ kind: 'findings', scope: this.#scope(), findings: [finding] }]);
  }

  #within(served: Served | undefined): Served | undefined {
    const { namespace, info } = this.#options;
    return served === undefined || namespace === undefined || !info.namespaced
      ? served
      : { ...served, path: inNamespace(served.path, namespace) };
  }

  #current(): Listing {
    const [present, left, unowned, repeats] = [this.#known, this.#left, this.#unowned, this.#repeats];
    return { events: [], present, left, unowned, repeats };
  }

  #markListed(): void {
    if (this.#listed) return;
    this.#listed = true;
    this.#options.onListed();
  }

  #gone(ref: ObjectRef, events: ObjectEvent[]): void {
    this.#repeats.forget(refKey(ref));
    if (this.#known.delete(refKey(ref))) events.push({ kind: 'delete', ref });
  }

  #refOf(item: RawObject): ObjectRef {
    const { info } = this.#options;
    const namespace = info.namespaced ? textOf(item['metadata'], 'namespace') : '';
    return { kind: info.kind, namespace, name: textOf(item['metadata'], 'name') };
  }

  /** What the object is called, whether it is usable or not; undefined where that can't be told, or it is not served. */
  #read(
    item: RawObject,
    { apiVersion }: Served,
    { events, left, unowned, repeats }: Omit<Listing, 'present'>,
    checked: boolean,
  ): ObjectRef | undefined {
    const { info, clusterId, scope, systemNamespace } = this.#options;
    const own = this.#refOf(item);
    const verdict = scope?.judge(info, own.namespace, labelsOf(item));
    if (verdict?.kind === 'unowned') unowned.set(refKey(own), unownedFinding(own, verdict.message, clusterId));
    if (verdict?.kind === 'left-out' || (verdict?.kind === 'unowned' && !verdict.served)) {
      left.add(own.namespace);
      return undefined;
    }
    repeats.note(refKey(own), item, apiVersion);
    const raw = slim(info.kind, item, own.namespace, systemNamespace);
    const options: ParseOptions = { unknownFields: 'warning', origin: clusterId };
    const parsed: Parsed = checked
      ? parseChecked(raw as unknown as Checked, apiVersion, info, options)
      : parseKnown(raw, apiVersion, info, options);
    if (parsed.kind === 'object') {
      events.push({ kind: 'upsert', object: parsed.object, warnings: parsed.warnings });
      return { kind: parsed.object.kind, namespace: parsed.object.namespace, name: parsed.object.name };
    }
    if (parsed.kind !== 'invalid' || parsed.ref === undefined) return undefined;
    for (const finding of parsed.findings) events.push({ kind: 'invalid', ref: parsed.ref, finding });
    return parsed.ref;
  }

  #unownedEvent(unowned: ReadonlyMap<string, Finding>): ObjectEvent {
    this.#options.unowned.set(unowned.size, { kind: this.#options.info.kind });
    return { kind: 'findings', scope: `${this.#scope()}/unowned`, findings: [...unowned.values()] };
  }

  #scope(): string {
    return `${this.#options.clusterId}/${this.#options.info.plural}`;
  }
}

function unownedFinding(ref: ObjectRef, message: string, origin: string): Finding {
  return { severity: 'warning', code: 'MEL0041', ref, origin, message };
}

/** `/api/v1/pods` to `/api/v1/namespaces/NS/pods`. */
export function inNamespace(path: string, namespace: string): string {
  const slash = path.lastIndexOf('/');
  return `${path.slice(0, slash)}/namespaces/${namespace}${path.slice(slash)}`;
}

function labelsOf(item: RawObject): Readonly<Record<string, string>> {
  const metadata = item['metadata'] as { readonly labels?: Readonly<Record<string, string>> } | undefined;
  return metadata?.labels ?? {};
}
