// One class of proxies while somebody of it is connected: its scope, its views, and how they are brought up to date.
// A throw in translation is our bug and stays in its class: the views of before go on being served.

import type { Finding } from '../config/object.ts';
import type { ProxyClass } from '../ir/proxy.ts';
import type { Counter, Log } from '../lib/ports.ts';
import type { Steps } from '../lib/steps.ts';
import { type LinkedScope, type LinkedSnapshot, sameScopes } from '../snapshot/index.ts';
import { classFindings } from '../translate/index.ts';
import { type ClassViews, classViews } from './class-views.ts';
import type { Kinship } from './kin.ts';
import type { PlaneSession } from './proxy-session.ts';
import type { TablePool } from './table-pool.ts';

export interface ClassPorts {
  readonly log: Log;
  readonly failures: Counter;
  readonly links: Counter;
  readonly tables: TablePool;
  readonly kinship: Kinship;
  readonly scopeOf: (snapshot: LinkedSnapshot, proxyClass: ProxyClass) => LinkedScope;
}

export class ClassState {
  readonly proxyClass: ProxyClass;
  /** Sessions of this class; the state is dropped with the last one. */
  readonly members = new Set<PlaneSession>();
  #views: ClassViews | undefined;
  #scope: LinkedScope | undefined;
  #settled: LinkedSnapshot | undefined;
  readonly #ports: ClassPorts;

  constructor(proxyClass: ProxyClass, ports: ClassPorts) {
    this.proxyClass = proxyClass;
    this.#ports = ports;
  }

  get views(): ClassViews | undefined {
    return this.#views;
  }

  /** The snapshot to which its views were brought, or are being brought by `advance`. */
  get settled(): LinkedSnapshot | undefined {
    return this.#settled;
  }

  /** What is wrong with this class's part of the configuration. */
  findings(): readonly Finding[] {
    if (this.#views === undefined) return [];
    return [...(this.#scope?.findings ?? []), ...classFindings(this.#views.scope, this.#views.resources)];
  }

  /** Brings the views up to the snapshot, in steps. Not to be started again before it has ended. */
  *advance(snapshot: LinkedSnapshot): Steps<void> {
    const settled = this.#settled;
    this.#settled = snapshot;
    if (settled !== undefined && (settled === snapshot || sameScopes(settled, snapshot))) return;
    const before = this.#views;
    try {
      const scope = this.#ports.scopeOf(snapshot, this.proxyClass);
      this.#scope = scope;
      if (scope === before?.scope) return;
      this.#ports.links.inc();
      yield;
      const { tables, kinship } = this.#ports;
      this.#views = yield* classViews(scope, before, before === undefined ? kinship.closest(scope) : undefined, tables);
      kinship.remember(this.#views);
    } catch (error) {
      this.#ports.failures.inc({ class: this.proxyClass.type });
      this.#ports.log.error(
        { class: this.proxyClass.key, error: describe(error) },
        'translation failed, views of before stay',
      );
    }
  }
}

function describe(error: unknown): string {
  return error instanceof Error ? (error.stack ?? error.message) : String(error);
}
