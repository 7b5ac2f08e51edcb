// What the traffic showed: counts of everything, and rates over the last seconds.

import type { Page, Part } from './apps.ts';

export interface Row {
  readonly name: string;
  /** Per second, over the window. */
  readonly rate: number;
  readonly total: number;
  readonly failed: number;
  /** Share of the window, 0 to 1, by version. */
  readonly versions: ReadonlyMap<string, number>;
  readonly callers: readonly string[];
  readonly lastError: string;
}

export interface Summary {
  readonly healthy: boolean;
  readonly pages: number;
  readonly failedPages: number;
  readonly services: readonly {
    readonly name: string;
    readonly total: number;
    readonly failed: number;
    readonly callers: readonly string[];
  }[];
  readonly reviews: Readonly<Record<string, number>>;
}

interface Sample {
  readonly at: number;
  readonly version: string;
}

interface Account {
  total: number;
  failed: number;
  samples: Sample[];
  readonly versions: Map<string, number>;
  readonly callers: Set<string>;
  lastError: string;
}

const WINDOW_MS = 5000;

/** Services of a page in the order of the table. */
const SERVICES = ['details', 'reviews', 'ratings', 'ledger', 'quotes', 'weather'] as const;

/** Those whose answers say who called, and so prove mTLS. */
const PROVING: readonly string[] = ['details', 'reviews', 'quotes'];

export class Tally {
  readonly #accounts = new Map<string, Account>();

  page(page: Page | undefined, status: number): void {
    const ok = page !== undefined && status === 200;
    this.#count('productpage', { ok, detail: ok ? '' : String(status) });
    if (page === undefined) return;
    for (const service of SERVICES) if (page[service].detail !== 'not asked') this.#count(service, page[service]);
  }

  failed(message: string): void {
    this.#count('productpage', { ok: false, detail: message });
  }

  rows(): readonly Row[] {
    const now = Date.now();
    return [...this.#accounts].map(([name, account]) => {
      account.samples = account.samples.filter((sample) => now - sample.at < WINDOW_MS);
      const versions = new Map<string, number>();
      for (const { version } of account.samples)
        versions.set(version, (versions.get(version) ?? 0) + 1 / account.samples.length);
      const { total, failed, lastError } = account;
      return {
        name,
        rate: (account.samples.length * 1000) / WINDOW_MS,
        total,
        failed,
        versions,
        callers: [...account.callers].sort(),
        lastError,
      };
    });
  }

  summary(): Summary {
    const rows = this.rows();
    const page = rows.find((row) => row.name === 'productpage');
    const proven = PROVING.every((name) =>
      (rows.find((row) => row.name === name)?.callers ?? []).some((caller) => caller.startsWith('spiffe://')),
    );
    const quiet = rows.every((row) => row.failed <= row.total * 0.01);
    return {
      healthy: (page?.total ?? 0) > 20 && rows.length === SERVICES.length + 1 && proven && quiet,
      pages: page?.total ?? 0,
      failedPages: page?.failed ?? 0,
      services: rows.map(({ name, total, failed, callers }) => ({ name, total, failed, callers })),
      reviews: Object.fromEntries(this.#accounts.get('reviews')?.versions ?? []),
    };
  }

  #count(name: string, part: Part): void {
    let account = this.#accounts.get(name);
    if (account === undefined) {
      account = { total: 0, failed: 0, samples: [], versions: new Map(), callers: new Set(), lastError: '' };
      this.#accounts.set(name, account);
    }
    account.total++;
    if (!part.ok) {
      account.failed++;
      account.lastError = part.detail ?? '';
      return;
    }
    const version = part.version ?? '';
    account.samples.push({ at: Date.now(), version });
    account.versions.set(version, (account.versions.get(version) ?? 0) + 1);
    if (part.caller !== undefined && part.caller !== '') account.callers.add(part.caller);
  }
}
