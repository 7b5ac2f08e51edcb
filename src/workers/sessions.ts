// The sessions of the proxies that are connected to one worker, in the process that translates.
// In: what the worker's streams tell, wakes of the plane. Out: batches of views for the worker. Called by the pool.
//
// At most one batch is on its way. What changes meanwhile is told with the next, as it is by then: a worker that is behind
// costs a set of its sessions, and no queue. Views that were replaced, or whose session has ended, are forgotten once the
// worker has taken the batch in; those of sessions that ended rest for a while, since proxies come back.

import type { Log, Timers } from '../lib/ports.ts';
import type { ProxySession, Refusal, ViewPort } from '../xds/port.ts';
import type { StreamProgress } from '../xds/status.ts';
import { type View, viewGet } from '../resources/view.ts';
import { CLUSTER, ENDPOINT, LISTENER, ROUTE } from '../xds/types.ts';
import type { Exporter } from './exporter.ts';
import type { EventBatch, Id, ProgressReport, SessionUpdate, ViewBatch, ViewUpdate, WorkerEvent } from './messages.ts';
import { KnownSets } from './name-sets.ts';

export interface SessionsOptions {
  readonly port: ViewPort;
  readonly exporter: Exporter;
  readonly log: Log;
  readonly timers: Timers;
  /** Runs a function once the event loop has come round. */
  readonly defer: (run: () => void) => void;
  readonly send: (batch: ViewBatch) => void;
  /** The worker has not taken a batch in for a minute. */
  readonly stuck: () => void;
}

interface Remote {
  readonly session: ProxySession | undefined;
  readonly refusal: Refusal | undefined;
  /** Types that its stream has asked for, or will at once. */
  readonly asked: Set<string>;
  readonly told: Map<string, { readonly view: View | undefined; readonly named: boolean }>;
  connectionId: string;
  changedAt: number | undefined;
  /** The batch by which it was last told something. */
  batch: number;
}

/** Status of a stream for which something of ours failed. */
const FAILED: Refusal = { kind: 'refused', code: 13, message: 'internal error' };

/** What every Envoy asks for is told before it does, which spares it the way there and back for each. */
const COMMON = [CLUSTER, ENDPOINT, LISTENER, ROUTE];

/** A batch takes milliseconds, ms. */
const STUCK_MS = 60_000;

/** Longer than it takes proxies to reconnect, ms. */
const REST_MS = 30_000;

export class WorkerSessions {
  readonly #options: SessionsOptions;
  readonly #remotes = new Map<Id, Remote>();
  readonly #sets = new KnownSets();
  readonly #dirty = new Set<Id>();
  #batch = 0;
  #underWay = false;
  #cancelStuck = (): void => undefined;
  #scheduled = false;
  /** The last batch of events that asks for something, and the last that was answered. */
  #asked = 0;
  #answered = 0;
  #replaced: View[] = [];
  #ended = false;
  readonly #resting = new Set<() => void>();

  constructor(options: SessionsOptions) {
    this.#options = options;
  }

  get size(): number {
    return this.#remotes.size;
  }

  take({ batch, taken, asks, events }: EventBatch): void {
    for (const event of events) {
      try {
        this.#event(event);
      } catch (error) {
        this.#options.log.error({ event: event.kind, error }, 'what a worker told could not be taken up');
      }
    }
    if (asks) this.#asked = batch;
    if (this.#underWay && taken >= this.#batch) {
      this.#underWay = false;
      this.#cancelStuck();
      for (const view of this.#replaced.splice(0)) this.#options.exporter.release(view);
    }
    this.#schedule();
  }

  /** The worker is gone, and all of its connections. */
  end(): void {
    this.#ended = true;
    this.#cancelStuck();
    for (const cancel of this.#resting) cancel();
    for (const [id, { session }] of this.#remotes) {
      this.#remotes.delete(id);
      this.#close(session);
    }
  }

  /** What the streams say that they have taken, as far as it is of what they are to have now. */
  progress(report: ProgressReport): readonly StreamProgress[] {
    return report.streams.flatMap(({ session, types }) => {
      const remote = this.#remotes.get(session);
      if (remote === undefined) return [];
      const behind = this.#dirty.has(session) || remote.batch > report.taken;
      const late = types.map((type) =>
        type.progress === 'taken' ? { ...type, progress: 'under-way' as const } : type,
      );
      return [{ connectionId: remote.connectionId, types: behind ? late : types }];
    });
  }

  #event(event: WorkerEvent): void {
    if (event.kind === 'set' || event.kind === 'unset') return this.#sets.take(event);
    const id = event.session;
    if (event.kind === 'connect') return this.#connect(id, event);
    const remote = this.#remotes.get(id);
    if (remote === undefined) return;
    const { session } = remote;
    switch (event.kind) {
      case 'ask':
        remote.asked.add(event.typeUrl);
        this.#dirty.add(id);
        return;
      case 'names':
        session?.names(event.typeUrl, this.#sets.get(event.set));
        this.#dirty.add(id);
        return;
      case 'sent':
        session?.sent(event.typeUrl, { ...event.event, view: this.#options.exporter.view(event.view) });
        return;
      case 'acked':
        session?.acked(event.typeUrl, event.nonce);
        return;
      case 'nacked': {
        const { nonce, message } = event;
        const view = session?.view(event.typeUrl);
        const suspects = event.suspects.flatMap(({ name, version }) => {
          const found = view === undefined ? undefined : viewGet(view, name);
          return found?.version === version ? [found] : [];
        });
        session?.nacked(event.typeUrl, { nonce, message, suspects });
        return;
      }
      case 'health':
        session?.health?.(event.problem);
        return;
      case 'close':
        this.#remotes.delete(id);
        this.#dirty.delete(id);
        this.#close(session);
        this.#rest([...remote.told.values()].flatMap(({ view }) => view ?? []));
    }
  }

  #connect(id: Id, { node, peer, mode }: WorkerEvent & { readonly kind: 'connect' }): void {
    const wake = (changedAt?: number): void => {
      const remote = this.#remotes.get(id);
      if (remote === undefined) return;
      remote.changedAt ??= changedAt;
      this.#dirty.add(id);
      this.#schedule();
    };
    const answer = this.#options.port.connect(node, peer, wake, mode);
    const refused = answer.kind === 'refused';
    this.#remotes.set(id, {
      session: refused ? undefined : answer,
      refusal: refused ? answer : undefined,
      asked: new Set(COMMON),
      told: new Map(),
      connectionId: '',
      changedAt: undefined,
      batch: 0,
    });
    this.#dirty.add(id);
  }

  #close(session: ProxySession | undefined): void {
    try {
      session?.close();
    } catch (error) {
      this.#options.log.error({ connection: session?.connectionId, error }, 'a session could not be closed');
    }
  }

  #rest(views: readonly View[]): void {
    if (views.length === 0) return;
    const cancel = this.#options.timers.setTimeout(() => {
      this.#resting.delete(cancel);
      for (const view of views) this.#options.exporter.release(view);
    }, REST_MS);
    this.#resting.add(cancel);
  }

  #schedule(): void {
    if (this.#scheduled || this.#underWay || this.#ended) return;
    if (this.#dirty.size === 0 && this.#answered === this.#asked) return;
    this.#scheduled = true;
    this.#options.defer(() => {
      this.#scheduled = false;
      if (!this.#ended) this.#flush();
    });
  }

  #flush(): void {
    this.#batch++;
    const sessions: SessionUpdate[] = [];
    for (const id of this.#dirty) {
      const update = this.#update(id);
      if (update !== undefined) sessions.push(update);
    }
    this.#dirty.clear();
    this.#answered = this.#asked;
    this.#underWay = true;
    this.#cancelStuck = this.#options.timers.setTimeout(() => this.#options.stuck(), STUCK_MS);
    const definitions = this.#options.exporter.take();
    this.#options.send({ kind: 'views', batch: this.#batch, answered: this.#answered, definitions, sessions });
  }

  /** Undefined while the session has no views, and where nothing is to be told. */
  #update(id: Id): SessionUpdate | undefined {
    const remote = this.#remotes.get(id);
    if (remote === undefined) return undefined;
    try {
      return this.#changes(id, remote);
    } catch (error) {
      const connectionId = remote.session?.connectionId ?? '';
      this.#options.log.error({ connection: connectionId, error }, 'a stream failed');
      return { session: id, connectionId, changedAt: undefined, refusal: FAILED, views: [] };
    }
  }

  #changes(id: Id, remote: Remote): SessionUpdate | undefined {
    if (remote.session?.ready === false) return undefined;
    const { session, refusal, changedAt } = remote;
    const connectionId = session?.connectionId ?? '';
    const fresh = remote.connectionId !== connectionId || refusal !== undefined;
    const views = session === undefined ? [] : [...remote.asked].flatMap((type) => this.#viewOf(remote, session, type));
    remote.connectionId = connectionId;
    remote.changedAt = undefined;
    if (!fresh && views.length === 0) return undefined;
    remote.batch = this.#batch;
    return { session: id, connectionId, changedAt, refusal, views };
  }

  #viewOf({ told }: Remote, session: ProxySession, typeUrl: string): readonly ViewUpdate[] {
    const view = session.view(typeUrl);
    const named = session.followsNames?.(typeUrl) ?? false;
    const before = told.get(typeUrl);
    if (before !== undefined && before.view === view && before.named === named) return [];
    const { exporter } = this.#options;
    const id = view === undefined ? 0 : exporter.hold(view);
    // Released when the worker has taken in what replaces it: until then it may say that it has sent it.
    if (before?.view !== undefined) this.#replaced.push(before.view);
    told.set(typeUrl, { view, named });
    return [{ typeUrl, view: id, named }];
  }
}
