// The classes of connected proxies, and for a while those that nobody is of any more: when all proxies of a mesh come
// back at once, what they are to be sent is still there.
// In: proxies that come and go. Out: the state of their class. Called by the plane.

import type { ProxyClass } from '../ir/proxy.ts';
import type { Timers } from '../lib/ports.ts';
import type { PlaneSession } from './proxy-session.ts';
import { type ClassPorts, ClassState } from './class-state.ts';

/** How long an unused class is kept, ms: longer than it takes proxies to reconnect. */
const REST_MS = 30_000;

/** Unused classes kept at most, where no more were in use: each holds what was translated for it. */
const MAX_RESTING = 64;

export class ClassPool {
  readonly used = new Map<string, ClassState>();
  /** The one that was left last at the end. */
  readonly #resting = new Map<string, ClassState>();
  readonly #ports: ClassPorts;
  readonly #timers: Timers;
  #cancel: (() => void) | undefined;
  /** How many were in use at once since the last look: when all their proxies leave, all are kept. */
  #peak = 0;
  /** Left since the last look; they are let go at the look after the next. */
  #fresh = new Set<ClassState>();

  constructor(ports: ClassPorts, timers: Timers) {
    this.#ports = ports;
    this.#timers = timers;
  }

  /** Classes that nobody is of, kept all the same. */
  get resting(): number {
    return this.#resting.size;
  }

  retain(proxyClass: ProxyClass, member: PlaneSession): ClassState {
    const { key } = proxyClass;
    let state = this.used.get(key);
    if (state === undefined) {
      const rested = this.#resting.get(key);
      this.#resting.delete(key);
      state = rested?.proxyClass === proxyClass ? rested : new ClassState(proxyClass, this.#ports);
      this.used.set(key, state);
      this.#peak = Math.max(this.#peak, this.used.size);
    }
    state.members.add(member);
    return state;
  }

  release(state: ClassState | undefined, member: PlaneSession): void {
    if (state?.members.delete(member) !== true || state.members.size > 0) return;
    const { key } = state.proxyClass;
    if (this.used.get(key) === state) this.used.delete(key);
    this.#rest(key, state);
  }

  stop(): void {
    this.#cancel?.();
    this.#resting.clear();
    this.#fresh.clear();
  }

  #rest(key: string, state: ClassState): void {
    if (state.views === undefined) return;
    this.#resting.delete(key);
    this.#resting.set(key, state);
    this.#fresh.add(state);
    for (const oldest of this.#resting.keys()) {
      if (this.#resting.size <= Math.max(MAX_RESTING, this.#peak)) break;
      this.#resting.delete(oldest);
    }
    this.#cancel ??= this.#timers.setTimeout(() => this.#look(), REST_MS);
  }

  #look(): void {
    this.#cancel = undefined;
    for (const [key, state] of this.#resting) if (!this.#fresh.has(state)) this.#resting.delete(key);
    this.#fresh = new Set();
    this.#peak = this.used.size;
    if (this.#resting.size > 0) this.#cancel = this.#timers.setTimeout(() => this.#look(), REST_MS);
  }
}
