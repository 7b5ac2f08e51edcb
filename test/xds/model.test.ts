// Whatever a client does and whatever changes, in whatever order: once all is quiet the client holds what it should,
// and on the way nothing was sent that it had, and nothing that it had rejected.

import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { type Rejection, readDeltaResponse, readSotwResponse, type Update } from '../../src/xds/client-state.ts';
import type { Mode } from '../../src/xds/encode.ts';
import { traitsOf } from '../../src/xds/types.ts';
import {
  between,
  CLUSTER,
  contents,
  ENDPOINT,
  EXTENSION,
  Host,
  LISTENER,
  Link,
  MODES,
  resource,
  World,
} from './support.ts';

const NAMES = ['a', 'b', 'c', 'd'];
/** Always there and always subscribed to. */
const FIXED = 'fixed';

type Op =
  | { readonly op: 'set'; readonly name: string; readonly content: string }
  | { readonly op: 'remove'; readonly name: string }
  | { readonly op: 'subscribe' | 'unsubscribe'; readonly names: readonly string[] }
  | { readonly op: 'take' }
  | { readonly op: 'run' }
  | { readonly op: 'grumble'; readonly named: boolean }
  | { readonly op: 'reconnect' };

const someNames = fc.uniqueArray(fc.constantFrom(...NAMES, '*'), { minLength: 1, maxLength: 3 });

const ops: fc.Arbitrary<Op> = fc.oneof(
  {
    weight: 4,
    arbitrary: fc.record({
      op: fc.constant('set' as const),
      name: fc.constantFrom(...NAMES),
      content: fc.constantFrom('1', '2', '3', 'bad', 'bad2'),
    }),
  },
  { weight: 2, arbitrary: fc.record({ op: fc.constant('remove' as const), name: fc.constantFrom(...NAMES) }) },
  { weight: 2, arbitrary: fc.record({ op: fc.constant('subscribe' as const), names: someNames }) },
  { weight: 2, arbitrary: fc.record({ op: fc.constant('unsubscribe' as const), names: someNames }) },
  { weight: 5, arbitrary: fc.constant({ op: 'take' as const }) },
  { weight: 1, arbitrary: fc.constant({ op: 'run' as const }) },
  { weight: 1, arbitrary: fc.record({ op: fc.constant('grumble' as const), named: fc.boolean() }) },
  { weight: 1, arbitrary: fc.constant({ op: 'reconnect' as const }) },
);

/** A client with opinions, watched by a referee. */
class Bout {
  readonly world = new World();
  readonly host = new Host(this.world);
  readonly link: Link;
  readonly typeUrl: string;
  readonly mode: Mode;
  readonly whole: boolean;
  /** Names that may be sent although the client holds them: asked for again, or part of a rejected response. */
  #excused = new Set<string>();
  #excuseAll = true;
  #named = true;
  /** Name and bytes of what this stream rejected. */
  #rejected = new Set<string>();
  readonly #everything: boolean;
  #foul: unknown;

  constructor(mode: Mode, typeUrl: string, wildcard: boolean) {
    this.mode = mode;
    this.typeUrl = typeUrl;
    this.whole = mode === 'sotw' && traitsOf(typeUrl).wholeWorld;
    this.#everything = wildcard;
    this.world.set(typeUrl, { [FIXED]: '1', a: '1', b: '1' });
    this.link = new Link(this.host, mode);
    this.link.verdict = (update) => this.#judge(update);
    this.link.onWrite = (update) => {
      try {
        this.#referee(update);
      } catch (error) {
        this.#foul = error;
      }
    };
    this.link.subscribe(typeUrl, wildcard ? [] : [FIXED, 'a', 'c']);
  }

  play(op: Op): void {
    switch (op.op) {
      case 'set':
        this.world.set(this.typeUrl, { [op.name]: op.content }).wake();
        return;
      case 'remove':
        // State of the world has no word for it, so the server can't know that the client still has it.
        if (this.mode === 'sotw') this.#excused.add(op.name);
        this.world.set(this.typeUrl, { [op.name]: undefined }).wake();
        return;
      case 'subscribe':
        for (const name of op.names) this.#excused.add(name);
        if (op.names.includes('*')) this.#excuseAll = true;
        this.link.subscribe(this.typeUrl, op.names);
        return;
      case 'unsubscribe':
        for (const name of op.names) this.#excused.add(name);
        this.link.unsubscribe(this.typeUrl, op.names);
        return;
      case 'take':
        this.host.run();
        this.link.take();
        return;
      case 'run':
        this.host.run();
        return;
      case 'grumble':
        this.#named = op.named;
        return;
      case 'reconnect':
        this.#rejected.clear();
        this.#excuseAll = true;
        this.link.reconnect();
        return;
    }
  }

  /** What the server must take the client to hold: what it does hold, and what is on its way. */
  #expected(): Map<string, Buffer> {
    const { client, inbox } = this.link;
    const expected = new Map([...client.held(this.typeUrl)].map(([name, item]) => [name, item.bytes]));
    for (const bytes of inbox) {
      const update = this.mode === 'sotw' ? readSotwResponse(bytes) : readDeltaResponse(bytes);
      if (this.whole) expected.clear();
      for (const name of update.removed) expected.delete(name);
      for (const item of update.resources) expected.set(item.name, item.bytes);
    }
    return expected;
  }

  /** Nothing needless is written, and nothing that was rejected. */
  #referee(update: Update): void {
    const expected = this.#expected();
    let news = update.removed.length > 0;
    for (const item of update.resources) {
      const key = `${item.name} ${item.bytes.toString('hex')}`;
      expect(this.#rejected.has(key), `${item.name} was rejected before`).toBe(false);
      const excused = this.#excuseAll || this.#excused.has(item.name);
      const held = expected.get(item.name)?.equals(item.bytes) ?? false;
      if (excused || !held) news = true;
      if (!this.whole) expect(held && !excused, `${item.name} is held already`).toBe(false);
      this.#excused.delete(item.name);
    }
    if (this.whole && update.resources.length < expected.size) news = true;
    expect(news || this.#excuseAll || this.#excused.size > 0, 'the response has news').toBe(true);
    this.#excuseAll = false;
  }

  /** Rejects what is bad. */
  #judge(update: Update): Rejection | undefined {
    const bad = new Set(update.resources.filter((item) => item.bytes.includes('bad')).map((item) => item.name));
    if (bad.size === 0) return undefined;
    for (const name of update.removed) this.#excused.add(name);
    for (const item of update.resources) {
      this.#excused.add(item.name);
      // What an unspecific rejection is taken to mean depends on what the client had; only the sure part is watched.
      if (this.#named && bad.has(item.name)) this.#rejected.add(`${item.name} ${item.bytes.toString('hex')}`);
    }
    if (!this.#named) return { message: 'something is wrong' };
    const message = `wrong: ${[...bad].join(', ')}`;
    return traitsOf(this.typeUrl).wholeWorld ? { message, bad } : { message };
  }

  /** All is taken, and one more change has come: the client holds what it wants, save what it was suspected to reject. */
  finish(): void {
    this.#named = true;
    this.link.settle();
    this.world.set(this.typeUrl, { [FIXED]: '2' }).wake();
    this.#excused.add(FIXED);
    this.link.subscribe(this.typeUrl, this.#everything ? [] : [FIXED]);
    this.link.settle();
    if (this.#foul !== undefined) throw this.#foul;
    const wanted = this.link.client.names(this.typeUrl);
    const everything = this.link.status.types[0]?.wildcard === true;
    const suspects = new Set(
      [...this.world.sessions].flatMap((s) => s.nackEvents.flatMap((e) => e.suspects.map((r) => r.version))),
    );
    const held = this.link.held(this.typeUrl);
    for (const [name, content] of Object.entries(this.world.contents(this.typeUrl))) {
      if (!everything && !wanted.has(name)) continue;
      if (suspects.has(resource(this.typeUrl, name, content).version)) continue;
      expect([name, held[name]]).toEqual([name, content]);
    }
    // Only state of the world has no word for removals of these.
    if (this.mode === 'sotw' && !this.whole) return;
    const current = this.world.contents(this.typeUrl);
    for (const name of Object.keys(held)) expect([name, name in current]).toEqual([name, true]);
  }
}

// Behind a worker short ones: its server knows no resource that has gone from the view before its rejection arrives, so that the
// referee can't tell whether it was refused.
const plays = fc.array(ops, { maxLength: 40, size: between.scale < 1 ? 'small' : 'max' });

describe.each(MODES)('%s', (mode) => {
  for (const [label, typeUrl, wildcard] of [
    ['clusters', CLUSTER, true],
    ['listeners by name', LISTENER, false],
    ['endpoints', ENDPOINT, false],
    ['extensions', EXTENSION, false],
  ] as const) {
    it(`${label}: in the end the client holds what it should`, () => {
      fc.assert(
        fc.property(plays, (list) => {
          const bout = new Bout(mode, typeUrl, wildcard);
          for (const op of list) bout.play(op);
          bout.finish();
        }),
        { numRuns: 300 * between.scale },
      );
    });
  }
});

describe('contents', () => {
  it('reads what resource writes', () => {
    expect(contents([resource(CLUSTER, 'n', 'c')])).toEqual({ n: 'c' });
  });
});
