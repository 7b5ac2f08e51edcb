// Clusters that encoded configuration names: what a proxy must have although nobody asks for it on demand, such as the
// ones that filters call by themselves. In: bytes of messages, user-written text within them included. Out: candidates;
// who calls keeps those that exist.

const PREFIX = Uint8Array.from('outbound|', (letter) => letter.charCodeAt(0));

/** Adds every name of an outbound cluster that stands in the bytes, as a field or within a text. */
export function addClusterNames(bytes: Uint8Array, names: Set<string>): void {
  const last = bytes.length - PREFIX.length;
  for (let at = bytes.indexOf(PREFIX[0] ?? 0); at >= 0 && at <= last; at = bytes.indexOf(PREFIX[0] ?? 0, at + 1)) {
    if (!PREFIX.every((byte, i) => bytes[at + i] === byte)) continue;
    for (const length of lengthsBefore(bytes, at)) {
      if (at + length <= bytes.length) names.add(textAt(bytes, at, at + length));
    }
    let end = at;
    while (end < bytes.length && NAME_BYTES.has(bytes[end] ?? 0)) end++;
    names.add(textAt(bytes, at, end));
  }
}

/** What stands before a field's content is its length: one byte up to 127, else two. */
function lengthsBefore(bytes: Uint8Array, at: number): readonly number[] {
  const [high = 0, low = 0] = [bytes[at - 1], bytes[at - 2]];
  if (at === 0 || high > 127) return [];
  return at > 1 && low > 127 ? [high, (low & 127) | (high << 7)] : [high];
}

const NAME_BYTES: ReadonlySet<number> = new Set(
  Array.from('abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789*-._|', (letter) => letter.charCodeAt(0)),
);

function textAt(bytes: Uint8Array, from: number, to: number): string {
  return String.fromCharCode(...bytes.subarray(from, to));
}
