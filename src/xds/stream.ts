// One ADS stream: the exchanges of all its types, and the decision which of them may send now.
// In: request bytes, wakes, "writable again". Out: messages to the outlet. Called by the server and by the scheduler.
// Nothing is queued: when a stream gets its turn it compares what the client holds with the views of that moment.

import type { View } from '../resources/view.ts';
import { type Conversation, conversationAbout } from './conversation.ts';
import { type DeltaRequest, deltaEvents } from './delta.ts';
import type { Message, Mode } from './encode.ts';
import type { ExchangeEvent } from './events.ts';
import { type Exchange, type Need, NO_NEED } from './exchange.ts';
import type { NodeInfo, Peer, ProxySession, Refusal } from './port.ts';
import { type Accounts, closeSession, failureOf, reportAnswer, reportSent } from './report.ts';
import { readDeltaRequest, readSotwRequest, type WithNode } from './requests.ts';
import type { Pumped } from './scheduler.ts';
import { type SotwRequest, sotwEvents } from './sotw.ts';
import { isParent, parentMark } from './sotw-version.ts';
import type { Stated } from './stated.ts';
import type { StreamContext } from './stream-context.ts';
import { type StreamProgress, type StreamStatus, streamProgress, typeStatuses } from './status.ts';
import { goesAhead, noteWait, rest, type SendHow, turnOf } from './turn.ts';
import { CLUSTER, ENDPOINT, HEALTH } from './types.ts';
import { WriteWatch } from './write-watch.ts';

/** Where a stream's messages go. */
export interface Outlet {
  /** False: the client is slow, nothing more until the stream is told that it is `writable`. */
  write(message: Message): boolean;
  /** Ends the stream with a gRPC status; `cut` doesn't wait for what is under way. */
  end(code: number, message: string, cut: boolean): void;
  /** Bytes that the connection has taken so far. */
  taken(): number;
}

const INVALID_ARGUMENT = 3;
const INTERNAL = 13;
const UNAVAILABLE = 14;
/** Unserved types remembered, to log each once. */
const MAX_UNKNOWN = 16;

export class XdsStream implements Pumped {
  readonly #mode: Mode;
  readonly #peer: Peer;
  readonly #outlet: Outlet;
  readonly #context: StreamContext;
  readonly #serial: string;
  readonly #connectedAt: number;
  readonly #writeWatch: WriteWatch;
  /** In the order of sending. */
  #types: Conversation[] = [];
  readonly #unknown = new Set<string>();
  #session: ProxySession | undefined;
  #node: NodeInfo | undefined;
  /** Only of Envoys is it known what makes them drop a name; see sotw-version.ts. */
  #marks = false;
  #wake = 1;
  #nonces = 0;
  #closed = false;
  #blockedSince: number | undefined;
  /** When the oldest change that isn't sent yet was seen. */
  #changedAt: number | undefined;
  /** Something may have to be sent, now or once something is answered. */
  #owing = true;
  #cancelOrder: (() => void) | undefined;

  /** `serial` distinguishes the nonces of this stream. */
  constructor(mode: Mode, peer: Peer, outlet: Outlet, context: StreamContext, serial: string) {
    this.#serial = serial;
    this.#mode = mode;
    this.#peer = peer;
    this.#outlet = outlet;
    this.#context = context;
    this.#connectedAt = context.clock.now();
    this.#writeWatch = new WriteWatch({
      timers: context.timers,
      limit: context.writeTimeout,
      taken: () => outlet.taken(),
      giveUp: () => {
        context.metrics.writeTimeouts.inc();
        this.close(UNAVAILABLE, `nothing was read for ${context.writeTimeout} ms`, true);
      },
    });
  }

  /** It was sent something, and nothing waits for its answer. */
  get expectsAcknowledgement(): boolean {
    return !this.#owing && this.#types.some(({ exchange }) => exchange.waiting);
  }

  /** A request has arrived; `read` is called once its bytes are no longer needed. */
  request(bytes: Buffer, read: () => void = () => {}): void {
    if (this.#closed) return read();
    try {
      const unread = this.#take(bytes);
      if (unread === undefined) read();
      else unread.whenDone(read);
    } catch (error) {
      this.#fail(error);
    }
  }

  /** Gives what has to wait for a view to be read. */
  #take(bytes: Buffer): Stated | undefined {
    const { pool } = this.#context;
    if (this.#mode === 'sotw') {
      const request = readSotwRequest(bytes, pool, (typeUrl) => this.#find(typeUrl)?.exchange.listed);
      const conversation = this.#conversationFor(request);
      if (conversation !== undefined) this.#apply(conversation, sotwEvents(conversation.exchange, request, pool));
      return undefined;
    }
    const request = readDeltaRequest(bytes, pool);
    const conversation = this.#conversationFor(request);
    if (conversation === undefined) return undefined;
    this.#apply(conversation, deltaEvents(conversation.exchange, request, pool));
    return conversation.exchange.awaitsView(request.stated) ? request.stated : undefined;
  }

  /** What a request belongs to, if anything; the first one also makes the session. */
  #conversationFor({ typeUrl, node, error }: (SotwRequest | DeltaRequest) & WithNode): Conversation | undefined {
    if (typeUrl === HEALTH) {
      this.#session?.health?.(error);
      return undefined;
    }
    if (this.#session === undefined) {
      if (!this.#connect(node)) return undefined;
    }
    return this.#find(typeUrl) ?? this.#begin(typeUrl);
  }

  #connect(node: NodeInfo | undefined): boolean {
    if (node === undefined || node.id === '') {
      this.close(INVALID_ARGUMENT, 'the first request must carry node.id');
      return false;
    }
    const { port } = this.#context;
    const session = port.connect(node, this.#peer, (changedAt) => this.wake(changedAt), this.#mode);
    if (session.kind === 'refused') {
      this.#refuse(session);
      return false;
    }
    this.#session = session;
    this.#node = node;
    this.#marks = this.#mode === 'sotw' && node.userAgentName === 'envoy';
    return true;
  }

  #refuse({ code, message }: Refusal): void {
    const { metrics } = this.#context;
    if (code === INTERNAL) metrics.internalErrors.inc();
    else metrics.refused.inc({ code: String(code) });
    this.close(code, message);
  }

  #begin(typeUrl: string): Conversation | undefined {
    if (this.#unknown.has(typeUrl)) return undefined;
    // While views are still being made nobody knows which types there are.
    if (this.#session?.view(typeUrl) === undefined && this.#session?.ready !== false) {
      this.#notServed(typeUrl);
      return undefined;
    }
    const conversation = conversationAbout(typeUrl, this.#mode, this.#context.pool);
    this.#types = [...this.#types, conversation].sort((a, b) => a.exchange.traits.rank - b.exchange.traits.rank);
    return conversation;
  }

  #notServed(typeUrl: string): void {
    this.#context.metrics.unknownTypes.inc();
    if (this.#unknown.size >= MAX_UNKNOWN) return;
    this.#unknown.add(typeUrl);
    const connection = this.#session?.connectionId;
    this.#context.log.warn({ connection, typeUrl }, 'a type was requested that is not served');
  }

  #apply(conversation: Conversation, events: readonly ExchangeEvent[]): void {
    const { exchange } = conversation;
    const before = exchange.wants.selection;
    for (const event of events) {
      const awaited = (event.kind === 'ack' || event.kind === 'nack') && exchange.awaits(event.nonce);
      if (awaited) conversation.flight?.();
      const suspects = exchange.apply(event);
      // Envoy comes back and asks for clusters first: those that changed meanwhile may be warming already.
      if (event.kind === 'initial' && exchange.typeUrl === ENDPOINT) {
        exchange.repeat(this.#find(CLUSTER)?.exchange.arriving ?? []);
      }
      if (awaited || event.kind === 'stale') reportAnswer(conversation, event, suspects, this.#accounts());
    }
    const { selection } = exchange.wants;
    if (selection.set !== before.set) this.#session?.names(exchange.typeUrl, selection.set.names);
    // What a client says that it holds is long: it is compared with the view at once, not kept until its turn.
    const first = events.some((event) => event.kind === 'initial');
    if (first && this.#session?.ready !== false) this.#refresh(exchange);
    // Nearly all requests acknowledge what was sent last: nothing follows from that when nothing waits for it.
    if (!this.#owing && events.every(({ kind }) => kind === 'ack')) return;
    this.#owing = true;
    this.#context.scheduler.add(this, this.#urgency(events));
  }

  /** What may follow when a client in sync has taken a change is a push: first all are to learn of the change itself. */
  #urgency(events: readonly ExchangeEvent[]): 'answer' | 'push' {
    return events.some(({ kind }) => kind !== 'ack') || this.#isNew() ? 'answer' : 'push';
  }

  /** Of some type nothing was sent yet. */
  #isNew(): boolean {
    return this.#types.some(({ exchange }) => exchange.lastNonce === '');
  }

  #accounts(): Accounts {
    const { metrics, log, clock } = this.#context;
    return { session: this.#session, metrics, log, now: clock.now() };
  }

  /** Some view may have changed, because of something that was seen then. */
  wake(changedAt?: number): void {
    if (this.#closed) return;
    this.#wake++;
    this.#owing = true;
    this.#changedAt ??= changedAt;
    this.#context.scheduler.add(this, 'push');
  }

  /** The client reads again. */
  writable(): void {
    if (this.#blockedSince === undefined || this.#closed) return;
    this.#blockedSince = undefined;
    this.#writeWatch.stop();
    if (this.#owing) this.#context.scheduler.add(this, 'push');
  }

  /** Sends what may be sent now. Called by the scheduler. */
  pump(): void {
    const refusal = this.#session?.refusal;
    const able = this.#session !== undefined && this.#session.ready !== false && this.#blockedSince === undefined;
    try {
      if (refusal !== undefined) this.#refuse(refusal);
      else if (able && !this.#closed) this.#sendAll();
    } catch (error) {
      this.#fail(error);
    }
    this.#context.unsent.done(this);
    this.#context.unanswered.done(this);
  }

  /** Its first sync, or its push, may go on. */
  proceed(): void {
    this.#context.scheduler.add(this, this.#isNew() ? 'answer' : 'push');
  }

  #sendAll(): void {
    this.#cancelOrder?.();
    this.#cancelOrder = undefined;
    this.#owing = true;
    this.#lookAtAll();
    let waits = false;
    let parentSent = false;
    for (const conversation of this.#types) {
      // What was sent of one type may make another one necessary.
      if (parentSent) conversation.need = this.#refresh(conversation.exchange);
      if (conversation.need === NO_NEED) {
        rest(conversation);
        continue;
      }
      const outcome = this.#blockedSince === undefined ? this.#sendOne(conversation) : 'waits';
      waits ||= outcome === 'waits';
      parentSent ||= outcome === 'sent' && isParent(conversation.exchange.typeUrl);
      if (this.#closed) return;
    }
    this.#owing = waits || this.#types.some(({ retryAt }) => retryAt !== undefined);
    if (!this.#owing) this.#changedAt = undefined;
    else this.#awaitOrder();
  }

  /** All types first learn of their change, so that the early ones know what the late ones still have to take. */
  #lookAtAll(): void {
    for (const conversation of this.#types) {
      const view = this.#session?.view(conversation.exchange.typeUrl);
      if (view === undefined) this.#drop(conversation.exchange.typeUrl);
      else conversation.need = this.#needOf(conversation.exchange, view);
    }
  }

  /** It was asked for before anybody knew that it isn't served. */
  #drop(typeUrl: string): void {
    this.#types = this.#types.filter(({ exchange }) => exchange.typeUrl !== typeUrl);
    this.#notServed(typeUrl);
  }

  #refresh(exchange: Exchange): Need {
    const view = this.#session?.view(exchange.typeUrl);
    return view === undefined ? NO_NEED : this.#needOf(exchange, view);
  }

  #needOf(exchange: Exchange, view: View): Need {
    return exchange.refresh(view, this.#wake, this.#parentMark(exchange));
  }

  /** `waits`: for what is on its way to others. */
  #sendOne(conversation: Conversation): 'sent' | 'waits' | 'rests' {
    const { clock, orderTimeout, unsent, unanswered } = this.#context;
    const { exchange, need } = conversation;
    const now = clock.now();
    const moment = { now, orderTimeout };
    const turn = turnOf(conversation, need, this.#types, moment);
    conversation.retryAt = undefined;
    // A type of which nothing was sent yet on this stream: the client makes do with what it has, or has nothing to lose.
    if (exchange.lastNonce === '' && !unsent.may(this)) return 'waits';
    const waitsForOthers = !need.answer && turn.full && !goesAhead(conversation, this.#types);
    if (waitsForOthers && !unanswered.may(this)) return 'waits';
    // What was newly asked for is answered at once; all the rest waits for its turn.
    if (turn.full || need.answer) {
      const changedAt = need.answer ? undefined : this.#changedAt;
      const { removals, late } = turn;
      this.#send(conversation, { onlyAsked: !turn.full, removals, late, changedAt, push: !need.answer });
    }
    noteWait(conversation, need, turn, moment);
    return turn.full || need.answer ? 'sent' : 'rests';
  }

  #send(conversation: Conversation, how: SendHow): void {
    const { exchange } = conversation;
    const nonce = `${this.#serial}.${(this.#nonces++).toString(36)}`;
    const mark = !this.#marks ? '' : exchange.whole ? nonce : this.#parentMark(exchange);
    const { onlyAsked, removals } = how;
    const response = exchange.respond({ nonce, wake: this.#wake, onlyAsked, removals, mark });
    const { version, chunks, removed } = response;
    const out = { typeUrl: exchange.typeUrl, version, nonce, chunks, removed };
    const message = this.#context.encoder.message(this.#mode, out);
    // A changed cluster warms up until it gets endpoints, even unchanged ones (envoyproxy/envoy issue 13009).
    if (exchange.typeUrl === CLUSTER) this.#find(ENDPOINT)?.exchange.repeat(response.fresh);
    if (how.push) conversation.flight = this.#context.unanswered.sent(message.byteLength, conversation.flight);
    if (!this.#outlet.write(message)) {
      this.#blockedSince = this.#context.clock.now();
      this.#writeWatch.start();
    }
    const { late, changedAt } = how;
    reportSent(conversation, { nonce, response, message, late, changedAt }, this.#accounts());
  }

  #parentMark(exchange: Exchange): string {
    return this.#marks ? parentMark(exchange.typeUrl, (typeUrl) => this.#find(typeUrl)?.exchange) : '';
  }

  /** Comes back when the first type has waited long enough for another, or for its own answer. */
  #awaitOrder(): void {
    let at = Number.POSITIVE_INFINITY;
    for (const { retryAt = at } of this.#types) at = Math.min(at, retryAt);
    if (at === Number.POSITIVE_INFINITY) return;
    const { clock, timers, scheduler } = this.#context;
    this.#cancelOrder = timers.setTimeout(() => scheduler.add(this, 'push'), Math.max(1, at - clock.now()));
  }

  /** An error ends this stream alone. */
  #fail(error: unknown): void {
    const { code, message } = failureOf(error, this.#session?.connectionId, this.#peer, this.#context);
    this.close(code, message);
  }

  /** Ends the stream with a status. */
  close(code: number, message: string, cut = false): void {
    if (this.#closed) return;
    this.closed();
    this.#outlet.end(code, message, cut);
  }

  /** The stream has ended, whoever ended it. */
  closed(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#writeWatch.stop();
    this.#cancelOrder?.();
    this.#context.scheduler.remove(this);
    for (const { flight } of this.#types) flight?.();
    this.#context.unsent.leave(this);
    this.#context.unanswered.leave(this);
    if (this.#session !== undefined) closeSession(this.#session, this.#context);
  }

  /** What is known of this stream; undefined until its first request. */
  status(): StreamStatus | undefined {
    if (this.#session === undefined || this.#node === undefined) return undefined;
    return {
      connectionId: this.#session.connectionId,
      mode: this.#mode,
      node: this.#node,
      peer: this.#peer,
      connectedAt: this.#connectedAt,
      blockedSince: this.#blockedSince,
      types: typeStatuses(this.#session, this.#types),
    };
  }

  /** The part of it that counts how far changes have come. */
  progress(): StreamProgress | undefined {
    return this.#session && streamProgress(this.#session, this.#types);
  }

  #find(typeUrl: string): Conversation | undefined {
    for (const conversation of this.#types) if (conversation.exchange.typeUrl === typeUrl) return conversation;
    return undefined;
  }
}
