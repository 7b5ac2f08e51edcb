/** Everything that can go wrong in the certificate authority, by code: callers decide on the code, people read the message. */
export type CaErrorCode =
  | 'CSR_MALFORMED'
  | 'CSR_TOO_LARGE'
  | 'CSR_SIGNATURE_ALGORITHM'
  | 'CSR_SIGNATURE_INVALID'
  | 'KEY_TYPE_UNSUPPORTED'
  | 'KEY_TOO_WEAK'
  | 'SAN_NOT_ALLOWED'
  | 'IDENTITY_INVALID'
  | 'TTL_TOO_LONG'
  | 'NOT_READY'
  | 'SIGNER_EXPIRED'
  | 'SIGNING_FAILED'
  | 'BUNDLE_INCOMPLETE'
  | 'BUNDLE_INVALID'
  | 'ROOT_SWAP_REFUSED'
  | 'STATE_DAMAGED';

/** A failure with a code; steps throw it, and the folder's rims (service, reload) turn it into a value. */
export class CaError extends Error {
  readonly code: CaErrorCode;

  constructor(code: CaErrorCode, message: string, cause?: unknown) {
    super(message, cause === undefined ? undefined : { cause });
    this.name = 'CaError';
    this.code = code;
  }
}

export type CaResult<T> = { readonly ok: true; readonly value: T } | { readonly ok: false; readonly error: CaError };

/** Runs steps and gives their CaError as a value; any other throw is a bug and passes through. */
export async function attempt<T>(steps: () => T | Promise<T>): Promise<CaResult<T>> {
  try {
    return { ok: true, value: await steps() };
  } catch (error) {
    if (error instanceof CaError) return { ok: false, error };
    throw error;
  }
}

/** The text of a thrown value, for messages and logs. */
export function reasonOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
