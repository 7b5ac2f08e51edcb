// Walks a parsed template over its data.
// In: a Template, data, functions by name. Out: the text, and from which line of the template each part of it came.
// Throws a TemplateError with the line at fault. Called by inject/render.ts.

import { TemplateError } from './error.ts';
import { newlines } from './lex.ts';
import type { Command, Node, Pipe, Template, Term } from './parse.ts';
import { ArgumentError, fieldOf, isBag, sortedEntries, textOf, truth } from './values.ts';

export type TemplateFunction = (...args: readonly unknown[]) => unknown;

export interface Rendered {
  readonly text: string;
  /** The template's line that wrote a line of the text; both count from 1. */
  lineOf(line: number): number;
}

interface Mark {
  /** Line of the output at which it begins. */
  readonly outLine: number;
  readonly line: number;
  readonly isText: boolean;
}

interface Run {
  readonly template: Template;
  readonly functions: ReadonlyMap<string, TemplateFunction>;
  readonly out: string[];
  readonly marks: Mark[];
  outLine: number;
  steps: number;
}

interface Variable {
  readonly name: string;
  value: unknown;
}

/** What surrounds a node: the dot, and the variables declared so far. */
interface Scope {
  readonly dot: unknown;
  readonly variables: Variable[];
  readonly depth: number;
}

type Flow = 'go on' | 'break' | 'continue';

/** A template that writes more than this many nodes, or calls itself deeper, will not end. */
const MAX_STEPS = 100_000;
const MAX_CALLS = 100;

export function renderTemplate(
  template: Template,
  data: unknown,
  functions: ReadonlyMap<string, TemplateFunction>,
): Rendered {
  const run: Run = { template, functions, out: [], marks: [], outLine: 1, steps: 0 };
  walk(run, template.root, { dot: data, variables: [{ name: '$', value: data }], depth: 0 });
  return { text: run.out.join(''), lineOf: (line) => lineOf(run.marks, line) };
}

function lineOf(marks: readonly Mark[], line: number): number {
  const before = marks.filter((mark) => mark.outLine <= line).at(-1);
  if (before === undefined) return 1;
  return before.isText ? before.line + (line - before.outLine) : before.line;
}

function walk(run: Run, nodes: readonly Node[], outer: Scope): Flow {
  // Variables of a block end with it.
  const scope = { ...outer, variables: [...outer.variables] };
  for (const node of nodes) {
    if (++run.steps > MAX_STEPS) throw fault(run, node.line, 'it does not come to an end');
    const flow = visit(run, node, scope);
    if (flow !== 'go on') return flow;
  }
  return 'go on';
}

function visit(run: Run, node: Node, scope: Scope): Flow {
  switch (node.kind) {
    case 'text':
      write(run, node.text, node.line, true);
      return 'go on';
    case 'action': {
      const value = evaluate(run, node.pipe, scope);
      if (node.pipe.variables.length === 0) write(run, textOf(value), node.line, false);
      return 'go on';
    }
    case 'if':
    case 'with':
      return choose(run, node, scope);
    case 'range':
      return range(run, node, scope);
    case 'template':
      return invoke(run, node, scope);
    case 'break':
    case 'continue':
      return node.kind;
  }
}

type Branch = Extract<Node, { body: readonly Node[] }>;

function choose(run: Run, node: Branch, outer: Scope): Flow {
  const scope = { ...outer, variables: [...outer.variables] };
  const value = evaluate(run, node.pipe, scope);
  if (!truth(value)) return walk(run, node.otherwise, scope);
  return walk(run, node.body, node.kind === 'with' ? { ...scope, dot: value } : scope);
}

function range(run: Run, node: Branch, outer: Scope): Flow {
  const [first, second] = node.pipe.variables;
  const value = evaluate(run, { ...node.pipe, variables: [] }, outer);
  const entries = entriesOf(run, node, value);
  if (entries.length === 0) return walk(run, node.otherwise, outer);
  for (const [key, item] of entries) {
    const scope = { ...outer, dot: item, variables: [...outer.variables] };
    if (first !== undefined) bind(run, node.pipe, scope, first, second === undefined ? item : key);
    if (second !== undefined) bind(run, node.pipe, scope, second, item);
    if (walk(run, node.body, scope) === 'break') break;
  }
  return 'go on';
}

function entriesOf(run: Run, node: Branch, value: unknown): readonly (readonly [string | number, unknown])[] {
  if (value === undefined || value === null) return [];
  if (Array.isArray(value)) return value.map((item, index) => [index, item] as const);
  if (isBag(value)) return sortedEntries(value);
  if (typeof value === 'number')
    return Array.from({ length: Math.min(value, MAX_STEPS) }, (_, index) => [index, index]);
  throw fault(run, node.line, `range can not go over ${JSON.stringify(value)}`);
}

function invoke(run: Run, node: Extract<Node, { kind: 'template' }>, scope: Scope): Flow {
  const body = run.template.defined.get(node.name);
  if (body === undefined) throw fault(run, node.line, `template ${JSON.stringify(node.name)} is not defined`);
  if (scope.depth >= MAX_CALLS) throw fault(run, node.line, 'templates call each other without end');
  const dot = node.pipe === undefined ? undefined : evaluate(run, node.pipe, scope);
  walk(run, body, { dot, variables: [{ name: '$', value: dot }], depth: scope.depth + 1 });
  return 'go on';
}

function evaluate(run: Run, pipe: Pipe, scope: Scope): unknown {
  let value: unknown;
  for (const [index, command] of pipe.commands.entries()) {
    value = commandValue(run, pipe.line, command, scope, index === 0 ? [] : [value]);
  }
  const [name] = pipe.variables;
  if (name !== undefined) bind(run, pipe, scope, name, value);
  return value;
}

function bind(run: Run, pipe: Pipe, scope: Scope, name: string, value: unknown): void {
  if (!pipe.assigns) {
    scope.variables.push({ name, value });
    return;
  }
  const variable = scope.variables.findLast((each) => each.name === name);
  if (variable === undefined) throw fault(run, pipe.line, `variable ${name} is not declared`);
  variable.value = value;
}

function commandValue(run: Run, line: number, { terms }: Command, scope: Scope, piped: readonly unknown[]): unknown {
  const [head, ...rest] = terms;
  if (head === undefined) return undefined;
  if (head.operand.kind !== 'function') {
    if (rest.length > 0 || piped.length > 0) throw fault(run, line, 'arguments are given to what is no function');
    return termValue(run, line, head, scope);
  }
  const { name } = head.operand;
  // These two stop at the first argument that decides, so that the later ones may rely on the earlier.
  if (name === 'and' || name === 'or') return decide(run, line, name, rest, scope, piped);
  const args = rest.map((term) => termValue(run, line, term, scope));
  return along(run, line, call(run, line, name, [...args, ...piped]), head.path);
}

function decide(
  run: Run,
  line: number,
  name: 'and' | 'or',
  terms: readonly Term[],
  scope: Scope,
  piped: readonly unknown[],
): unknown {
  let value: unknown = piped[0];
  for (const term of terms) {
    value = termValue(run, line, term, scope);
    if (truth(value) === (name === 'or')) return value;
  }
  return piped.length > 0 ? piped[0] : value;
}

function termValue(run: Run, line: number, { operand, path }: Term, scope: Scope): unknown {
  switch (operand.kind) {
    case 'dot':
    case 'field':
      return along(run, line, scope.dot, path);
    case 'nil':
      return undefined;
    case 'literal':
      return operand.value;
    case 'variable': {
      const variable = scope.variables.findLast((each) => each.name === operand.name);
      if (variable === undefined) throw fault(run, line, `variable ${operand.name} is not declared`);
      return along(run, line, variable.value, path);
    }
    case 'pipe':
      return along(run, line, evaluate(run, operand.pipe, scope), path);
    case 'function':
      return along(run, line, call(run, line, operand.name, []), path);
  }
}

function along(run: Run, line: number, start: unknown, path: readonly string[]): unknown {
  let value = start;
  for (const [index, name] of path.entries()) {
    try {
      value = fieldOf(value, name);
    } catch (error) {
      if (!(error instanceof ArgumentError)) throw error;
      throw fault(run, line, index === 0 ? error.message : `.${path.slice(0, index + 1).join('.')}: ${error.message}`);
    }
  }
  return value;
}

function call(run: Run, line: number, name: string, args: readonly unknown[]): unknown {
  const fn = run.functions.get(name);
  if (fn === undefined) throw fault(run, line, `function ${JSON.stringify(name)} is not defined`);
  try {
    return fn(...args);
  } catch (error) {
    if (error instanceof ArgumentError) throw fault(run, line, `${name}: ${error.message}`);
    throw error;
  }
}

function write(run: Run, text: string, line: number, isText: boolean): void {
  if (text === '') return;
  run.marks.push({ outLine: run.outLine, line, isText });
  run.out.push(text);
  run.outLine += newlines(text);
}

function fault(run: Run, line: number, problem: string): TemplateError {
  return new TemplateError(run.template.name, line, problem);
}
