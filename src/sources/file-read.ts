// One file to its documents. In: path, stamp and previous content. Out: new content, or why it can't be had.
// Called by files.ts. Reads whole files only when their size is within the limit.

import { open } from 'node:fs/promises';
import { setImmediate as nextTurn } from 'node:timers/promises';
import type { Finding } from '../config/object.ts';
import {
  type Chunk,
  type FileDocument,
  hashOf,
  keepLastGood,
  movedTo,
  readDocument,
  splitDocuments,
} from './documents.ts';
import type { FileContent } from './file-claims.ts';

export type ReadText =
  | { readonly kind: 'text'; readonly text: string; readonly stamp: string }
  /** Gone before or while it was read. */
  | { readonly kind: 'missing' }
  /** Written to while it was read. */
  | { readonly kind: 'torn' }
  | { readonly kind: 'refused'; readonly finding: Finding };

export async function readText(path: string, file: string, maxBytes: number): Promise<ReadText> {
  try {
    const handle = await open(path, 'r');
    try {
      const before = await handle.stat({ bigint: true });
      if (before.size > BigInt(maxBytes)) return { kind: 'refused', finding: tooLarge(file, before.size, maxBytes) };
      const bytes = await handle.readFile();
      const after = await handle.stat({ bigint: true });
      if (before.size !== after.size || before.mtimeNs !== after.mtimeNs) return { kind: 'torn' };
      const stamp = `${after.dev}:${after.ino}:${after.size}:${after.mtimeNs}:${after.ctimeNs}`;
      return decode(bytes, file, stamp);
    } finally {
      await handle.close();
    }
  } catch (error) {
    const code = error instanceof Error && 'code' in error ? String(error.code) : '';
    if (code === 'ENOENT' || code === 'ENOTDIR') return { kind: 'missing' };
    return { kind: 'refused', finding: unreadable(file, error instanceof Error ? error.message : code) };
  }
}

function decode(bytes: Uint8Array, file: string, stamp: string): ReadText {
  try {
    return { kind: 'text', text: new TextDecoder('utf-8', { fatal: true }).decode(bytes), stamp };
  } catch {
    return { kind: 'refused', finding: unreadable(file, 'not UTF-8') };
  }
}

function tooLarge(file: string, size: bigint, maxBytes: number): Finding {
  return {
    severity: 'error',
    code: 'MEL0003',
    origin: file,
    message: `the file has ${size} bytes and is not read; its last good version stays in force`,
    expected: `at most ${maxBytes} bytes`,
  };
}

function unreadable(file: string, reason: string): Finding {
  return { severity: 'error', code: 'MEL0001', origin: file, message: `the file can not be read: ${reason}` };
}

export interface Parsed {
  readonly content: FileContent;
  /** The text of each document, by index: for the positions of findings. */
  readonly chunks: readonly Chunk[];
}

/** Documents parsed between two turns of the event loop. */
const SLICE = 16;

/** Documents whose text is unchanged are taken over as they are. */
export async function parseText(
  text: string,
  file: string,
  previous: FileContent | undefined,
  defaultNamespace: string,
): Promise<Parsed> {
  const json = file.endsWith('.json');
  const chunks = json ? (text.trim() === '' ? [] : [{ text, line: 1 }]) : splitDocuments(text);
  const known = new Map<string, FileDocument[]>();
  for (const document of previous?.documents ?? []) {
    if (!document.broken) known.set(document.hash, [...(known.get(document.hash) ?? []), document]);
  }
  const documents: FileDocument[] = [];
  let parsed = 0;
  for (const chunk of chunks) {
    const hash = hashOf(chunk.text);
    const same = known.get(hash)?.find((document) => document.line === chunk.line) ?? known.get(hash)?.[0];
    if (same === undefined && ++parsed % SLICE === 0) await nextTurn();
    documents.push(
      same === undefined
        ? readDocument(chunk, hash, { file, json, defaultNamespace })
        : movedTo(same, chunk.line, file),
    );
  }
  return {
    content: { documents: keepLastGood(documents, chunks, previous?.documents ?? []), fault: undefined },
    chunks,
  };
}
