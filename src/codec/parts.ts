// Parts of a message that are encoded already, as they stand in it: thousands of one field, copied one behind the other.
// In: messages, the number of their field. Out: bytes as the writer would give them. Called for what is put together again
// whenever one of its parts changes.

/** Messages of a field with a number below 16, one behind the other: what can stand within another message as it is. */
export function asField(number: number, messages: readonly Uint8Array[]): Uint8Array {
  let size = 0;
  for (const { length } of messages) size += 1 + varintSize(length) + length;
  const bytes = new Uint8Array(size);
  let at = 0;
  for (const message of messages) {
    bytes[at++] = (number << 3) | LENGTH_DELIMITED;
    let { length } = message;
    for (; length > 0x7f; length >>>= 7) bytes[at++] = (length & 0x7f) | 0x80;
    bytes[at++] = length;
    bytes.set(message, at);
    at += message.length;
  }
  return bytes;
}

const LENGTH_DELIMITED = 2;

function varintSize(value: number): number {
  let size = 1;
  for (let rest = value; rest > 0x7f; rest >>>= 7) size++;
  return size;
}

/** One message of a field with a number below 16, in pieces: tag and length come in front of them. */
export function fieldOf(number: number, pieces: readonly Uint8Array[]): readonly Uint8Array[] {
  let size = 0;
  for (const { length } of pieces) size += length;
  const front = [(number << 3) | LENGTH_DELIMITED];
  for (; size > 0x7f; size >>>= 7) front.push((size & 0x7f) | 0x80);
  return [Uint8Array.from([...front, size]), ...pieces];
}
