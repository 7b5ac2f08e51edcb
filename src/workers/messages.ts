// What crosses between the process that translates and a worker that holds connections. Types only.
// Objects that many proxies share (views, their tables and buckets, resources, sets of names) have numbers: each crosses once
// for each worker, and is let go of when the side that numbers it says so.

import type { NodeInfo, Peer, Refusal, SentEvent } from '../xds/port.ts';
import type { StreamProgress } from '../xds/status.ts';
import type { MetricsBatch } from './metrics.ts';

/** By number. 0 is an empty bucket, and no view. */
export type Id = number;

/** What a worker has to know before it is told of sessions. */
export interface Definitions {
  readonly resources: readonly ResourceDefinition[];
  /** Groups of resources by their key. */
  readonly buckets: readonly (readonly [Id, ReadonlyMap<string, readonly Id[]>])[];
  /** With the size, and the numbers of the buckets. */
  readonly tables: readonly (readonly [Id, number, Uint32Array])[];
  readonly views: readonly (readonly [Id, string, readonly Id[]])[];
  /** What nothing refers to any more; by the same four. */
  readonly gone: Readonly<Record<ObjectKind, readonly Id[]>>;
}

export type ObjectKind = 'resources' | 'buckets' | 'tables' | 'views';

export interface ResourceDefinition {
  readonly id: Id;
  readonly typeUrl: string;
  readonly name: string;
  readonly version: string;
  readonly bytes: Uint8Array;
}

/** One session as it is now, where it differs from what was told before. */
export interface SessionUpdate {
  readonly session: Id;
  readonly connectionId: string;
  readonly changedAt: number | undefined;
  readonly refusal: Refusal | undefined;
  readonly views: readonly ViewUpdate[];
}

export interface ViewUpdate {
  readonly typeUrl: string;
  /** 0: the type is not served. */
  readonly view: Id;
  /** It follows the names that the proxy asks for. */
  readonly named: boolean;
}

export type SessionEvent =
  | { readonly kind: 'connect'; readonly node: NodeInfo; readonly peer: Peer; readonly mode: 'sotw' | 'delta' }
  /** A type that it has not been told of. */
  | { readonly kind: 'ask'; readonly typeUrl: string }
  | { readonly kind: 'names'; readonly typeUrl: string; readonly set: Id }
  | {
      readonly kind: 'sent';
      readonly typeUrl: string;
      readonly event: Omit<SentEvent, 'view'>;
      readonly view: Id;
    }
  | { readonly kind: 'acked'; readonly typeUrl: string; readonly nonce: string }
  | {
      readonly kind: 'nacked';
      readonly typeUrl: string;
      readonly nonce: string;
      readonly message: string;
      readonly suspects: readonly Suspect[];
    }
  | { readonly kind: 'health'; readonly problem: string | undefined }
  | { readonly kind: 'close' };

/** A resource that was rejected, as it is found again in what the proxy is to have: if it isn't there, it is history. */
export interface Suspect {
  readonly name: string;
  readonly version: string;
}

export type NamesEvent =
  | {
      readonly kind: 'set';
      readonly set: Id;
      /** It is that one with names added and dropped; 0: the names alone. */
      readonly base: Id;
      readonly added: readonly string[];
      readonly dropped: readonly string[];
    }
  | { readonly kind: 'unset'; readonly set: Id };

export type WorkerEvent = NamesEvent | (SessionEvent & { readonly session: Id });

/** What happened to the streams of a worker, in order. */
export interface EventBatch {
  readonly kind: 'events';
  readonly batch: number;
  /** The last batch of views that it has taken in: what was replaced before it is no longer named. */
  readonly taken: number;
  /** Some session waits for an answer. */
  readonly asks: boolean;
  readonly events: readonly WorkerEvent[];
}

/** At most one of them is on its way: what changes meanwhile is in the next, as it is by then. */
export interface ViewBatch {
  readonly kind: 'views';
  readonly batch: number;
  /** All that was asked in batches of events up to this one is answered. */
  readonly answered: number;
  readonly definitions: Definitions;
  readonly sessions: readonly SessionUpdate[];
}

/** What its streams have taken, and by which batch of views. */
export interface ProgressReport {
  readonly taken: number;
  /** By session number. */
  readonly streams: readonly { readonly session: Id; readonly types: StreamProgress['types'] }[];
}

/** A question of either side, and the answer of the other. */
export type Call =
  | { readonly kind: 'question'; readonly call: number; readonly name: string; readonly ask: unknown }
  | { readonly kind: 'answer'; readonly call: number; readonly answer: unknown; readonly failed?: Failure | undefined };

/** What was thrown, as far as it may be told. */
export interface Failure {
  readonly message: string;
  readonly code: string | undefined;
}

export type FromWorker =
  | EventBatch
  | Call
  | { readonly kind: 'ready' }
  /** One of its connections has ended. */
  | { readonly kind: 'parted' }
  | { readonly kind: 'metrics'; readonly batch: MetricsBatch };

/** `Settings` are what the worker is made with, `Pair` what its TLS shows. */
export type ToWorker<Settings, Pair> =
  | ViewBatch
  | Call
  | { readonly kind: 'start'; readonly settings: Settings }
  | { readonly kind: 'serving'; readonly pair: Pair }
  | { readonly kind: 'level'; readonly scope: string; readonly level: string }
  | { readonly kind: 'stop'; readonly grace: number };
