// Memory for encoded messages. Small ones lie side by side in blocks, which are given away from their ends to their
// beginnings: memory of its own costs a small message more than encoding it did. Called by writer.ts and template.ts.

/** Larger messages have memory of their own. */
export const MAX_SHARED = 2048;

/** Small enough that a small message which lives long keeps little alive that nobody needs. */
const BLOCK = 16_384;

let block = new Uint8Array(BLOCK);
let free = BLOCK;

/** A block with room for so many bytes, MAX_SHARED at most, before `freeEnd()`. */
export function blockWith(size: number): Uint8Array {
  if (size > free) {
    block = new Uint8Array(BLOCK);
    free = BLOCK;
  }
  return block;
}

/** Where the room that nobody has ends in the block. */
export function freeEnd(): number {
  return free;
}

/** Takes what was written to the end of the room. */
export function takeFrom(start: number): Uint8Array {
  const taken = block.subarray(start, free);
  free = start;
  return taken;
}

/** A copy of part of a buffer. */
export function copyOf(buffer: Uint8Array, from: number, to: number): Uint8Array {
  const size = to - from;
  if (size > MAX_SHARED) return buffer.slice(from, to);
  const target = blockWith(size);
  const start = free - size;
  target.set(buffer.subarray(from, to), start);
  return takeFrom(start);
}
