// A message of which nearly all is encoded already: thousands of parts under one field, copied one behind the other.
// In: the fields before them and behind them, encoded, and the parts. Out: bytes as the writer would give them. Called for
// what is put together again whenever one of its parts changes.

/**
 * The first and the last of `parts` hold the fields with lower and with higher numbers than `number`, which is below 16; those
 * between are messages of that field.
 */
export function ofParts(number: number, parts: readonly Uint8Array[]): Uint8Array {
  const head = parts[0] ?? NOTHING;
  const tail = parts.length < 2 ? NOTHING : (parts[parts.length - 1] as Uint8Array);
  let size = head.length + tail.length;
  for (let index = 1; index < parts.length - 1; index++) {
    const { length } = parts[index] as Uint8Array;
    size += 1 + varintSize(length) + length;
  }
  const bytes = new Uint8Array(size);
  bytes.set(head);
  let at = head.length;
  for (let index = 1; index < parts.length - 1; index++) {
    const part = parts[index] as Uint8Array;
    bytes[at++] = (number << 3) | LENGTH_DELIMITED;
    let length = part.length;
    for (; length > 0x7f; length >>>= 7) bytes[at++] = (length & 0x7f) | 0x80;
    bytes[at++] = length;
    bytes.set(part, at);
    at += part.length;
  }
  bytes.set(tail, at);
  return bytes;
}

const NOTHING = new Uint8Array(0);
const LENGTH_DELIMITED = 2;

function varintSize(value: number): number {
  let size = 1;
  for (let rest = value; rest > 0x7f; rest >>>= 7) size++;
  return size;
}

/** Messages of a field with a number below 16, one behind the other: what can stand within another message as it is. */
export function asField(number: number, messages: readonly Uint8Array[]): Uint8Array {
  return ofParts(number, [NOTHING, ...messages, NOTHING]);
}

/** One message of a field with a number below 16, in pieces: tag and length come in front of them. */
export function fieldOf(number: number, pieces: readonly Uint8Array[]): readonly Uint8Array[] {
  let size = 0;
  for (const { length } of pieces) size += length;
  const front = [(number << 3) | LENGTH_DELIMITED];
  for (; size > 0x7f; size >>>= 7) front.push((size & 0x7f) | 0x80);
  return [Uint8Array.from([...front, size]), ...pieces];
}
