// What the xDS server needs from the rest of the control plane, and all that it knows of it.
// Implemented by the plane; fakes in tests implement it with hand-made views.

import type { Resource } from '../resources/resource.ts';
import type { View } from '../resources/view.ts';

/** envoy.config.core.v3.Node in canonical JSON form, as the first request of a stream carries it. */
export interface NodeInfo {
  readonly id: string;
  readonly cluster?: string | undefined;
  readonly locality?: { readonly region?: string; readonly zone?: string; readonly subZone?: string } | undefined;
  readonly metadata?: Readonly<Record<string, unknown>> | undefined;
  readonly userAgentName?: string | undefined;
  readonly userAgentVersion?: string | undefined;
}

/** Who is at the other end, as the transport and the authenticators know it. */
export interface Peer {
  readonly address: string;
  /** True on the plaintext port: no identity can be proven there. */
  readonly plaintext: boolean;
  /** Proven SPIFFE ids; empty when plaintext. */
  readonly identities: readonly string[];
}

export interface Refusal {
  readonly kind: 'refused';
  /** gRPC status code, numeric. */
  readonly code: number;
  readonly message: string;
}

/** One connected proxy, from its first request to the end of its stream. */
export interface ProxySession {
  readonly kind: 'session';
  /** NODEID-COUNTER, unique in this process. */
  readonly connectionId: string;
  /** False while views are still being made: nothing is sent before the wake that follows. True if left out. */
  readonly ready?: boolean | undefined;
  /** It turned out that the proxy may not connect: its stream ends with this. */
  readonly refusal?: Refusal | undefined;
  /**
   * The resources of that type that the proxy is meant to have now. Undefined: a type that this control plane doesn't
   * serve. The same object as long as nothing changed for this proxy.
   */
  view(typeUrl: string): View | undefined;
  /**
   * Types whose names are found on demand (secrets, debug types): told which names the stream subscribes to, so that
   * the view can hold them. For all other types a no-op.
   */
  names(typeUrl: string, names: ReadonlySet<string>): void;
  /** True for types of which the view follows the names that were told. Left out: of none. */
  followsNames?(typeUrl: string): boolean;
  /** Called by the stream on what the proxy says and on what was sent; feeds status, metrics, provenance. */
  sent(typeUrl: string, event: SentEvent): void;
  acked(typeUrl: string, nonce: string): void;
  nacked(typeUrl: string, event: NackEvent): void;
  /** The agent's probe of the workload: undefined when well, else what is wrong. Left out where nobody listens. */
  health?(problem: string | undefined): void;
  close(): void;
}

export interface SentEvent {
  readonly nonce: string;
  readonly version: string;
  readonly resources: number;
  readonly removed: number;
  readonly bytes: number;
  /** What it was made from. */
  readonly view: View | undefined;
}

export interface NackEvent {
  readonly nonce: string;
  readonly message: string;
  /** The resources of the rejected response that are suspected: those that the message names, else all of it. */
  readonly suspects: readonly Resource[];
}

export interface ViewPort {
  /**
   * `wake` is called, never synchronously from `connect`, whenever some view of the session may have changed; with the
   * time at which the change behind it was seen, where there is one.
   */
  connect(
    node: NodeInfo,
    peer: Peer,
    wake: (changedAt?: number) => void,
    mode: 'sotw' | 'delta',
  ): ProxySession | Refusal;
  /** Told once by the server: `idle` resolves when all streams that were woken have had their turn. */
  paced?(idle: () => Promise<void>): void;
}
