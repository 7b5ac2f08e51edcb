// How a call ends, and what the ends of HTTP and of HTTP/2 streams mean as one. Called by the calls of the client.

import { constants } from 'node:http2';
import { GRPC_STATUS_NAMES } from '../lib/grpc-status.ts';

export const CODES = {
  OK: 0,
  CANCELLED: 1,
  UNKNOWN: 2,
  INVALID_ARGUMENT: 3,
  DEADLINE_EXCEEDED: 4,
  PERMISSION_DENIED: 7,
  RESOURCE_EXHAUSTED: 8,
  ABORTED: 10,
  UNIMPLEMENTED: 12,
  INTERNAL: 13,
  UNAVAILABLE: 14,
  UNAUTHENTICATED: 16,
} as const;

/** The status of a call. */
export interface CallEnd {
  readonly code: number;
  readonly details: string;
}

/** A call that failed, as an error: `16 UNAUTHENTICATED: the token has ended`. */
export class GrpcError extends Error {
  readonly code: number;

  constructor({ code, details }: CallEnd) {
    super(`${code} ${GRPC_STATUS_NAMES[code] ?? 'UNKNOWN'}: ${details}`);
    this.code = code;
  }
}

/** What gRPC makes of a status of HTTP when there is none of its own. */
const OF_HTTP: Readonly<Record<number, number>> = {
  400: CODES.INTERNAL,
  401: CODES.UNAUTHENTICATED,
  403: CODES.PERMISSION_DENIED,
  404: CODES.UNIMPLEMENTED,
  429: CODES.UNAVAILABLE,
  502: CODES.UNAVAILABLE,
  503: CODES.UNAVAILABLE,
  504: CODES.UNAVAILABLE,
};

export function endOfHttp(status: number): CallEnd {
  return { code: OF_HTTP[status] ?? CODES.UNKNOWN, details: `Received HTTP status code ${status}` };
}

const OF_RESET: Readonly<Record<number, number>> = {
  [constants.NGHTTP2_REFUSED_STREAM]: CODES.UNAVAILABLE,
  [constants.NGHTTP2_CANCEL]: CODES.CANCELLED,
  [constants.NGHTTP2_ENHANCE_YOUR_CALM]: CODES.RESOURCE_EXHAUSTED,
  [constants.NGHTTP2_INADEQUATE_SECURITY]: CODES.PERMISSION_DENIED,
};

export function endOfReset(code: number): CallEnd {
  return { code: OF_RESET[code] ?? CODES.INTERNAL, details: `Received RST_STREAM with code ${code}` };
}

/** What went wrong, also where several addresses were tried. */
export function reasonOf(error: unknown): string {
  if (error instanceof AggregateError && error.message === '') return error.errors.map(reasonOf).join('; ');
  return error instanceof Error ? error.message : String(error);
}
