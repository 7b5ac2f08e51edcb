// Files, folders and standard input read once, as commands are given them. In: paths. Out: documents with where they
// stand, and what can't be read. Called by `diff` and `analyze`; what is followed while it changes is read by files.ts.

import { stat } from 'node:fs/promises';
import { text as readAll } from 'node:stream/consumers';
import type { Finding, Locate, ObjectEvent } from '../config/object.ts';
import { refKey } from '../config/object.ts';
import { parseDocument, type ParseOptions } from '../config/parse/index.ts';
import { compareStrings } from '../lib/order.ts';
import { type Chunk, firstContentLine, locator, splitDocuments } from './documents.ts';
import { readText } from './file-read.ts';
import { scanFolder } from './folder-scan.ts';
import { parseJson, parseYaml } from './yaml.ts';

export interface Manifest {
  readonly value: unknown;
  readonly file: string;
  /** `file.yaml:12`, where the object begins. */
  readonly origin: string;
  readonly chunk: Chunk;
}

export interface Manifests {
  readonly documents: readonly Manifest[];
  /** Files and documents that can't be read. */
  readonly findings: readonly Finding[];
}

const STDIN = '-';
const MAX_BYTES = 64 * 1024 * 1024;

/** Every document of the paths, in their order; folders with all below them, in order of path. */
export async function readManifests(paths: readonly string[], stdin: NodeJS.ReadableStream): Promise<Manifests> {
  const documents: Manifest[] = [];
  const findings: Finding[] = [];
  for (const path of paths) {
    if (path === STDIN) {
      documentsOf(await readAll(stdin), 'stdin', documents, findings);
      continue;
    }
    for (const file of await filesOf(path)) {
      const read = await readText(file, file, MAX_BYTES);
      if (read.kind === 'text') documentsOf(read.text, file, documents, findings);
      else findings.push(read.kind === 'refused' ? read.finding : unreadable(file, read.kind));
    }
  }
  return { documents, findings };
}

/** A file that is named is read whatever its name; of a folder, what `--configDir` would read. */
async function filesOf(path: string): Promise<readonly string[]> {
  const directory = await stat(path).then(
    (stats) => stats.isDirectory(),
    () => false,
  );
  if (!directory) return [path];
  const scan = await scanFolder(path);
  return (scan?.files ?? []).map((file) => file.path).sort(compareStrings);
}

function unreadable(file: string, reason: string): Finding {
  return { severity: 'error', code: 'MEL0001', origin: file, message: `the file can not be read: ${reason}` };
}

function documentsOf(text: string, file: string, documents: Manifest[], findings: Finding[]): void {
  const json = file.endsWith('.json');
  const chunks = json ? (text.trim() === '' ? [] : [{ text, line: 1 }]) : splitDocuments(text);
  for (const chunk of chunks) {
    const parsed = json ? parseJson(chunk.text) : parseYaml(chunk.text);
    if (parsed.kind === 'problem') {
      const origin = `${file}:${parsed.at.line + chunk.line - 1}:${parsed.at.column}`;
      const code = parsed.reason === 'aliases' ? 'MEL0010' : 'MEL0002';
      findings.push({ severity: 'error', code, origin, message: parsed.message });
    } else {
      const origin = `${file}:${firstContentLine(chunk.text) + chunk.line - 1}`;
      documents.push({ value: parsed.value, file, origin, chunk });
    }
  }
}

/** The documents as a source would hand them to the store; of several of one object the first is in force. */
export function eventsOf(
  documents: readonly Manifest[],
  options: Omit<ParseOptions, 'origin'>,
): readonly ObjectEvent[] {
  const events: ObjectEvent[] = [];
  const loose: Finding[] = [];
  const firsts = new Map<string, string>();
  for (const { value, origin, chunk, file } of documents) {
    for (const parsed of parseDocument(value, { ...options, origin })) {
      const locate = locator(chunk, file, parsed.root);
      const place = (finding: Finding): Finding => placed(finding, locate);
      if (parsed.kind === 'ignored') loose.push(parsed.finding);
      else if (parsed.kind === 'invalid') {
        const { ref } = parsed;
        if (ref === undefined) loose.push(...parsed.findings.map(place));
        else for (const finding of parsed.findings) events.push({ kind: 'invalid', ref, finding: place(finding) });
      } else {
        const { object } = parsed;
        const first = firsts.get(refKey(object));
        firsts.set(refKey(object), first ?? origin);
        if (first !== undefined) loose.push(duplicate(object, first));
        else events.push({ kind: 'upsert', object, warnings: parsed.warnings.map(place), locate });
      }
    }
  }
  return [...events, { kind: 'findings', scope: 'documents', findings: loose }];
}

function placed(finding: Finding, locate: Locate): Finding {
  const origin = finding.path === undefined ? undefined : locate(finding.path);
  return origin === undefined ? finding : { ...finding, origin };
}

/** Findings of whoever was handed the documents without their text: each with the place of its field. */
export function placedIn(documents: readonly Manifest[], findings: readonly Finding[]): readonly Finding[] {
  const byOrigin = new Map(documents.map((document) => [document.origin, document]));
  return findings.map((finding) => {
    const document = finding.ref === undefined ? undefined : byOrigin.get(finding.origin ?? '');
    // Paths lead from the beginning of an object, which is not that of the document for members of a list.
    if (document === undefined || isList(document.value)) return finding;
    return placed(finding, locator(document.chunk, document.file, []));
  });
}

function isList(value: unknown): boolean {
  const { kind } = (value ?? {}) as { readonly kind?: unknown };
  return typeof kind === 'string' && kind.endsWith('List');
}

function duplicate(
  { kind, namespace, name, origin }: Parameters<typeof refKey>[0] & { readonly origin?: string | undefined },
  first: string,
): Finding {
  return {
    severity: 'warning',
    code: 'MEL0007',
    ref: { kind, namespace, name },
    origin,
    message: `is defined in ${first} already, which is in force`,
  };
}
