// A connected proxy's session: the port through which its stream sees the plane.

import type { Finding } from '../config/object.ts';
import { TYPE_URL } from '../ir/draft.ts';
import type { Proxy, Workload } from '../ir/proxy.ts';
import type { Snapshot } from '../ir/snapshot.ts';
import type { Clock, Timers } from '../lib/ports.ts';
import { smallTable } from '../lib/table.ts';
import { within } from '../lib/within.ts';
import type { Resource } from '../resources/resource.ts';
import { emptyView, type ResourceTable, shardKey, type View } from '../resources/view.ts';
import type { NackEvent, NodeInfo, Peer, ProxySession, SentEvent } from '../xds/port.ts';
import type { ClassState } from './class-state.ts';
import type { ClassViews } from './class-views.ts';
import { ASKED_TYPES, Demand } from './on-demand.ts';
import { type OwnViews, ownViews } from './own-views.ts';
import { privateExtensions } from './pull-secrets.ts';
import type { SecretAccess } from './secret-access.ts';
import { readableSecrets } from './secrets.ts';
import { composedView, SyncRecord } from './session.ts';
import {
  type LeaseWorkloadKeys,
  provenIdentity,
  wantsWorkloadKeys,
  type WorkloadKeysLease,
  workloadSecretResources,
} from './workload-secrets.ts';

export interface SessionOptions {
  readonly id: string;
  readonly node: NodeInfo;
  readonly proxy: Proxy;
  readonly peer: Peer;
  readonly wake: (changedAt?: number) => void;
  readonly connectedAt: number;
  readonly clock: Clock;
  readonly timers: Timers;
  readonly plane: SessionHost;
}

/** What a session tells the plane. */
export interface SessionHost {
  readonly snapshot: Snapshot | undefined;
  readonly secretAccess: SecretAccess;
  /** Undefined where certificates are none of this process's business. */
  readonly workloadKeys: LeaseWorkloadKeys | undefined;
  leave(session: PlaneSession): void;
  /** Something was sent to it, or it has said something. */
  moved(): void;
  refused(session: PlaneSession, typeUrl: string, message: string, suspects: readonly Resource[]): void;
}

/** Timers hold no more than 31 bits of milliseconds. */
const LONGEST_WAIT = 2 ** 31 - 1;

/** The views of all types that are served, while there is nothing in them. */
const NOTHING: ReadonlyMap<string, View> = new Map(Object.values(TYPE_URL).map((type) => [type, emptyView(type)]));

/** What is known of one type; views as they were when something was last sent, taken, or asked for without anything to send. */
interface TypeViews {
  current: View | undefined;
  /** The names that were asked for. */
  wanted: ReadonlySet<string> | undefined;
  sent: View | undefined;
  taken: View | undefined;
}

export class PlaneSession implements ProxySession {
  readonly kind = 'session';
  readonly record = new SyncRecord();
  classState: ClassState | undefined;
  workload: Workload | undefined;
  readonly #options: SessionOptions;
  readonly #types = new Map<string, TypeViews>();
  readonly #demanded = new Set<string>();
  #own: OwnViews | undefined;
  /** What its views were last composed from, beside its own. */
  #shared: ClassViews | undefined;
  /** Its views are those of the class with what its workload has of its own, and nothing else. */
  #plain = false;
  readonly #demand: Demand;
  #cancelTerm: (() => void) | undefined;
  #secretNames: ReadonlySet<string> = new Set();
  #secrets: View = emptyView(TYPE_URL.secret);
  #keys: WorkloadKeysLease | undefined;

  constructor(options: SessionOptions) {
    this.#options = options;
    this.#demand = new Demand(options.node.id);
  }

  get id(): string {
    return this.#options.id;
  }

  get connectionId(): string {
    return this.#options.id;
  }

  get node(): NodeInfo {
    return this.#options.node;
  }

  get proxy(): Proxy {
    return this.#options.proxy;
  }

  get peer(): Peer {
    return this.#options.peer;
  }

  get connectedAt(): number {
    return this.#options.connectedAt;
  }

  /** False until views were composed for the first time. */
  get ready(): boolean {
    return this.#own !== undefined;
  }

  /** Its class has other views than it was last brought up to. */
  get behind(): boolean {
    return this.#own !== undefined && this.classState?.views !== this.#shared;
  }

  /** What it is given depends on Secrets or ConfigMaps. */
  get readsSecrets(): boolean {
    return !this.#plain || this.#secretNames.size > 0;
  }

  /** Takes over the class's views and the workload's own. True when a view became another object. */
  compose(state: ClassState, workload: Workload, snapshot: Snapshot): boolean {
    const { views } = state;
    if (views === undefined) return false;
    const own = this.#ownViews(views, workload);
    const before = this.#own === own && this.#plain && views.plain ? this.#shared : undefined;
    let changed = this.#refreshSecrets(snapshot);
    this.workload = workload;
    this.#shared = views;
    if (before === views) return changed;
    if (before === undefined) changed = this.#composeAll(views, own, snapshot) || changed;
    else changed = this.#follow(views, before, own) || changed;
    for (const typeUrl of this.#demanded) changed = this.#composeDemanded(typeUrl, views) || changed;
    return changed;
  }

  /** Nothing is different but what the class shares: a thousand come here after each change. */
  #follow(views: ClassViews, before: ClassViews, own: OwnViews): boolean {
    let changed = false;
    for (const [typeUrl, table] of changedTables(views, before))
      changed = this.#put(composedView(typeUrl, table, own.tables.get(typeUrl))) || changed;
    return changed;
  }

  #composeAll(views: ClassViews, own: OwnViews, snapshot: Snapshot): boolean {
    this.#own = own;
    this.#plain = views.plain;
    this.#advance();
    let changed = false;
    for (const [, view] of this.#composed(views, own, snapshot)) changed = this.#put(view) || changed;
    return changed;
  }

  /** Those of before where nothing can have changed for this workload: a thousand are asked after each change. */
  #ownViews(views: ClassViews, workload: Workload): OwnViews {
    const own = this.#own;
    const same =
      this.workload === workload &&
      this.#shared?.ownBasis === views.ownBasis &&
      workload.proxyClass.settings.selfDiscovery === undefined;
    return same && own !== undefined ? own : ownViews(views, workload);
  }

  /** Comes to the present term of what is on demand, and back when the next begins. */
  #advance(): void {
    this.#cancelTerm?.();
    const wait = this.#demand.advance(this.classState?.proxyClass.onDemand, this.#options.clock.now());
    const { timers } = this.#options;
    this.#cancelTerm =
      wait === undefined ? undefined : timers.setTimeout(() => this.#turn(), Math.min(wait, LONGEST_WAIT));
  }

  #turn(): void {
    this.#advance();
    if (this.#refreshOnDemand()) this.wake();
  }

  #refreshOnDemand(): boolean {
    const views = this.classState?.views;
    if (views === undefined || this.#own === undefined) return false;
    let changed = false;
    for (const view of this.#onDemand(views, this.#own)) changed = this.#put(view) || changed;
    return changed;
  }

  #onDemand({ onDemand, split }: ClassViews, own: OwnViews): Generator<View> {
    return this.#demand.views(onDemand, own.onDemand, own.tables.get(TYPE_URL.cluster), split);
  }

  #put(view: View): boolean {
    const views = this.#viewsOf(view.typeUrl);
    if (views.current === view) return false;
    views.current = view;
    return true;
  }

  /** The views that it would have if it were brought up to these; it stays as it is. */
  *viewsUnder(views: ClassViews, workload: Workload, snapshot: Snapshot): Generator<readonly [string, View]> {
    yield* this.#composed(views, ownViews(views, workload), snapshot);
    for (const typeUrl of this.#demanded) {
      const table = views.late.get(typeUrl)?.();
      if (table !== undefined) yield [typeUrl, composedView(typeUrl, table, undefined)];
    }
    yield [TYPE_URL.secret, secretView(this.#secretsIn(snapshot))];
  }

  /** What is wrong with the workload's own part of the configuration. */
  findings(): readonly Finding[] {
    return this.#own?.findings() ?? [];
  }

  wake(changedAt?: number): void {
    this.#options.wake(changedAt);
  }

  view(typeUrl: string): View | undefined {
    if (typeUrl === TYPE_URL.secret) return this.#secrets;
    const known = this.#types.get(typeUrl)?.current;
    if (known !== undefined) return known;
    const views = this.classState?.views;
    if (views?.late.has(typeUrl) === true && !this.#demanded.has(typeUrl)) {
      this.#demanded.add(typeUrl);
      this.#composeDemanded(typeUrl, views);
    }
    return this.#types.get(typeUrl)?.current ?? NOTHING.get(typeUrl);
  }

  names(typeUrl: string, names: ReadonlySet<string>): void {
    this.record.watched(typeUrl);
    this.#options.plane.moved();
    if (ASKED_TYPES.has(typeUrl)) {
      this.#demand.ask(typeUrl, names);
      this.#refreshOnDemand();
    }
    const views = this.#viewsOf(typeUrl);
    views.wanted = names;
    if (this.record.types.get(typeUrl)?.sentNonce === '') views.taken = this.view(typeUrl) ?? views.taken;
    if (typeUrl !== TYPE_URL.secret) return;
    this.#secretNames = names;
    this.#followKeys();
    const { snapshot } = this.#options.plane;
    if (snapshot !== undefined) this.#refreshSecrets(snapshot);
  }

  followsNames(typeUrl: string): boolean {
    return typeUrl === TYPE_URL.secret || (ASKED_TYPES.has(typeUrl) && this.classState?.views?.onDemand !== undefined);
  }

  sent(typeUrl: string, event: SentEvent): void {
    this.record.sent(typeUrl, event, this.#options.clock.now());
    this.#options.plane.moved();
    const views = this.#viewsOf(typeUrl);
    views.sent = event.view ?? views.sent;
    // Whoever is sent something did not have it.
    if (views.taken === event.view) views.taken = undefined;
  }

  acked(typeUrl: string, nonce: string): void {
    this.record.acked(typeUrl, nonce, this.#options.clock.now());
    this.#options.plane.moved();
    const views = this.#viewsOf(typeUrl);
    if (this.record.types.get(typeUrl)?.sentNonce === nonce) views.taken = views.sent ?? views.taken;
  }

  nacked(typeUrl: string, event: NackEvent): void {
    this.record.nacked(typeUrl, event);
    this.#options.plane.moved();
    this.#options.plane.refused(this, typeUrl, event.message, event.suspects);
  }

  /** True for resources that the proxy asked for, by name or with all of the type. */
  wants(typeUrl: string, name: string): boolean {
    const names = this.#types.get(typeUrl)?.wanted;
    // Names are told of where there are any.
    if (names === undefined) return this.record.types.has(typeUrl);
    return names.has(name) || names.has('*');
  }

  /** The view from which the proxy has taken what it asked for; it may have what has changed since, or not. */
  takenView(typeUrl: string): View | undefined {
    return this.#types.get(typeUrl)?.taken;
  }

  close(): void {
    this.#options.plane.secretAccess.leave(this.#accessChanged);
    this.#keys?.release();
    this.#cancelTerm?.();
    this.#options.plane.leave(this);
  }

  #viewsOf(typeUrl: string): TypeViews {
    let views = this.#types.get(typeUrl);
    if (views === undefined) {
      views = { current: undefined, wanted: undefined, sent: undefined, taken: undefined };
      this.#types.set(typeUrl, views);
    }
    return views;
  }

  /** Its right to read Secrets has been decided, or decided otherwise. */
  readonly #accessChanged = (): void => {
    const { snapshot } = this.#options.plane;
    if (snapshot !== undefined && this.#refreshSecrets(snapshot)) this.wake();
  };

  /** A type that this proxy has asked for once. True when its view became another object. */
  #composeDemanded(typeUrl: string, views: ClassViews): boolean {
    const table = views.late.get(typeUrl)?.();
    return table !== undefined && this.#put(composedView(typeUrl, table, undefined));
  }

  /** A key of its own for each stream that asks: none is ever sent to two proxies. */
  #followKeys(): void {
    const { proxy, peer, plane } = this.#options;
    if (this.#keys !== undefined || plane.workloadKeys === undefined || !wantsWorkloadKeys(this.#secretNames)) return;
    const identity = provenIdentity(proxy, peer);
    if (identity === undefined) return;
    this.#keys = plane.workloadKeys(identity, () => {
      const { snapshot } = this.#options.plane;
      if (snapshot !== undefined && this.#refreshSecrets(snapshot)) this.wake();
    });
  }

  *#composed(views: ClassViews, own: OwnViews, snapshot: Snapshot): Generator<readonly [string, View]> {
    const { proxy, peer } = this.#options;
    const extensions = privateExtensions(snapshot, views.scope, proxy, peer);
    for (const [typeUrl, table] of views.tables) {
      const part = typeUrl === TYPE_URL.extension ? extensions : own.tables.get(typeUrl);
      yield [typeUrl, composedView(typeUrl, table, part)];
    }
    for (const view of this.#onDemand(views, own)) yield [view.typeUrl, view];
  }

  #secretsIn(snapshot: Snapshot): readonly Resource[] {
    const { proxy, peer, plane } = this.#options;
    const mayRead = (namespace: string, account: string): boolean =>
      plane.secretAccess.mayRead(namespace, account, this.#accessChanged);
    const keys = this.#keys?.current;
    return [
      ...(keys === undefined ? [] : workloadSecretResources(keys, this.#secretNames)),
      ...readableSecrets(snapshot, proxy, peer, this.#secretNames, mayRead),
    ];
  }

  #refreshSecrets(snapshot: Snapshot): boolean {
    const part = this.#secrets.parts[0];
    if (this.#secretNames.size === 0 && (part === undefined || part.size === 0)) return false;
    const secrets = this.#secretsIn(snapshot);
    const same =
      part?.size === secrets.length &&
      secrets.every((secret) => part.buckets.some((bucket) => bucket.get(shardKey(secret.name))?.[0] === secret));
    if (same) return false;
    this.#secrets = secretView(secrets);
    return true;
  }
}

type Tables = readonly (readonly [string, ResourceTable])[];

/** Held by neither: views that knew those before them would keep all that there ever were. */
const stepsBetween = new WeakMap<ClassViews, WeakMap<ClassViews, Tables>>();

/** Where nothing is peculiar to a proxy, types whose table is the same as before have the same view. */
function changedTables(views: ClassViews, before: ClassViews): Tables {
  const steps = within(stepsBetween, before);
  let changed = steps.get(views);
  if (changed === undefined) {
    changed = [...views.tables].filter(([typeUrl, table]) => before.tables.get(typeUrl) !== table);
    steps.set(views, changed);
  }
  return changed;
}

function secretView(secrets: readonly Resource[]): View {
  const table: ResourceTable = smallTable(secrets.map((secret) => [shardKey(secret.name), [secret]] as const));
  return { typeUrl: TYPE_URL.secret, parts: [table] };
}
