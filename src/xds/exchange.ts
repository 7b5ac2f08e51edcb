// The conversation with one client about one type: the protocol's state machine, the same for both protocol variants.
// In: events made from requests, and the current view. Out: responses (content, not bytes). No I/O, no clock.
// Called by the stream, which decides when a response may go. There is one path: plan what the client lacks; if that
// is nothing, wait for a request or a view that makes it something.

import type { Resource } from '../resources/resource.ts';
import type { View } from '../resources/view.ts';
import { contentVersion } from './content-version.ts';
import type { Mode } from './encode.ts';
import type { ExchangeEvent, Known } from './events.ts';
import type { NamePool, NameSet } from './names.ts';
import { NO_NAMES } from './names.ts';
import type { Progress } from './ordering.ts';
import { askedPlan, type Plan, type PlanInput, planFor, wholeWorld } from './plan.ts';
import { Rejected, suspicion } from './rejections.ts';
import { markedVersion, readVersion } from './sotw-version.ts';
import { countOf, narrowedSent, reported, type Sent, withDoubts, withoutSent } from './sent.ts';
import type { Stated } from './stated.ts';
import { type Chunk, lighterThan, withoutNames } from './step.ts';
import {
  commonSelection,
  covers,
  type Held,
  type HeldItem,
  heldItem,
  holding,
  NOTHING,
  NOTHING_HELD,
  narrowed,
  type Selection,
  UNASKED,
  type Wants,
  WILDCARD,
} from './subscription.ts';
import { type TypeTraits, traitsOf } from './types.ts';

export interface Response {
  readonly version: string;
  readonly chunks: readonly Chunk[];
  readonly removed: readonly string[];
  readonly resources: number;
  /** Those of the resources that the client didn't have. */
  readonly fresh: readonly Chunk[];
}

/** What the stream may do about this type now. */
export interface Need {
  /** Names or a type newly asked for wait for their answer. */
  readonly answer: boolean;
  readonly changes: boolean;
  readonly removals: boolean;
}

/** The one that says that there is nothing to do. */
export const NO_NEED: Need = { answer: false, changes: false, removals: false };

/** Unanswered responses remembered; older ones count as answered, so that a client that never answers costs little. */
const MAX_UNANSWERED = 32;

export class Exchange implements Progress {
  readonly typeUrl: string;
  readonly mode: Mode;
  readonly traits: TypeTraits;
  readonly #pool: NamePool;

  wants: Wants = UNASKED;
  /** The set that the last state-of-the-world request listed; undefined when not all of it is taken up. */
  listed: NameSet | undefined;
  /** The version that the client brought from an earlier stream, state of the world only. */
  reported = '';
  started = false;
  /** See sotw-version.ts: which response of this type the client took last, or will if it takes the last one. */
  mark = '';
  lastNonce = '';
  lastVersion = '';
  acked: { readonly nonce: string; readonly version: string } | undefined;
  error: { readonly nonce: string; readonly message: string } | undefined;
  changedAt = 0;
  dirtySince: number | undefined;

  #held: Held = NOTHING_HELD;
  #sent: readonly Sent[] = [];
  #view: View | undefined;
  #known: Known = { kind: 'nothing' };
  /** What answers were given for, accepted or not: a rejected answer isn't owed a second time. */
  #answered: Selection = NOTHING;
  /** The client holds something from an earlier stream, nobody knows what. */
  #blind = false;
  /** What was to end that was rejected: the next view is sent, whatever the client seems to lack. */
  #owed = false;
  #must = false;
  #repeatAll = false;
  #asked: Set<string> | undefined;
  #again: readonly Chunk[] = [];
  #rejected: Rejected | undefined;
  /** The view whose response was rejected: nothing is sent until there is another. */
  #quiet: View | undefined;
  #plan: Plan | undefined;
  /** Nothing was needed when it last looked, and nothing has happened since. */
  #resting = false;

  constructor(typeUrl: string, mode: Mode, pool: NamePool) {
    this.typeUrl = typeUrl;
    this.mode = mode;
    this.traits = traitsOf(typeUrl);
    this.#pool = pool;
  }

  get held(): Held {
    return this.#held;
  }

  get active(): boolean {
    const { selection } = this.wants;
    return selection.wildcard || selection.set !== NO_NAMES;
  }

  get unanswered(): readonly number[] {
    return this.#sent.map((sent) => sent.since);
  }

  get waiting(): boolean {
    return this.#sent.length > 0;
  }

  /** True when the client must be told the whole world each time. */
  get whole(): boolean {
    return this.mode === 'sotw' && this.traits.wholeWorld;
  }

  awaits(nonce: string): boolean {
    return this.#sent.some((sent) => sent.nonce === nonce);
  }

  /** Takes what a client said; a rejection yields the suspected resources. */
  apply(event: ExchangeEvent): readonly Resource[] {
    this.#plan = undefined;
    this.#resting = false;
    switch (event.kind) {
      case 'initial':
        this.#begin(event.wants, event.known);
        return [];
      case 'ack':
        this.#accept(event.nonce);
        return [];
      case 'nack':
        return this.#reject(event.nonce, event.message);
      case 'subscribe':
        this.#want(event.wants);
        this.#held = withDoubts(this.#held, this.#sent, event.wants.selection);
        if (event.everything) this.#repeatAll = this.#must = true;
        this.#ask(event.names);
        return [];
      case 'unsubscribe':
        this.#want(event.wants);
        this.#ask(event.names);
        return [];
      case 'stale':
        return [];
    }
  }

  /** True while what the client says that it holds has yet to be compared with a view. */
  awaitsView(stated: Stated): boolean {
    return this.#known.kind === 'versions' && this.#known.stated === stated;
  }

  #begin(wants: Wants, known: Known): void {
    this.started = true;
    this.wants = wants;
    this.#held = NOTHING_HELD;
    this.#sent = [];
    this.#answered = NOTHING;
    this.#known = known;
    this.#blind = known.kind === 'version' && known.version !== '';
    this.#must = wants.selection.wildcard || (this.whole && this.active);
    this.#repeatAll = this.#owed = false;
    this.#asked = undefined;
    this.#again = [];
    this.#quiet = undefined;
  }

  #want(wants: Wants): void {
    this.wants = wants;
    this.#held = narrowed(this.#held, wants.selection, this.#pool);
    this.#sent = narrowedSent(this.#sent, wants.selection, this.#pool);
    this.#answered = commonSelection(this.#answered, wants.selection, this.#pool);
  }

  /** These are to be answered although the client seems to hold them; what it was never sent is answered anyway. */
  #ask(names: ReadonlySet<string>): void {
    const { view, selection } = this.#held;
    const held = [...names].filter((name) => view !== undefined && name !== WILDCARD && covers(selection, name));
    if (held.length > 0) this.#asked = new Set([...(this.#asked ?? []), ...held]);
  }

  /** The response that is answered now; those before it count as answered too. */
  #answeredBy(nonce: string): Sent | undefined {
    const at = this.#sent.findIndex((sent) => sent.nonce === nonce);
    const sent = this.#sent[at];
    if (sent !== undefined) this.#sent = this.#sent.slice(at + 1);
    return sent;
  }

  #accept(nonce: string): void {
    const sent = this.#answeredBy(nonce);
    if (sent === undefined) return;
    this.acked = { nonce, version: sent.version };
    this.error = undefined;
    this.#blind = this.#owed = false;
  }

  #reject(nonce: string, message: string): readonly Resource[] {
    const sent = this.#answeredBy(nonce);
    if (sent === undefined) return [];
    this.error = { nonce, message };
    const { suspects, named } = suspicion(message, sent);
    // To leave everything out of the next whole world would delete what the client may still hold in an older form.
    if (named || !this.whole || !this.#blind) {
      this.#rejected ??= new Rejected();
      this.#rejected.add(suspects);
    }
    this.#owed = this.whole && this.#blind && !named;
    // Who refuses a whole world may have taken some of it: it comes back without a version, and not with nothing.
    const blind = this.#blind || (this.whole && this.acked === undefined);
    const state = { held: this.#held, wants: this.wants.selection, blind, later: this.#sent };
    ({ held: this.#held, later: this.#sent } = withoutSent(sent, suspects, state, this.#pool));
    // Clients apply what is good of clusters and listeners one by one. Of other types, one bad resource can keep
    // the rest of its response from being applied, so the rest is sent again without it; each time that happens
    // the rejected set grows, so it ends.
    this.#quiet = named && !this.traits.wholeWorld ? undefined : sent.to.view;
    return suspects;
  }

  /** What the client was sent and hasn't answered yet. */
  get arriving(): readonly Chunk[] {
    return this.#sent.flatMap((sent) => sent.fresh);
  }

  /** Sends the namesakes of these resources again, if the client holds them: its clusters wait for their endpoints. */
  repeat(chunks: readonly Chunk[]): void {
    if (chunks.length === 0) return;
    this.#again = [...this.#again, ...chunks];
    this.#plan = undefined;
    this.#resting = false;
  }

  /** Looks at the current view; says what is to be done. `parentMark`: see sotw-version.ts. */
  refresh(view: View, wake: number, parentMark = ''): Need {
    if (view === this.#view && this.#resting) return NO_NEED;
    if (view !== this.#view) {
      this.#view = view;
      this.changedAt = wake;
      this.#plan = undefined;
      this.#must ||= this.#owed;
    }
    if (!this.active) return NO_NEED;
    this.#resolveKnown(view, parentMark);
    if (this.#held.view === undefined) this.#again = [];
    this.#plan ??= planFor(this.#planInput(view));
    const plan = this.#plan;
    const fresh = plan.fresh && this.#answered !== this.wants.selection;
    const answer = this.#must || this.#asked !== undefined || fresh;
    const quiet = this.#quiet === view && !answer;
    const changes = !quiet && plan.chunks.length > 0;
    const removals = !quiet && plan.removed.length > 0 && (this.mode === 'delta' || this.whole);
    if (!changes) this.dirtySince = undefined;
    else this.dirtySince ??= Math.max(this.changedAt, this.#again.length > 0 ? wake : 0);
    const answers = answer && this.#hasAnswer(plan);
    this.#resting = !answers && !changes && !removals;
    if (!this.#resting) return { answer: answers, changes, removals };
    if (!quiet) this.#settle(view, plan);
    return NO_NEED;
  }

  /** What it would send now has less than so many bytes. */
  lighterThan(limit: number): boolean {
    return !this.whole && this.#plan !== undefined && lighterThan(limit, this.#plan.chunks);
  }

  /** State of the world has no way to say that a name doesn't exist, except by leaving it out of the whole world. */
  #hasAnswer(plan: Plan): boolean {
    if (this.#must || this.whole) return true;
    return plan.chunks.length > 0 || (this.mode === 'delta' && plan.missing.length > 0);
  }

  /** Nothing is to be sent: the client holds what the view says. */
  #settle(view: View, plan: Plan): void {
    if (this.#held.view === view && this.#held.selection === this.wants.selection && plan.leftover === undefined)
      return;
    this.#held = holding(view, this.wants.selection, plan.leftover);
    this.#answered = this.wants.selection;
    this.#asked = undefined;
    this.#again = [];
    this.#plan = undefined;
  }

  #planInput(view: View): PlanInput {
    return {
      held: this.#held,
      wants: this.wants.selection,
      view,
      asked: this.#asked,
      everything: this.#repeatAll,
      again: this.#again,
      rejected: this.#rejected,
    };
  }

  /** A client that reconnects tells what it has; it is believed, since versions are hashes of content. */
  #resolveKnown(view: View, parentMark: string): void {
    const known = this.#known;
    if (known.kind === 'nothing') return;
    this.#known = { kind: 'nothing' };
    const { selection } = this.wants;
    if (known.kind === 'version') {
      const held = holding(view, selection);
      const { content, mark } = readVersion(known.version);
      const named = !selection.wildcard || selection.set !== NO_NAMES;
      if (this.whole ? named : mark === '' || mark !== parentMark) return;
      if (content === '' || content !== contentVersion(held)) return;
      this.#held = held;
      if (this.whole) this.mark = mark;
    } else {
      this.#held = reported(known.stated, this.wants.selection, view, this.#pool);
      known.stated.done();
      if (this.#held === NOTHING_HELD) return;
    }
    this.#must = false;
    this.#plan = undefined;
  }

  /** Makes the response; the caller has seen that there is need of one. */
  respond(how: {
    readonly nonce: string;
    readonly wake: number;
    /** Everything else has to wait: answer only what was newly asked for. */
    readonly onlyAsked: boolean;
    /** Removals may be told. */
    readonly removals: boolean;
    /** What the version is to be marked with, see sotw-version.ts. */
    readonly mark?: string;
  }): Response {
    const view = this.#view;
    if (view === undefined) throw new Error('respond before refresh');
    const widens = this.wants.selection.wildcard && !this.#held.selection.wildcard;
    const partial = how.onlyAsked && !this.whole && !this.#must && !widens && this.#held.view !== undefined;
    const { plan, to } = partial ? this.#answerOnly(view) : this.#everything(view, how.removals);
    const version = markedVersion(contentVersion(to, this.#held), partial ? '' : how.mark);
    if (this.whole) this.mark = how.mark ?? '';
    const removed = this.#told(plan, !partial && how.removals);
    const chunks = this.whole ? wholeWorld(to) : plan.chunks;
    const since = Math.min(this.dirtySince ?? how.wake, how.wake);
    const { selection: kept } = this.wants;
    this.#hand({ nonce: how.nonce, version, from: this.#held, to, kept, chunks, fresh: plan.chunks, removed, since });
    if (partial) this.#again = withoutNames(this.#again, plan.chunks);
    else {
      this.#again = [];
      this.#quiet = undefined;
      this.dirtySince = undefined;
    }
    return { version, chunks, removed, resources: countOf(chunks), fresh: plan.chunks };
  }

  /** Names that a response says are gone, or don't exist. */
  #told({ missing, removed }: Plan, removals: boolean): readonly string[] {
    // The whole world tells removals by leaving them out; other responses of that variant have no word for them.
    const told = removals && (this.mode === 'delta' || this.whole) ? removed : [];
    return this.mode !== 'delta' || missing.length === 0 ? told : [...new Set([...told, ...missing])];
  }

  /** It is on its way. */
  #hand(sent: Sent): void {
    this.#sent = this.#sent.length === 0 ? [sent] : [...this.#sent.slice(-MAX_UNANSWERED + 1), sent];
    this.#held = sent.to;
    this.#answered = sent.kept;
    this.#asked = undefined;
    this.#must = this.#owed = this.#repeatAll = false;
    this.#plan = undefined;
    this.#resting = false;
    this.lastNonce = sent.nonce;
    this.lastVersion = sent.version;
  }

  #answerOnly(view: View): { plan: Plan; to: Held } {
    const { plan, held } = askedPlan(this.#planInput(view));
    return { plan, to: held };
  }

  #everything(view: View, removals: boolean): { plan: Plan; to: Held } {
    const plan = this.#plan ?? planFor(this.#planInput(view));
    const { selection } = this.wants;
    if (plan.leftover === undefined && (removals || plan.removed.length === 0))
      return { plan, to: holding(view, selection) };
    const odd = new Map<string, HeldItem>(plan.leftover);
    const told = new Set(removals ? plan.removed : this.mode === 'delta' ? plan.missing : []);
    for (const name of plan.removed) if (!told.has(name)) odd.set(name, heldItem(this.#held, name));
    return { plan, to: holding(view, selection, odd) };
  }
}
