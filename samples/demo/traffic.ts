// Users: a steady stream of page views through the ingress gateway.

import { setTimeout as delay } from 'node:timers/promises';
import { get } from './calls.ts';
import type { Page } from './apps.ts';
import type { Tally } from './tally.ts';

const USERS = 4;
const PAUSE_MS = 80;

export class Traffic {
  #stopped = false;
  readonly #users: readonly Promise<void>[];

  constructor(tally: Tally) {
    this.#users = Array.from({ length: USERS }, () => this.#browse(tally));
  }

  async stop(): Promise<void> {
    this.#stopped = true;
    await Promise.all(this.#users);
  }

  async #browse(tally: Tally): Promise<void> {
    while (!this.#stopped) {
      try {
        const { status, body } = await get('127.0.0.1', 8000, 'bookinfo.example', '/productpage');
        tally.page(status === 200 ? (JSON.parse(body) as Page) : undefined, status);
      } catch (error) {
        tally.failed(error instanceof Error ? error.message : String(error));
      }
      await delay(PAUSE_MS);
    }
  }
}
