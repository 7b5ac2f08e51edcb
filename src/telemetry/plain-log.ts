// The agent's log: the server's lines, written without pino, which beside every proxy would cost a megabyte.
// In: levels and a destination. Out: Log ports. A test holds both logs against each other.

import { destinationOf, LEVEL_NUMBERS, type LogOptions, type LogRoot, scopedLog } from './scopes.ts';

/** What may carry a credential is cut before it is written, in the fields and one level below. */
const SECRETS: ReadonlySet<string> = new Set(['token', 'authorization', 'privateKey']);
const CUT = '[Redacted]';

export function createPlainLog(options: LogOptions): LogRoot {
  const out = destinationOf(options);
  return scopedLog(options.levels, (level, fields, message) => {
    const start = { level: LEVEL_NUMBERS[level], time: new Date().toISOString() };
    out.write(`${textOf({ ...start, ...redacted(fields), msg: message })}\n`);
  });
}

function redacted(fields: object): object {
  return mapped(fields, (key, value) => {
    if (value === undefined) return value;
    if (SECRETS.has(key) || key === 'password') return CUT;
    if (typeof value !== 'object' || value === null) return value;
    const hasSecret = Object.keys(value).some((inner) => SECRETS.has(inner));
    return hasSecret ? mapped(value, (inner, each) => (SECRETS.has(inner) ? CUT : each)) : value;
  });
}

function mapped(fields: object, change: (key: string, value: unknown) => unknown): object {
  return Object.fromEntries(Object.entries(fields).map(([key, value]) => [key, change(key, value)]));
}

/** A line is written whatever is in it. */
function textOf(line: object): string {
  try {
    return JSON.stringify(line);
  } catch {
    const isPlain = (value: unknown): boolean => ['string', 'number', 'boolean'].includes(typeof value);
    return JSON.stringify(mapped(line, (_key, value) => (isPlain(value) ? value : '[not to be written as JSON]')));
  }
}
