// Go template text to pieces: plain text, and actions cut into tokens. Trim markers are applied here.
// In: the text of a template. Out: pieces with the line on which each begins. Called by parse.ts.

import { TemplateError } from './error.ts';

export interface Token {
  readonly kind: 'word' | 'field' | 'variable' | 'string' | 'number' | 'symbol';
  /** Of a field without its dot, of a variable with its dollar, of a string its value. */
  readonly text: string;
  /** White space stands before it: `.A.B` is one operand, `.A .B` are two. */
  readonly spaced: boolean;
  readonly line: number;
}

export type Piece =
  | { readonly kind: 'text'; readonly text: string; readonly line: number }
  | { readonly kind: 'action'; readonly tokens: readonly Token[]; readonly line: number };

interface Cursor {
  readonly name: string;
  readonly text: string;
  at: number;
  line: number;
}

const SPACE = /[ \t\r\n]/;

/** Cuts a template into pieces. Throws a TemplateError. */
export function lex(name: string, text: string): readonly Piece[] {
  const cursor: Cursor = { name, text, at: 0, line: 1 };
  const pieces: Piece[] = [];
  let trimNext = false;
  while (cursor.at < text.length) {
    const open = text.indexOf('{{', cursor.at);
    const end = open < 0 ? text.length : open;
    const trimsLeft = open >= 0 && text[open + 2] === '-' && SPACE.test(text[open + 3] ?? '');
    const line = cursor.line;
    const raw = take(cursor, end);
    const front = trimNext ? raw.replace(/^[ \t\r\n]+/, '') : raw;
    const body = trimsLeft ? front.replace(/[ \t\r\n]+$/, '') : front;
    // Lines that were trimmed away in front still count.
    const skipped = trimNext ? raw.length - raw.replace(/^[ \t\r\n]+/, '').length : 0;
    if (body !== '') pieces.push({ kind: 'text', text: body, line: line + newlines(raw.slice(0, skipped)) });
    if (open < 0) break;
    cursor.at = open + (trimsLeft ? 3 : 2);
    trimNext = action(cursor, pieces);
  }
  return pieces;
}

/** Reads one action up to and with its end; true when the text behind it is to be trimmed. */
function action(cursor: Cursor, pieces: Piece[]): boolean {
  const { text } = cursor;
  const start = cursor.line;
  const tokens: Token[] = [];
  skipSpace(cursor);
  if (text.startsWith('/*', cursor.at)) return comment(cursor, start);
  for (;;) {
    const spaced = skipSpace(cursor);
    if (cursor.at >= text.length)
      throw new TemplateError(cursor.name, start, 'an action is not closed: "}}" is missing');
    if (text.startsWith('}}', cursor.at)) {
      cursor.at += 2;
      pieces.push({ kind: 'action', tokens, line: start });
      return false;
    }
    if (spaced && text.startsWith('-}}', cursor.at)) {
      cursor.at += 3;
      pieces.push({ kind: 'action', tokens, line: start });
      return true;
    }
    tokens.push(token(cursor, spaced));
  }
}

function comment(cursor: Cursor, start: number): boolean {
  const { text } = cursor;
  const end = text.indexOf('*/', cursor.at);
  if (end < 0) throw new TemplateError(cursor.name, start, 'a comment is not closed: "*/" is missing');
  take(cursor, end + 2);
  const spaced = skipSpace(cursor);
  if (spaced && text.startsWith('-}}', cursor.at)) {
    cursor.at += 3;
    return true;
  }
  if (!text.startsWith('}}', cursor.at))
    throw new TemplateError(cursor.name, start, 'a comment ends before the action');
  cursor.at += 2;
  return false;
}

const NAME = /[A-Za-z_][\w]*/y;
const VARIABLE = /\$[\w]*/y;
const NUMBER = /[+-]?(?:0[xX][\da-fA-F_]+|\d[\d_]*(?:\.\d+)?(?:[eE][+-]?\d+)?)/y;
const SYMBOLS = [':=', '=', '|', '(', ')', ',', '.'];

function token(cursor: Cursor, spaced: boolean): Token {
  const { text, line } = cursor;
  const char = text[cursor.at] ?? '';
  if (char === '"' || char === '`' || char === "'") return { kind: 'string', text: quoted(cursor, char), spaced, line };
  const number = matchAt(NUMBER, cursor);
  if (number !== undefined) return { kind: 'number', text: number, spaced, line };
  const variable = matchAt(VARIABLE, cursor);
  if (variable !== undefined) return { kind: 'variable', text: variable, spaced, line };
  if (char === '.' && /[A-Za-z_]/.test(text[cursor.at + 1] ?? '')) {
    cursor.at++;
    return { kind: 'field', text: matchAt(NAME, cursor) ?? '', spaced, line };
  }
  const word = matchAt(NAME, cursor);
  if (word !== undefined) return { kind: 'word', text: word, spaced, line };
  const symbol = SYMBOLS.find((each) => text.startsWith(each, cursor.at));
  if (symbol === undefined)
    throw new TemplateError(cursor.name, line, `unexpected ${JSON.stringify(char)} in an action`);
  cursor.at += symbol.length;
  return { kind: 'symbol', text: symbol, spaced, line };
}

function quoted(cursor: Cursor, quote: string): string {
  const { text, line, name } = cursor;
  let end = cursor.at + 1;
  while (end < text.length && text[end] !== quote) {
    if (quote !== '`' && text[end] === '\n') break;
    end += quote !== '`' && text[end] === '\\' ? 2 : 1;
  }
  if (text[end] !== quote) throw new TemplateError(name, line, `a quoted text is not closed: ${quote} is missing`);
  const body = take(cursor, end + 1).slice(1, -1);
  if (quote === '`') return body;
  try {
    const inner = quote === "'" ? body.replaceAll("\\'", "'").replaceAll('"', '\\"') : body;
    return JSON.parse(`"${inner.replaceAll(/\\x([\da-fA-F]{2})/g, '\\u00$1')}"`) as string;
  } catch {
    throw new TemplateError(name, line, `a quoted text has an escape that is not known: ${quote}${body}${quote}`);
  }
}

function matchAt(pattern: RegExp, cursor: Cursor): string | undefined {
  pattern.lastIndex = cursor.at;
  const match = pattern.exec(cursor.text)?.[0];
  if (match !== undefined) cursor.at += match.length;
  return match;
}

function skipSpace(cursor: Cursor): boolean {
  const start = cursor.at;
  let end = start;
  while (end < cursor.text.length && SPACE.test(cursor.text[end] ?? '')) end++;
  take(cursor, end);
  return end > start;
}

function take(cursor: Cursor, end: number): string {
  const part = cursor.text.slice(cursor.at, end);
  cursor.at = end;
  cursor.line += newlines(part);
  return part;
}

/** Number of line ends in a text. */
export function newlines(text: string): number {
  let count = 0;
  for (let at = text.indexOf('\n'); at >= 0; at = text.indexOf('\n', at + 1)) count++;
  return count;
}
