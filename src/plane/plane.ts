// The one stateful loop: change -> snapshot -> affected classes -> views -> wake streams.
// In: the store's states, mesh settings, sessions of proxies. Out: views for the streams, findings, records of what was
// pushed. Called by server.ts, which wires it, and by the xDS server through ViewPort.

import type { Finding } from '../config/object.ts';
import type { Workload } from '../ir/proxy.ts';
import type { Clock, Log, Meter, Timers } from '../lib/ports.ts';
import { inSlices } from '../lib/slices.ts';
import type { Steps } from '../lib/steps.ts';
import type { Resource } from '../resources/resource.ts';
import type { LinkedSnapshot } from '../snapshot/index.ts';
import type { NodeInfo, Peer, ProxySession, Refusal, ViewPort } from '../xds/port.ts';
import { ClassPool } from './class-pool.ts';
import type { ClassState } from './class-state.ts';
import { type Act, type Debounce, debounce } from './debounce.ts';
import { unnamedOrigins } from './explain.ts';
import { Kinship } from './kin.ts';
import { type Linkage, type LinkInputs, linkage } from './linkage.ts';
import { type PlaneMetrics, planeMetrics } from './metrics.ts';
import { NackLedger } from './nacks.ts';
import { type Preview, previewSteps, type ProposedChange } from './preview.ts';
import { PlaneSession } from './proxy-session.ts';
import { OPEN_ACCESS, type SecretAccess } from './secret-access.ts';
import { TablePool } from './table-pool.ts';
import { WorkQueue } from './work-queue.ts';
import type { LeaseWorkloadKeys } from './workload-secrets.ts';

export interface PlaneOptions {
  readonly log: Log;
  readonly meter: Meter;
  readonly clock: Clock;
  readonly timers: Timers;
  /** Runs the next slice of a long piece of work once waiting events were handled. */
  readonly yieldLoop: () => Promise<void>;
  /** See DebounceOptions. */
  readonly quiet: number;
  readonly max: number;
  readonly restPerPush?: number | undefined;
  /** The newest inputs whenever a snapshot is built; their tables never change afterwards. */
  readonly inputs: () => LinkInputs;
  /** Who may read Secrets; without it whoever is of their namespace. */
  readonly secretAccess?: SecretAccess | undefined;
  /** Makes certificates for proxies without an agent. */
  readonly workloadKeys?: LeaseWorkloadKeys | undefined;
}

/** Longest time, in ms, for which translation holds the event loop. */
const SLICE = 5;

/** In a mesh that never rests the last one counts. */
const PREVIEW_ATTEMPTS = 3;

const UNAVAILABLE = 14;
const INVALID_ARGUMENT = 3;

export class Plane implements ViewPort {
  readonly nacks = new NackLedger();
  readonly #options: PlaneOptions;
  readonly #metrics: PlaneMetrics;
  readonly #debounce: Debounce;
  readonly #linkage: Linkage<PlaneSession>;
  readonly #classes: ClassPool;
  readonly #sessions = new Set<PlaneSession>();
  readonly #settledListeners = new Set<(sequence: number) => void>();
  readonly #queue: WorkQueue<PlaneSession | ClassState>;
  /** Those for whom translation failed: they are looked at again after the next change. */
  readonly #failing = new Set<PlaneSession>();
  /** The session that `connect` is about to return: its stream will ask by itself. */
  #entering: PlaneSession | undefined;
  #snapshot: LinkedSnapshot | undefined;
  /** What it was built from. */
  #linked: LinkInputs | undefined;
  #served: LinkInputs | undefined;
  #connections = 0;
  #moves = 0;
  #previews: Promise<void> = Promise.resolve();
  #running: Promise<void> | undefined;
  #again = false;
  /** When the first change was seen of those that no snapshot has yet; and of those in the newest snapshot. */
  #seenAt: number | undefined;
  #changedAt: number | undefined;
  /** Secrets, or the CA certificates in ConfigMaps, are others in the newest snapshot. */
  #secretsMoved = false;
  /** Sessions that were told of a change. */
  #told = 0;
  /** Resolves when they have been sent what is new to them. */
  #pushed: () => Promise<void> = () => Promise.resolve();
  #stopped = false;

  constructor(options: PlaneOptions) {
    this.#options = options;
    this.#metrics = planeMetrics(options.meter);
    const { clock, yieldLoop, timers, log } = options;
    const { failures, links, scopes } = this.#metrics;
    this.#linkage = linkage(() => scopes.inc());
    this.#classes = new ClassPool(
      { log, failures, links, tables: new TablePool(), kinship: new Kinship(), scopeOf: this.#linkage.scopeOf },
      timers,
    );
    this.#queue = new WorkQueue({
      clock,
      yieldLoop,
      slice: SLICE,
      glance: (work) => work instanceof PlaneSession && this.#glance(work),
      bring: (work) => (work instanceof PlaneSession ? this.#bring(work) : this.#bringClass(work)),
      failed: (work, error) => {
        if (work instanceof PlaneSession) this.#failing.add(work);
        const id = work instanceof PlaneSession ? work.id : work.proxyClass.key;
        this.#failed(id, error, 'translation for a proxy failed');
      },
    });
    const { quiet, max, restPerPush } = options;
    this.#debounce = debounce({ quiet, max, restPerPush, clock, timers }, () => this.#act());
  }

  paced(idle: () => Promise<void>): void {
    this.#pushed = idle;
  }

  /** Something that snapshots are built from changed; `partial`: the rest of the change is known to follow. */
  signal(partial = false): void {
    if (this.#stopped) return;
    this.#seenAt ??= this.#options.clock.now();
    this.#debounce.signal(partial);
  }

  get snapshot(): LinkedSnapshot | undefined {
    return this.#snapshot;
  }

  get secretAccess(): SecretAccess {
    return this.#options.secretAccess ?? OPEN_ACCESS;
  }

  /** The tables that the views of all proxies were last made from. */
  get servedTables(): LinkInputs['tables'] | undefined {
    return this.#served?.tables;
  }

  get sessions(): ReadonlySet<PlaneSession> {
    return this.#sessions;
  }

  /** Entries of the tables by which equal proxies share; for tests that nothing stays. */
  get remembered(): number {
    return this.#linkage.remembered();
  }

  /** Classes kept for proxies that may come back. */
  get resting(): number {
    return this.#classes.resting;
  }

  get classes(): ReadonlyMap<string, ClassState> {
    return this.#classes.used;
  }

  /** Everything wrong that is known of: objects, links, and what proxies refused. */
  findings(): readonly Finding[] {
    const linked = [...this.#classes.used.values(), ...this.#sessions].flatMap((each) => each.findings());
    const all = [...(this.#snapshot?.findings ?? []), ...linked, ...this.nacks.findings()];
    // Classes that see the same objects find the same things wrong with them.
    return [...new Map(all.map((finding) => [JSON.stringify(finding), finding])).values()];
  }

  /** Builds a snapshot of the newest inputs and brings every class and session up to it. Runs one at a time. */
  settle(): Promise<void> {
    if (this.#running !== undefined) {
      this.#again = true;
      return this.#running;
    }
    this.#running = this.#settleAll().finally(() => {
      this.#running = undefined;
    });
    return this.#running;
  }

  /** Called with the snapshot's sequence number after each settling; returns what ends it. */
  onSettled(listener: (sequence: number) => void): () => void {
    this.#settledListeners.add(listener);
    return () => this.#settledListeners.delete(listener);
  }

  connect(
    node: NodeInfo,
    peer: Peer,
    wake: (changedAt?: number) => void,
    mode: 'sotw' | 'delta',
  ): ProxySession | Refusal {
    const snapshot = this.#snapshot;
    if (snapshot === undefined)
      return { kind: 'refused', code: UNAVAILABLE, message: 'configuration is still being read' };
    const proxy = this.#linkage.parse(node, mode === 'delta');
    if ('error' in proxy) return { kind: 'refused', code: INVALID_ARGUMENT, message: proxy.error };
    this.#connections++;
    this.#moves++;
    const id = `${node.id}-${this.#connections}`;
    const session = new PlaneSession({
      id,
      node,
      proxy,
      peer,
      wake,
      plane: this,
      connectedAt: this.#options.clock.now(),
      clock: this.#options.clock,
      timers: this.#options.timers,
    });
    this.#sessions.add(session);
    this.#entering = session;
    this.#queue.join(session);
    this.#entering = undefined;
    this.#metrics.connected(this.#sessions.size);
    return session;
  }

  get workloadKeys(): LeaseWorkloadKeys | undefined {
    return this.#options.workloadKeys;
  }

  moved(): void {
    this.#moves++;
  }

  /** Another number after a proxy has come or gone, or has another class or workload. */
  get population(): number {
    return this.#linkage.changes;
  }

  /** Another number after anything that may change what proxies hold, or are meant to hold. */
  get activity(): number {
    return this.#moves;
  }

  /** Called by the session at the end of its stream. */
  leave(session: PlaneSession): void {
    if (!this.#sessions.delete(session)) return;
    this.#moves++;
    this.#queue.remove(session);
    this.nacks.forget(session);
    this.#failing.delete(session);
    this.#classes.release(session.classState, session);
    this.#linkage.forget(session, session.node, session.proxy);
    this.#metrics.connected(this.#sessions.size);
  }

  /** Called by the session when the proxy refused something. */
  refused(session: PlaneSession, typeUrl: string, message: string, suspects: readonly Resource[]): void {
    const snapshot = this.#snapshot;
    this.#options.log.warn(
      { proxy: session.id, type: typeUrl, message, suspects: suspects.map((resource) => resource.name) },
      'proxy rejected configuration',
    );
    const unnamed = (resource: Resource) => (snapshot === undefined ? [] : unnamedOrigins(session, resource, snapshot));
    this.nacks.record(session, message, suspects, unnamed);
  }

  /**
   * What a change would do to the connected proxies, or to those that `wanted` picks. Nothing that is served is touched,
   * and the event loop is held for a slice at a time, but for linking. One runs at a time.
   */
  preview(change: ProposedChange, wanted: (session: PlaneSession) => boolean = () => true): Promise<Preview> {
    const turn = this.#previews.then(() => this.#preview(change, wanted));
    this.#previews = turn.then(
      () => undefined,
      () => undefined,
    );
    return turn;
  }

  async #preview(change: ProposedChange, wanted: (session: PlaneSession) => boolean): Promise<Preview> {
    const { clock, yieldLoop } = this.#options;
    for (let attempt = 1; ; attempt++) {
      await this.#queue.idle();
      const [snapshot, inputs] = [this.#snapshot, this.#linked];
      if (snapshot === undefined || inputs === undefined) throw new Error('configuration is still being read');
      const sessions = [...this.#sessions].filter(wanted);
      const world = { linkage: this.#linkage.fork(), snapshot, inputs, sessions, classes: this.classes };
      const preview = await inSlices(previewSteps(world, change), { clock, yieldLoop, slice: SLICE });
      // What is served has moved on meanwhile: the difference is of two worlds that never were.
      if (this.#snapshot === snapshot || attempt === PREVIEW_ATTEMPTS) return preview;
    }
  }

  stop(): void {
    this.#stopped = true;
    this.#debounce.stop();
    this.#queue.stop();
    this.#classes.stop();
  }

  async #act(): Promise<Act | undefined> {
    const before = this.#told;
    try {
      await this.settle();
    } catch (error) {
      this.#failed('snapshot', error, 'a change was not followed to its end');
    }
    return this.#told === before ? undefined : { done: this.#pushed() };
  }

  async #settleAll(): Promise<void> {
    do {
      this.#again = false;
      const started = this.#options.clock.now();
      this.#changedAt = this.#seenAt ?? started;
      this.#seenAt = undefined;
      this.#build();
      if (this.#snapshot !== undefined) await this.#advanceAll();
      this.#metrics.settled((this.#options.clock.now() - started) / 1000);
    } while (this.#again && !this.#stopped);
  }

  #build(): void {
    try {
      const inputs = this.#options.inputs();
      const before = this.#snapshot;
      const snapshot = this.#linkage.build(inputs, before);
      this.#secretsMoved = before?.secrets !== snapshot.secrets || before.configMaps !== snapshot.configMaps;
      this.#linked = inputs;
      this.#snapshot = snapshot;
      this.#metrics.snapshot(snapshot);
    } catch (error) {
      this.#failed('snapshot', error, 'linking failed, the snapshot of before stays');
    }
  }

  #failed(what: string, error: unknown, message: string): void {
    const text = error instanceof Error ? (error.stack ?? error.message) : String(error);
    this.#options.log.error({ of: what, error: text }, message);
    this.#metrics.failures.inc({ class: what === 'snapshot' ? what : 'session' });
  }

  async #advanceAll(): Promise<void> {
    this.#moves++;
    const concerned = this.#concerned();
    this.#metrics.relinks.inc(undefined, concerned.size);
    this.#queue.follow(concerned);
    // Of all others it is enough to know what their class sees.
    if (concerned.size < this.#sessions.size) this.#queue.follow(this.#classes.used.values());
    await this.#queue.idle();
    // In the order of their coming: no class waits until all of another are served.
    this.#queue.follow([...this.#sessions].filter((session) => session.behind));
    await this.#queue.idle();
    this.#served = this.#linked;
    const { sequence = 0 } = this.#snapshot ?? {};
    for (const listener of this.#settledListeners) listener(sequence);
  }

  /** Sessions that are to be looked at one by one. */
  #concerned(): ReadonlySet<PlaneSession> {
    const concerned = new Set([...this.#linkage.concerned, ...this.#failing]);
    this.#failing.clear();
    if (this.#secretsMoved) for (const session of this.#sessions) if (session.readsSecrets) concerned.add(session);
    return concerned;
  }

  /**
   * Brings a session up to date whose class is already; after most changes that is all there is to do for nearly everybody.
   * Gives false where more has to be looked at.
   */
  #glance(session: PlaneSession): boolean {
    const snapshot = this.#snapshot;
    const { classState } = session;
    if (snapshot === undefined || classState?.settled !== snapshot) return false;
    const link = this.#linkage.link(session, session.proxy, snapshot);
    if (link.workload !== session.workload || link.proxyClass !== classState.proxyClass) return false;
    this.#compose(session, classState, link.workload, snapshot);
    return true;
  }

  #compose(session: PlaneSession, state: ClassState, workload: Workload, snapshot: LinkedSnapshot): void {
    if (!session.compose(state, workload, snapshot) || session === this.#entering) return;
    this.#told++;
    session.wake(this.#changedAt);
  }

  *#bringClass(state: ClassState): Steps<void> {
    if (this.#snapshot !== undefined && state.members.size > 0) yield* state.advance(this.#snapshot);
  }

  /** Finds class and workload of a session anew, brings the class up to date, and composes the session's views. */
  *#bring(session: PlaneSession): Steps<void> {
    const snapshot = this.#snapshot;
    if (snapshot === undefined || !this.#sessions.has(session)) return;
    const { proxyClass, workload } = this.#linkage.link(session, session.proxy, snapshot);
    if (workload !== session.workload) this.#metrics.links.inc();
    const before = session.classState;
    if (before?.proxyClass !== proxyClass) {
      session.classState = this.#classes.retain(proxyClass, session);
      this.#classes.release(before, session);
    }
    const state = session.classState;
    if (state === undefined) return;
    yield* state.advance(snapshot);
    // It may have left meanwhile.
    if (!this.#sessions.has(session)) return;
    this.#compose(session, state, workload, snapshot);
  }
}
