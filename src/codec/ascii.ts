/** Whether the bytes from `start` to `end` are all of ASCII; `view` is of the same bytes. */
export function isAscii(bytes: Uint8Array, view: DataView, start: number, end: number): boolean {
  let bits = 0;
  let at = start;
  for (; at + 4 <= end; at += 4) bits |= view.getUint32(at);
  for (; at < end; at++) bits |= bytes[at] as number;
  return (bits & 0x80808080) === 0;
}
