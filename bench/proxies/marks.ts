// By what a change is known: a text in the resources of one type. When each proxy was sent it, and which text.

import type { ClientResource } from '../../src/xds/client-state.ts';

export interface Tracked {
  readonly typeUrl: string;
  /** Source of a regular expression over bytes read as Latin-1. */
  readonly pattern: string;
}

export class Marks {
  readonly typeUrl: string;
  readonly #pattern: RegExp;
  /** By content: all proxies are sent the same. */
  readonly #found = new Map<string, readonly string[]>();
  /** By text and proxy: the first moment. A text may be in several resources. */
  readonly #moments = new Map<string, Map<object, number>>();
  #count = 0;
  readonly #waiting = new Set<() => void>();

  constructor({ typeUrl, pattern }: Tracked) {
    this.typeUrl = typeUrl;
    this.#pattern = new RegExp(pattern, 'g');
  }

  /** `version` tells contents apart. */
  take(proxy: object, { bytes }: ClientResource, version: string, now: number): void {
    let texts = this.#found.get(version);
    if (texts === undefined) {
      texts = [...new Set(bytes.toString('latin1').match(this.#pattern) ?? [])];
      this.#found.set(version, texts);
    }
    for (const text of texts) {
      const moments = this.#moments.get(text) ?? new Map<object, number>();
      this.#moments.set(text, moments);
      if (moments.has(proxy)) continue;
      moments.set(proxy, now);
      this.#count++;
    }
    if (texts.length > 0) for (const check of this.#waiting) check();
  }

  /** Moments by text. */
  get all(): Readonly<Record<string, readonly number[]>> {
    return Object.fromEntries([...this.#moments].map(([text, moments]) => [text, [...moments.values()]]));
  }

  /** Resolves when so many were sent something with a mark, or when the time is over. */
  until(count: number, timeout: number): Promise<void> {
    return new Promise((resolve) => {
      const done = (): void => {
        clearTimeout(timer);
        this.#waiting.delete(check);
        resolve();
      };
      const check = (): void => {
        if (this.#count >= count) done();
      };
      const timer = setTimeout(done, timeout);
      this.#waiting.add(check);
      check();
    });
  }
}
