// What a watch sends, cut into values: lines of JSON, or messages each behind its length.
// In: chunks as they arrive. Out: the values that are complete with each. Called by kube-api.ts; one splitter for each stream.

import { StringDecoder } from 'node:string_decoder';
import type { Decode } from './kube-api.ts';

export type Splitter = (chunk: Buffer) => readonly unknown[];

/** Lines that are no JSON are left out. */
export function lineSplitter(): Splitter {
  const decoder = new StringDecoder('utf8');
  let rest = '';
  return (chunk) => {
    const lines = (rest + decoder.write(chunk)).split('\n');
    rest = lines.pop() ?? '';
    return lines.filter((line) => line.trim() !== '').map(parseLine);
  };
}

function parseLine(line: string): unknown {
  try {
    return JSON.parse(line) as unknown;
  } catch {
    return undefined;
  }
}

/** Four bytes, the most significant one first. */
const LENGTH = 4;
/** No object is nearly as large: what claims to be is no message. */
const LONGEST = 64 * 1024 * 1024;

const NOTHING: Buffer = Buffer.alloc(0);

/** Throws what `decode` throws, and where there can't be a message. */
export function frameSplitter(decode: Decode): Splitter {
  let rest = NOTHING;
  return (chunk) => {
    const bytes = rest.length === 0 ? chunk : Buffer.concat([rest, chunk]);
    const values: unknown[] = [];
    let at = 0;
    while (bytes.length - at >= LENGTH) {
      const length = bytes.readUInt32BE(at);
      if (length > LONGEST) throw new Error(`a message of ${length} bytes in a watch`);
      const end = at + LENGTH + length;
      if (bytes.length < end) break;
      values.push(decode(bytes.subarray(at + LENGTH, end)));
      at = end;
    }
    rest = at === bytes.length ? NOTHING : bytes.subarray(at);
    return values;
  };
}
