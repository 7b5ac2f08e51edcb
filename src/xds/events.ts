// What a client's requests mean, whichever variant of the protocol they are written in.
// In: requests, read by delta.ts and sotw.ts. Out: to the exchange of a type. No logic.

import type { Stated } from './stated.ts';
import type { Wants } from './subscription.ts';

/** What a client says it has from an earlier stream. */
export type Known =
  | { readonly kind: 'nothing' }
  | { readonly kind: 'version'; readonly version: string }
  | { readonly kind: 'versions'; readonly stated: Stated };

export type ExchangeEvent =
  | { readonly kind: 'initial'; readonly wants: Wants; readonly known: Known }
  | { readonly kind: 'ack'; readonly nonce: string }
  | { readonly kind: 'nack'; readonly nonce: string; readonly message: string }
  | {
      readonly kind: 'subscribe';
      readonly wants: Wants;
      /** To be answered even if the client seems to hold them. */
      readonly names: ReadonlySet<string>;
      /** `*` was asked for again: everything is to be answered. */
      readonly everything: boolean;
    }
  | { readonly kind: 'unsubscribe'; readonly wants: Wants; readonly names: ReadonlySet<string> }
  | { readonly kind: 'stale'; readonly nonce: string };
