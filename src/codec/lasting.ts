// Messages that stand in many others, or several times in one: their bytes are kept once they were written.
// In: messages in JSON form. Out: the same objects, marked. Called by translators for constants and for what they repeat.

const KEPT = Symbol('bytes');

export interface Kept {
  bytes: Uint8Array | undefined;
}

/** Marks a message: from its second writing on it is copied. It must never change, which is so for all that is translated. */
export function lasting<T extends object>(message: T): T {
  return Object.defineProperty(message, KEPT, { value: { bytes: undefined } satisfies Kept });
}

/** Where the bytes of a marked message are kept. */
export function keptOf(message: object): Kept | undefined {
  return (message as { readonly [KEPT]?: Kept })[KEPT];
}
