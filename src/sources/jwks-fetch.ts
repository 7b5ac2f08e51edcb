// One key set, fetched: over HTTP(S), bounded in time and size.
// In: where a rule's keys come from. Out: the document. Rejects with what went wrong, in words without the document.

import type { JwksSource } from '../config/jwks-source.ts';

export type RemoteSource = Exclude<JwksSource, { kind: 'inline' }>;

/** Key sets are a few KiB; what is larger is something else. */
const MAX_BYTES = 1024 * 1024;

/** `timeout` in ms, for each of the requests that it takes. */
export async function fetchKeys(source: RemoteSource, timeout: number, stop: AbortSignal): Promise<string> {
  const uri = source.kind === 'jwks' ? source.uri : keySetOf(await fetchText(source.uri, timeout, stop), source.uri);
  const text = await fetchText(uri, timeout, stop);
  const { keys } = parsed(text, uri) as { readonly keys?: unknown };
  if (!Array.isArray(keys)) throw new Error(`${uri} holds no "keys"`);
  return text;
}

/** OpenID Connect Discovery 1.0, section 3. */
function keySetOf(text: string, uri: string): string {
  const { jwks_uri: keySet } = parsed(text, uri) as { readonly jwks_uri?: unknown };
  if (typeof keySet !== 'string' || !/^https?:\/\//i.test(keySet)) throw new Error(`${uri} names no jwks_uri`);
  return keySet;
}

function parsed(text: string, uri: string): object {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    throw new Error(`${uri} is no JSON`);
  }
  if (typeof value !== 'object' || value === null) throw new Error(`${uri} is no JSON object`);
  return value;
}

async function fetchText(uri: string, timeout: number, stop: AbortSignal): Promise<string> {
  const response = await fetch(uri, {
    headers: { accept: 'application/json' },
    signal: AbortSignal.any([stop, AbortSignal.timeout(timeout)]),
  }).catch((error: unknown) => {
    throw new Error(`${uri}: ${reasonOf(error)}`, { cause: error });
  });
  if (!response.ok) {
    await response.body?.cancel();
    throw new Error(`${uri} answers ${response.status}`);
  }
  return boundedText(response, uri);
}

async function boundedText(response: Response, uri: string): Promise<string> {
  const parts: Uint8Array[] = [];
  let size = 0;
  const stream: AsyncIterable<Uint8Array> = response.body ?? new ReadableStream<Uint8Array>();
  try {
    for await (const part of stream) {
      size += part.length;
      if (size > MAX_BYTES) throw new Error(`more than ${MAX_BYTES} bytes`);
      parts.push(part);
    }
  } catch (error) {
    throw new Error(`${uri}: ${reasonOf(error)}`, { cause: error });
  }
  return Buffer.concat(parts).toString('utf8');
}

/** `fetch failed` says nothing; what is below does. */
function reasonOf(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  return error.cause instanceof Error && error.cause.message !== '' ? error.cause.message : error.message;
}
