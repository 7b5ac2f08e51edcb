// YAML and JSON text to values, with positions when something is wrong.
// In: the text of one document. Out: a value, or a problem with line and column. Called by everything that reads files.

import { isMap, isNode, isPair, isSeq, LineCounter, parseDocument, stringify } from 'yaml';
import { parsePath, type PathStep } from '../lib/field-path.ts';
import { readQuickly } from './quick-yaml.ts';

export interface Position {
  /** Both count from 1. */
  readonly line: number;
  readonly column: number;
}

export type YamlResult =
  | { readonly kind: 'value'; readonly value: unknown }
  | {
      readonly kind: 'problem';
      readonly reason: 'syntax' | 'aliases';
      readonly message: string;
      readonly at: Position;
    };

/** Aliases may not make a document more than about this many times larger than its text: `a: [*b, *b, *b]`, nested. */
const MAX_ALIASES = 100;

/** Kubernetes reads YAML 1.2 with merge keys; duplicate keys are mistakes. */
const OPTIONS = { merge: true, uniqueKeys: true, prettyErrors: false, strict: true, logLevel: 'silent' } as const;

export function parseYaml(text: string): YamlResult {
  const quick = readQuickly(text);
  if (quick !== undefined) return { kind: 'value', value: quick.value };
  return parseWhole(text);
}

/** All of YAML, and where a mistake stands; ten times slower. */
export function parseWhole(text: string): YamlResult {
  const lines = new LineCounter();
  try {
    const document = parseDocument(text, { ...OPTIONS, lineCounter: lines });
    const error = document.errors[0];
    if (error !== undefined) return problem('syntax', error.message, positionOf(lines, error.pos[0]));
    return { kind: 'value', value: document.toJS({ maxAliasCount: MAX_ALIASES }) as unknown };
  } catch (error) {
    // The library throws on exhaustion only: too many aliases, or nesting deeper than the stack.
    const aliases = error instanceof ReferenceError;
    const message = aliases ? 'aliases expand beyond the limit' : 'nested too deeply';
    return problem(aliases ? 'aliases' : 'syntax', message, { line: 1, column: 1 });
  }
}

/** A value as YAML, ready to be read by people; empty for nothing. */
export function formatYaml(value: unknown): string {
  return value === undefined ? '' : stringify(value, { lineWidth: 0, aliasDuplicateObjects: false });
}

/** JSON is read by its own parser, which is quicker; its mistakes are described by YAML's, which knows positions. */
export function parseJson(text: string): YamlResult {
  try {
    return { kind: 'value', value: JSON.parse(text) as unknown };
  } catch {
    return parseYaml(text);
  }
}

function problem(reason: 'syntax' | 'aliases', message: string, at: Position): YamlResult {
  return { kind: 'problem', reason, message: message.split('\n')[0] ?? message, at };
}

function positionOf(lines: LineCounter, offset: number): Position {
  const { line, col } = lines.linePos(offset);
  return { line: Math.max(line, 1), column: Math.max(col, 1) };
}

/**
 * Where a field stands in the text: its key, or the list item; of a missing field, the closest thing above it. The text is
 * parsed again, so this is for findings only.
 */
export function locateField(text: string, path: string, root: readonly PathStep[] = []): Position | undefined {
  const lines = new LineCounter();
  try {
    const document = parseDocument(text, { ...OPTIONS, lineCounter: lines });
    const offset = offsetOf(document.contents, [...root, ...parsePath(path)]);
    return offset === undefined ? undefined : positionOf(lines, offset);
  } catch {
    return undefined;
  }
}

function offsetOf(top: unknown, steps: readonly PathStep[]): number | undefined {
  let node: unknown = top;
  let offset = isNode(top) ? top.range?.[0] : undefined;
  for (const step of steps) {
    if (isMap(node)) {
      const pair = node.items.find((item) => isPair(item) && keyText(item.key) === String(step));
      if (pair === undefined) return offset;
      offset = isNode(pair.key) ? (pair.key.range?.[0] ?? offset) : offset;
      node = pair.value;
    } else if (isSeq(node)) {
      const item: unknown = typeof step === 'number' ? node.items[step] : undefined;
      if (!isNode(item)) return offset;
      offset = item.range?.[0] ?? offset;
      node = item;
    } else return offset;
  }
  return offset;
}

function keyText(key: unknown): string | undefined {
  if (typeof key === 'string') return key;
  const value: unknown = typeof key === 'object' && key !== null && 'value' in key ? key.value : undefined;
  return typeof value === 'string' || typeof value === 'number' ? String(value) : undefined;
}
