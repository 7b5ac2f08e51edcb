// Memory for encoded messages. Small ones lie side by side in blocks: memory of its own costs a small message more than
// encoding it did. In: part of a buffer. Out: a copy. Called by writer.ts and template.ts. And encoded
// parts put together.

/** Larger messages have memory of their own. */
const MAX_SHARED = 2048;

/** Small enough that a small message which lives long keeps little alive that nobody needs. */
const BLOCK = 16_384;

let block = new Uint8Array(BLOCK);
let used = 0;

/** A copy of part of a buffer. */
export function copyOf(buffer: Uint8Array, from: number, to: number): Uint8Array {
  const size = to - from;
  if (size > MAX_SHARED) return buffer.slice(from, to);
  if (used + size > BLOCK) {
    block = new Uint8Array(BLOCK);
    used = 0;
  }
  const copy = block.subarray(used, used + size);
  copy.set(size === buffer.length ? buffer : buffer.subarray(from, to));
  used += size;
  return copy;
}

/** Parts of one message, one behind the other: on the wire they are one message again. */
export function joined(parts: readonly Uint8Array[]): Uint8Array {
  const [only] = parts;
  if (parts.length === 1 && only !== undefined) return only;
  const bytes = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
  let at = 0;
  for (const part of parts) {
    bytes.set(part, at);
    at += part.length;
  }
  return bytes;
}
