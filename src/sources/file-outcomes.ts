// What came of looking at the files of a burst. Called by files.ts.

import type { Locate } from '../config/object.ts';
import { type Chunk, type Entry, locator } from './documents.ts';
import type { FileContent } from './file-claims.ts';

/** The outcome of looking at one file. */
export type Outcome =
  | {
      readonly kind: 'content';
      readonly file: string;
      readonly content: FileContent;
      readonly chunks: readonly Chunk[];
    }
  | { readonly kind: 'missing'; readonly file: string };

export interface Contents {
  readonly changes: ReadonlyMap<string, FileContent>;
  /** Finds fields of an entry in the text that was just read. */
  readonly locate: (entry: Entry) => Locate;
}

export function contentsOf(outcomes: readonly Outcome[]): Contents {
  const changes = new Map<string, FileContent>();
  const chunks = new Map<string, readonly Chunk[]>();
  for (const outcome of outcomes) {
    if (outcome.kind !== 'content') continue;
    changes.set(outcome.file, outcome.content);
    chunks.set(outcome.file, outcome.chunks);
  }
  const locate = (entry: Entry): Locate => {
    return (path) => {
      const file = entry.origin.slice(0, entry.origin.lastIndexOf(':'));
      const index = changes.get(file)?.documents.findIndex((document) => document.entries.includes(entry)) ?? -1;
      const chunk = chunks.get(file)?.[index];
      return chunk === undefined ? undefined : locator(chunk, file, entry.root)(path);
    };
  };
  return { changes, locate };
}
