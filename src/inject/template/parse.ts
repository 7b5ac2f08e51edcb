// Pieces of a Go template to a tree, with the named templates that it defines beside it.
// In: name and text. Out: a Template, or a TemplateError thrown. Called by whoever loads templates.

import { TemplateError } from './error.ts';
import { lex, type Piece, type Token } from './lex.ts';

export type Operand =
  | { readonly kind: 'dot' }
  | { readonly kind: 'nil' }
  | { readonly kind: 'field' }
  | { readonly kind: 'variable'; readonly name: string }
  | { readonly kind: 'literal'; readonly value: string | number | boolean }
  | { readonly kind: 'function'; readonly name: string }
  | { readonly kind: 'pipe'; readonly pipe: Pipe };

/** An operand and the fields behind it: `.A.B`, `$x.Name`, `(index .M "k").Field`. */
export interface Term {
  readonly operand: Operand;
  readonly path: readonly string[];
}

/** A function and its arguments, or one value. Never empty. */
export interface Command {
  readonly terms: readonly Term[];
}

export interface Pipe {
  readonly line: number;
  /** Variables that get the value; two only in a range. */
  readonly variables: readonly string[];
  readonly assigns: boolean;
  readonly commands: readonly Command[];
}

export type Node =
  | { readonly kind: 'text'; readonly line: number; readonly text: string }
  | { readonly kind: 'action'; readonly line: number; readonly pipe: Pipe }
  | {
      readonly kind: 'if' | 'with' | 'range';
      readonly line: number;
      readonly pipe: Pipe;
      readonly body: readonly Node[];
      readonly otherwise: readonly Node[];
    }
  | { readonly kind: 'template'; readonly line: number; readonly name: string; readonly pipe: Pipe | undefined }
  | { readonly kind: 'break' | 'continue'; readonly line: number };

export interface Template {
  readonly name: string;
  readonly root: readonly Node[];
  /** By `define` and `block`. */
  readonly defined: ReadonlyMap<string, readonly Node[]>;
}

interface Parser {
  readonly name: string;
  readonly pieces: readonly Piece[];
  at: number;
  readonly defined: Map<string, readonly Node[]>;
}

/** Throws a TemplateError that names the template and the line. */
export function parseTemplate(name: string, text: string): Template {
  const parser: Parser = { name, pieces: lex(name, text), at: 0, defined: new Map() };
  const { nodes, end } = block(parser, 0);
  if (end !== undefined) throw new TemplateError(name, end.line, `unexpected {{${end.word}}}`);
  return { name, root: nodes, defined: parser.defined };
}

interface End {
  readonly word: 'end' | 'else';
  readonly line: number;
  /** What follows `else`. */
  readonly rest: readonly Token[];
}

/** Nodes up to the `end` or `else` that closes them; without one, the whole text. */
function block(parser: Parser, depth: number): { readonly nodes: readonly Node[]; readonly end: End | undefined } {
  const nodes: Node[] = [];
  if (depth > MAX_DEPTH) throw new TemplateError(parser.name, 1, 'blocks are nested too deeply');
  while (parser.at < parser.pieces.length) {
    const piece = parser.pieces[parser.at++];
    if (piece === undefined) break;
    if (piece.kind === 'text') {
      nodes.push(piece);
      continue;
    }
    const [first, ...rest] = piece.tokens;
    const word = first?.kind === 'word' ? first.text : '';
    if (word === 'end' || word === 'else') return { nodes, end: { word, line: piece.line, rest } };
    const node = action(parser, word, rest, piece, depth);
    if (node !== undefined) nodes.push(node);
  }
  return { nodes, end: undefined };
}

const MAX_DEPTH = 100;

type Action = Extract<Piece, { kind: 'action' }>;

function action(
  parser: Parser,
  word: string,
  rest: readonly Token[],
  { tokens, line }: Action,
  depth: number,
): Node | undefined {
  switch (word) {
    case 'if':
    case 'with':
    case 'range':
      return branch(parser, word, rest, line, depth);
    case 'break':
    case 'continue':
      return { kind: word, line };
    case 'template':
      return { kind: 'template', line, ...invocation(parser, rest, line) };
    case 'block': {
      const { name, pipe } = invocation(parser, rest, line);
      parser.defined.set(name, closed(parser, 'block', line, depth));
      return { kind: 'template', line, name, pipe };
    }
    case 'define':
      parser.defined.set(invocation(parser, rest, line).name, closed(parser, 'define', line, depth));
      return undefined;
    default:
      return { kind: 'action', line, pipe: pipeOf(parser.name, tokens, line) };
  }
}

function closed(parser: Parser, word: string, line: number, depth: number): readonly Node[] {
  const { nodes, end } = block(parser, depth + 1);
  if (end?.word !== 'end') throw new TemplateError(parser.name, line, `{{${word}}} has no {{end}}`);
  return nodes;
}

function branch(
  parser: Parser,
  kind: 'if' | 'with' | 'range',
  tokens: readonly Token[],
  line: number,
  depth: number,
): Node {
  const pipe = pipeOf(parser.name, tokens, line, kind === 'range');
  const { nodes, end } = block(parser, depth + 1);
  if (end === undefined) throw new TemplateError(parser.name, line, `{{${kind}}} has no {{end}}`);
  if (end.word === 'end') return { kind, line, pipe, body: nodes, otherwise: [] };
  const [first, ...rest] = end.rest;
  // `{{else if}}` and `{{else with}}` are the same as a branch of their own inside of else, closed by the one end.
  if (first?.kind === 'word' && (first.text === 'if' || first.text === 'with') && first.text === kind) {
    return { kind, line, pipe, body: nodes, otherwise: [branch(parser, first.text, rest, end.line, depth + 1)] };
  }
  if (first !== undefined) throw new TemplateError(parser.name, end.line, `unexpected ${first.text} behind else`);
  return { kind, line, pipe, body: nodes, otherwise: closed(parser, kind, line, depth) };
}

/** `"name"`, or `"name" pipeline`. */
function invocation(
  parser: Parser,
  [name, ...rest]: readonly Token[],
  line: number,
): { readonly name: string; readonly pipe: Pipe | undefined } {
  if (name?.kind !== 'string') throw new TemplateError(parser.name, line, "a template's name in quotes is missing");
  return { name: name.text, pipe: rest.length === 0 ? undefined : pipeOf(parser.name, rest, line) };
}

interface Tokens {
  readonly name: string;
  readonly list: readonly Token[];
  at: number;
}

function pipeOf(name: string, list: readonly Token[], line: number, inRange = false): Pipe {
  const tokens: Tokens = { name, list, at: 0 };
  const pipe = pipeline(tokens, line, inRange);
  const left = tokens.list[tokens.at];
  if (left !== undefined) throw new TemplateError(name, left.line, `unexpected ${left.text}`);
  return pipe;
}

function pipeline(tokens: Tokens, line: number, inRange: boolean): Pipe {
  const { variables, assigns } = declarations(tokens, inRange);
  const commands: Command[] = [];
  do commands.push(command(tokens, line));
  while (accept(tokens, '|'));
  return { line: tokens.list[0]?.line ?? line, variables, assigns, commands };
}

function declarations(tokens: Tokens, inRange: boolean): Pick<Pipe, 'variables' | 'assigns'> {
  const [first, second, third, fourth] = tokens.list.slice(tokens.at, tokens.at + 4);
  const isOperator = (token: Token | undefined): boolean => token?.text === ':=' || token?.text === '=';
  if (first?.kind === 'variable' && second?.kind === 'symbol' && isOperator(second)) {
    tokens.at += 2;
    return { variables: [first.text], assigns: second.text === '=' };
  }
  if (
    inRange &&
    first?.kind === 'variable' &&
    second?.text === ',' &&
    third?.kind === 'variable' &&
    isOperator(fourth)
  ) {
    tokens.at += 4;
    return { variables: [first.text, third.text], assigns: fourth?.text === '=' };
  }
  return { variables: [], assigns: false };
}

function command(tokens: Tokens, line: number): Command {
  const terms: Term[] = [];
  for (;;) {
    const token = tokens.list[tokens.at];
    if (token === undefined || token.text === '|' || token.text === ')') {
      if (token === undefined || token.kind === 'symbol') break;
    }
    terms.push(term(tokens));
  }
  if (terms.length === 0) throw new TemplateError(tokens.name, line, 'a value is missing');
  return { terms };
}

function term(tokens: Tokens): Term {
  const operand = operandOf(tokens);
  const path: string[] = [];
  if (operand.kind === 'field') path.push(tokens.list[tokens.at++]?.text ?? '');
  for (;;) {
    const next = tokens.list[tokens.at];
    if (next?.kind !== 'field' || next.spaced) break;
    tokens.at++;
    path.push(next.text);
  }
  return { operand, path };
}

function operandOf(tokens: Tokens): Operand {
  const token = tokens.list[tokens.at];
  // The field itself is read by the caller, with those behind it.
  if (token?.kind === 'field') return { kind: 'field' };
  tokens.at++;
  switch (token?.kind) {
    case 'string':
      return { kind: 'literal', value: token.text };
    case 'number':
      return { kind: 'literal', value: numberOf(tokens, token) };
    case 'variable':
      return { kind: 'variable', name: token.text };
    case 'word':
      return wordOf(token.text);
    case 'symbol':
    case undefined:
      break;
  }
  if (token?.text === '.') return { kind: 'dot' };
  if (token?.text === '(') {
    const pipe = pipeline(tokens, token.line, false);
    if (!accept(tokens, ')')) throw new TemplateError(tokens.name, token.line, 'a parenthesis is not closed');
    return { kind: 'pipe', pipe };
  }
  throw new TemplateError(tokens.name, token?.line ?? 1, `unexpected ${token?.text ?? 'end'}`);
}

function wordOf(text: string): Operand {
  if (text === 'true' || text === 'false') return { kind: 'literal', value: text === 'true' };
  return text === 'nil' ? { kind: 'nil' } : { kind: 'function', name: text };
}

function numberOf(tokens: Tokens, { text, line }: Token): number {
  const value = Number(text.replaceAll('_', ''));
  if (Number.isNaN(value)) throw new TemplateError(tokens.name, line, `${text} is no number`);
  return value;
}

function accept(tokens: Tokens, symbol: string): boolean {
  const token = tokens.list[tokens.at];
  if (token?.kind !== 'symbol' || token.text !== symbol) return false;
  tokens.at++;
  return true;
}
