// The documents of one file: split, parsed one by one, compared with those of the file's last version.
// In: the text of a file and its previous documents. Out: documents with their objects; a broken one keeps the objects of
// its last good version. Called by file-claims.ts's owner, files.ts, whenever a file's content changed.

import { createHash } from 'node:crypto';
import { type ConfigObject, type Finding, type Locate, type ObjectRef, refKey } from '../config/object.ts';
import { parseDocument, type Parsed } from '../config/parse/index.ts';
import { formatPath, type PathStep, parsePath } from '../lib/field-path.ts';
import { locateField, parseJson, parseYaml, type YamlResult } from './yaml.ts';

/** One object of a document: usable, or known by name and refused. */
export interface Entry {
  readonly ref: ObjectRef;
  readonly key: string;
  /** `file.yaml:12` */
  readonly origin: string;
  readonly object: ConfigObject | undefined;
  /** Of a usable object: warnings. Of a refused one: why, at least one error. */
  readonly findings: readonly Finding[];
  readonly root: readonly PathStep[];
}

export interface FileDocument {
  /** Of the text: an equal document is not parsed again. */
  readonly hash: string;
  readonly line: number;
  readonly entries: readonly Entry[];
  /** Findings that belong to no object. */
  readonly findings: readonly Finding[];
  /** The text can not be parsed: entries are those of the last good version. */
  readonly broken: boolean;
}

export interface Chunk {
  readonly text: string;
  /** Of the file, from 1. */
  readonly line: number;
}

const SEPARATOR = /^(?:---|\.\.\.)(?:[ \t].*)?$/;

/**
 * Cuts a YAML stream at its document markers. A line that begins with `---` or `...` is one wherever it stands, inside of
 * block scalars too (YAML 1.2.2 section 9.1.2), so that this needs no parser, and a broken document can't swallow the next.
 */
export function splitDocuments(text: string): Chunk[] {
  const chunks: Chunk[] = [];
  let start = 0;
  let startLine = 1;
  let line = 1;
  let at = 0;
  while (at <= text.length) {
    const end = text.indexOf('\n', at);
    const stop = end < 0 ? text.length : end;
    const first = text.charCodeAt(at);
    // Only lines that begin with "-" or "." can be markers.
    if ((first === 45 || first === 46) && SEPARATOR.test(text.slice(at, stop).trimEnd())) {
      // Directives and comments before the first marker belong to the document behind it.
      if (hasContent(text.slice(start, at))) {
        chunks.push({ text: text.slice(start, at), line: startLine });
        start = at;
        startLine = line;
      } else if (!text.slice(start, at).includes('%')) {
        start = at;
        startLine = line;
      }
    }
    if (end < 0) break;
    at = end + 1;
    line++;
  }
  if (hasContent(text.slice(start))) chunks.push({ text: text.slice(start), line: startLine });
  return chunks;
}

/** True when more than comments, markers and directives is there. */
function hasContent(text: string): boolean {
  for (const raw of text.split('\n')) {
    const line = raw.trim();
    if (line === '' || line.startsWith('#') || raw.startsWith('%')) continue;
    if (raw.startsWith('---') || raw.startsWith('...')) {
      const rest = raw.slice(3).trim();
      if (rest === '' || rest.startsWith('#')) continue;
    }
    return true;
  }
  return false;
}

export function hashOf(text: string): string {
  return createHash('sha256').update(text).digest('base64');
}

export interface ReadOptions {
  /** Relative to the folder, with `/`. */
  readonly file: string;
  readonly json: boolean;
  readonly defaultNamespace: string;
}

/** Parses one chunk. Entries of broken documents are filled in by `keepLastGood`. */
export function readDocument(chunk: Chunk, hash: string, options: ReadOptions): FileDocument {
  const parsed: YamlResult = options.json ? parseJson(chunk.text) : parseYaml(chunk.text);
  const at = (line: number, column?: number): string =>
    `${options.file}:${line + chunk.line - 1}${column === undefined ? '' : `:${column}`}`;
  if (parsed.kind === 'problem') {
    const finding: Finding = {
      severity: 'error',
      code: parsed.reason === 'aliases' ? 'MEL0010' : 'MEL0002',
      origin: at(parsed.at.line, parsed.at.column),
      message: parsed.message,
    };
    return { hash, line: chunk.line, entries: [], findings: [finding], broken: true };
  }
  const entries: Entry[] = [];
  const findings: Finding[] = [];
  const line = firstContentLine(chunk.text);
  const objects = parseDocument(parsed.value, {
    unknownFields: 'warning',
    defaultNamespace: options.defaultNamespace,
    origin: at(line),
  });
  for (const parsedObject of objects) collect(parsedObject, chunk, options.file, entries, findings);
  return { hash, line: chunk.line, entries, findings, broken: false };
}

function collect(parsed: Parsed, chunk: Chunk, file: string, entries: Entry[], findings: Finding[]): void {
  const locate = locator(chunk, file, parsed.root);
  const place = (finding: Finding): Finding => {
    const origin = finding.path === undefined ? undefined : locate(finding.path);
    return origin === undefined ? finding : { ...finding, origin };
  };
  switch (parsed.kind) {
    case 'ignored':
      findings.push(withRootOrigin(parsed.finding, parsed.root, chunk, file));
      return;
    case 'invalid': {
      const located = parsed.findings.map((finding) =>
        finding.ref === undefined ? placeInDocument(finding, chunk, file) : place(finding),
      );
      if (parsed.ref === undefined) findings.push(...located);
      else entries.push(entryOf(parsed.ref, undefined, located, parsed.root, located[0]?.origin ?? file));
      return;
    }
    case 'object': {
      const { object } = parsed;
      const origin = parsed.root.length === 0 ? object.origin : originOfRoot(parsed.root, chunk, file);
      const placed = origin === undefined ? object : { ...object, origin };
      const ref: ObjectRef = { kind: object.kind, namespace: object.namespace, name: object.name };
      entries.push(entryOf(ref, placed, parsed.warnings.map(place), parsed.root, origin ?? file));
    }
  }
}

function entryOf(
  ref: ObjectRef,
  object: ConfigObject | undefined,
  findings: readonly Finding[],
  root: readonly PathStep[],
  origin: string,
): Entry {
  return { ref, key: refKey(ref), origin, object, findings, root };
}

/** Finds fields of an object in the text of its document. */
export function locator(chunk: Chunk, file: string, root: readonly PathStep[]): Locate {
  return (path) => {
    const position = locateField(chunk.text, path, root);
    return position === undefined ? undefined : `${file}:${position.line + chunk.line - 1}:${position.column}`;
  };
}

/** Of findings without object the path is that of the document already. */
function placeInDocument(finding: Finding, chunk: Chunk, file: string): Finding {
  const origin = locator(chunk, file, [])(finding.path ?? '');
  return origin === undefined ? finding : { ...finding, origin };
}

function originOfRoot(root: readonly PathStep[], chunk: Chunk, file: string): string | undefined {
  const position = locateField(chunk.text, formatPath(root));
  return position === undefined ? undefined : `${file}:${position.line + chunk.line - 1}`;
}

function withRootOrigin(finding: Finding, root: readonly PathStep[], chunk: Chunk, file: string): Finding {
  if (parsePath(formatPath(root)).length === 0) return finding;
  const origin = originOfRoot(root, chunk, file);
  return origin === undefined ? finding : { ...finding, origin };
}

/** Of the chunk, from 1: where the object begins, behind marker and comments. */
export function firstContentLine(text: string): number {
  let line = 1;
  for (const raw of text.split('\n')) {
    const plain = raw.trim();
    const marker = raw.startsWith('---') || raw.startsWith('...');
    if (plain !== '' && !plain.startsWith('#') && !raw.startsWith('%') && !marker) return line;
    line++;
  }
  return 1;
}

/** The same document some lines further down or up: only the places in it change. */
export function movedTo(document: FileDocument, line: number, file: string): FileDocument {
  const by = line - document.line;
  if (by === 0) return document;
  const place = (origin: string): string => movedOrigin(origin, by, file);
  const move = (finding: Finding): Finding =>
    finding.origin === undefined ? finding : { ...finding, origin: place(finding.origin) };
  const entries = document.entries.map((entry) => ({
    ...entry,
    origin: place(entry.origin),
    object: entry.object === undefined ? undefined : { ...entry.object, origin: place(entry.origin) },
    findings: entry.findings.map(move),
  }));
  return { ...document, line, entries, findings: document.findings.map(move) };
}

function movedOrigin(origin: string, by: number, file: string): string {
  if (!origin.startsWith(`${file}:`)) return origin;
  const [line = '', ...column] = origin.slice(file.length + 1).split(':');
  return [file, Number(line) + by, ...column].join(':');
}

/**
 * Broken documents get the objects of their last good version: the one that the text still names, else every object of
 * the file's last version that is found in no document any more.
 */
export function keepLastGood(
  documents: readonly FileDocument[],
  chunks: readonly Chunk[],
  previous: readonly FileDocument[],
): FileDocument[] {
  if (!documents.some((document) => document.broken)) return [...documents];
  const present = new Set(documents.flatMap((document) => document.entries.map((entry) => entry.key)));
  const vanished = new Map<string, Entry>();
  for (const document of previous) {
    for (const entry of document.entries) if (!present.has(entry.key)) vanished.set(entry.key, entry);
  }
  return documents.map((document, index) => {
    if (!document.broken) return document;
    const named = guessRef(chunks[index]?.text ?? '');
    const kept = [...vanished.values()].filter((entry) => named === undefined || fits(entry.ref, named));
    for (const entry of kept) vanished.delete(entry.key);
    return { ...document, entries: kept };
  });
}

interface Guess {
  readonly kind: string;
  readonly name: string;
  readonly namespace: string | undefined;
}

/** Kind and name as they stand in block style, which survives most mistakes elsewhere in the text. */
function guessRef(text: string): Guess | undefined {
  const kind = /^kind:[ \t]*["']?([A-Za-z]+)/m.exec(text)?.[1];
  const metadata = /^metadata:[ \t]*(?:#.*)?\r?\n((?:[ \t]+.*(?:\r?\n|$))*)/m.exec(text)?.[1] ?? '';
  const name = /^[ \t]+name:[ \t]*["']?([a-z0-9.-]+)/m.exec(metadata)?.[1];
  const namespace = /^[ \t]+namespace:[ \t]*["']?([a-z0-9.-]+)/m.exec(metadata)?.[1];
  return kind === undefined || name === undefined ? undefined : { kind, name, namespace };
}

function fits(ref: ObjectRef, guess: Guess): boolean {
  if (ref.kind !== guess.kind || ref.name !== guess.name) return false;
  return guess.namespace === undefined || guess.namespace === ref.namespace;
}
