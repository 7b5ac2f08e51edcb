// Which document is in force for each object when several files define it, and what the sink has to hear of a change.
// In: the new documents of changed files. Out: events. Called by files.ts, once for each batch. No input or output here.

import type { Finding, Locate, ObjectEvent } from '../config/object.ts';
import { compareNumbers, compareStrings, orderBy } from '../lib/order.ts';
import type { Entry, FileDocument } from './documents.ts';

export interface FileContent {
  readonly documents: readonly FileDocument[];
  /** The file as a whole could not be read: its documents are those of the last time. */
  readonly fault: Finding | undefined;
}

interface Claimant {
  readonly file: string;
  readonly index: number;
  readonly entry: Entry;
}

const byPlace = orderBy<Claimant>(
  (a, b) => compareStrings(a.file, b.file),
  (a, b) => compareNumbers(a.index, b.index),
);

export class FileClaims {
  readonly #files = new Map<string, FileContent>();
  readonly #claimants = new Map<string, readonly Claimant[]>();
  /** What the sink was told last about each object. */
  readonly #told = new Map<string, Entry>();

  content(file: string): FileContent | undefined {
    return this.#files.get(file);
  }

  files(): Iterable<string> {
    return this.#files.keys();
  }

  /** True when every object of the file is defined by another file, too: nothing is lost with it. */
  redundant(file: string): boolean {
    for (const document of this.#files.get(file)?.documents ?? []) {
      for (const entry of document.entries) {
        if (!(this.#claimants.get(entry.key) ?? []).some((claimant) => claimant.file !== file)) return false;
      }
    }
    return true;
  }

  /** Takes over the new content of files; undefined is a deleted file. */
  update(
    changes: ReadonlyMap<string, FileContent | undefined>,
    locate: (entry: Entry) => Locate | undefined,
  ): ObjectEvent[] {
    const keys = new Set<string>();
    const scopes = new Set<string>();
    for (const [file, content] of changes) {
      scopes.add(file);
      this.#replace(file, content, keys);
    }
    const events: ObjectEvent[] = [];
    for (const key of keys) {
      this.#decide(key, events, locate);
      for (const claimant of this.#claimants.get(key) ?? []) scopes.add(claimant.file);
    }
    for (const file of scopes) events.push({ kind: 'findings', scope: file, findings: this.#findingsOf(file) });
    return events;
  }

  /** Collects the objects whose claimants change; a document taken over as it was changes none. */
  #replace(file: string, content: FileContent | undefined, keys: Set<string>): void {
    const before = entriesOf(this.#files.get(file));
    const after = entriesOf(content);
    const same = before.length === after.length && before.every((entry, index) => entry === after[index]);
    if (content === undefined) this.#files.delete(file);
    else this.#files.set(file, content);
    if (same) return;
    const touched = new Set([...before, ...after].map((entry) => entry.key));
    const added = new Map<string, Claimant[]>();
    for (const [index, entry] of after.entries()) {
      const list = added.get(entry.key) ?? [];
      list.push({ file, index, entry });
      added.set(entry.key, list);
    }
    for (const key of touched) {
      const others = (this.#claimants.get(key) ?? []).filter((claimant) => claimant.file !== file);
      const list = [...others, ...(added.get(key) ?? [])].sort(byPlace);
      if (list.length === 0) this.#claimants.delete(key);
      else this.#claimants.set(key, list);
      keys.add(key);
    }
  }

  #decide(key: string, events: ObjectEvent[], locate: (entry: Entry) => Locate | undefined): void {
    const winner = this.#claimants.get(key)?.[0]?.entry;
    const told = this.#told.get(key);
    if (winner === told) return;
    if (winner === undefined) {
      if (told !== undefined) events.push({ kind: 'delete', ref: told.ref });
      this.#told.delete(key);
      return;
    }
    this.#told.set(key, winner);
    if (winner.object !== undefined) {
      events.push({ kind: 'upsert', object: winner.object, warnings: winner.findings, locate: locate(winner) });
    } else for (const finding of winner.findings) events.push({ kind: 'invalid', ref: winner.ref, finding });
  }

  #findingsOf(file: string): Finding[] {
    const content = this.#files.get(file);
    if (content === undefined) return [];
    const findings: Finding[] = content.fault === undefined ? [] : [content.fault];
    for (const document of content.documents) findings.push(...document.findings);
    for (const entry of entriesOf(content)) {
      const winner = this.#claimants.get(entry.key)?.[0]?.entry;
      if (winner !== undefined && winner !== entry) findings.push(duplicate(entry, winner));
    }
    return findings;
  }
}

function entriesOf(content: FileContent | undefined): readonly Entry[] {
  return (content?.documents ?? []).flatMap((document) => document.entries);
}

function duplicate(loser: Entry, winner: Entry): Finding {
  return {
    severity: 'warning',
    code: 'MEL0007',
    ref: loser.ref,
    origin: loser.origin,
    message: `${loser.ref.kind} ${loser.ref.namespace}/${loser.ref.name} at ${loser.origin} is not used: ${winner.origin} defines it first`,
    expected: 'one definition of each object',
  };
}
