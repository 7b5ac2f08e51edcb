import { CodecError, encodeJson } from '../../src/codec/index.ts';

/** Path and expectation of the error that encoding gives. */
export function failure(type: string, message: unknown): string {
  try {
    encodeJson(type, message);
  } catch (error) {
    if (error instanceof CodecError) return `${error.path} | ${error.expected}`;
    throw error;
  }
  return 'none';
}
