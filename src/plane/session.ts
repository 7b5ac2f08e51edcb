// One connected proxy, as the plane keeps it: which class and workload it belongs to, what it has been sent and has taken.
// Views are composed of the class's shared tables and the workload's small ones, and are the same object for all proxies
// for which both are the same.

import type { Proxy } from '../ir/proxy.ts';
import { memo } from '../lib/memo.ts';
import { within } from '../lib/within.ts';
import type { ResourceTable, View } from '../resources/view.ts';
import type { NackEvent, Peer, SentEvent } from '../xds/port.ts';

/** What is known of one type on one connection: `syncz` and `proxy-status` show it. */
export interface TypeStatus {
  sentNonce: string;
  sentVersion: string;
  /** ms since the epoch. */
  sentAt: number;
  ackedNonce: string;
  ackedAt: number;
  lastError: string;
  pushes: number;
  bytes: number;
}

/** The state of a type on a connection, in istioctl's words. */
export function syncState(status: TypeStatus | undefined): 'SYNCED' | 'NOT SENT' | 'STALE' | 'ERROR' {
  if (status === undefined || status.sentNonce === '') return 'NOT SENT';
  if (status.lastError !== '') return 'ERROR';
  return status.ackedNonce === status.sentNonce ? 'SYNCED' : 'STALE';
}

export interface Connection {
  readonly id: string;
  readonly proxy: Proxy;
  readonly peer: Peer;
  readonly connectedAt: number;
  readonly types: ReadonlyMap<string, TypeStatus>;
}

/** Bookkeeping of what was sent and answered. */
export class SyncRecord {
  readonly types = new Map<string, TypeStatus>();

  /** The proxy asked for names of a type, of which there may be none to send. */
  watched(typeUrl: string): void {
    this.statusOf(typeUrl);
  }

  sent(typeUrl: string, event: SentEvent, now: number): void {
    const status = this.statusOf(typeUrl);
    status.sentNonce = event.nonce;
    status.sentVersion = event.version;
    status.sentAt = now;
    status.pushes++;
    status.bytes += event.bytes;
    status.lastError = '';
  }

  acked(typeUrl: string, nonce: string, now: number): void {
    const status = this.statusOf(typeUrl);
    status.ackedNonce = nonce;
    status.ackedAt = now;
  }

  nacked(typeUrl: string, event: NackEvent): void {
    this.statusOf(typeUrl).lastError = event.message;
  }

  private statusOf(typeUrl: string): TypeStatus {
    let status = this.types.get(typeUrl);
    if (status === undefined) {
      status = {
        sentNonce: '',
        sentVersion: '',
        sentAt: 0,
        ackedNonce: '',
        ackedAt: 0,
        lastError: '',
        pushes: 0,
        bytes: 0,
      };
      this.types.set(typeUrl, status);
    }
    return status;
  }
}

type ViewsOfTable = WeakMap<ResourceTable, WeakMap<ResourceTable, View>>;

/** By type: an empty table may stand for several types. */
const composed = new Map<string, ViewsOfTable>();
const whole = memo((table: ResourceTable, typeUrl: string): View => ({ typeUrl, parts: [table] }));

/**
 * The view of a shared table and an own one: one object for all who have both. Many workloads share one table, and it is
 * replaced often: a view goes with either of its parts.
 */
export function composedView(typeUrl: string, shared: ResourceTable, own: ResourceTable | undefined): View {
  if (own === undefined) return whole(shared, typeUrl);
  let tables = composed.get(typeUrl);
  if (tables === undefined) {
    tables = new WeakMap();
    composed.set(typeUrl, tables);
  }
  const views = within(tables, shared);
  let view = views.get(own);
  if (view === undefined) {
    view = { typeUrl, parts: [shared, own] };
    views.set(own, view);
  }
  return view;
}
