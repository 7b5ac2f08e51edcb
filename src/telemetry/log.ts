// Logs by pino, with a level for each scope that can be changed while running (istiod's --log_output_level syntax).
// In: `scope:level,…`. Out: Log ports for everyone else; nobody else imports pino.

import pino from 'pino';
import type { Log } from '../lib/ports.ts';

export const LEVELS = ['none', 'error', 'warn', 'info', 'debug'] as const;
export type Level = (typeof LEVELS)[number];

export interface LogRoot {
  readonly log: Log;
  /** Every scope that was asked for so far, with the level in force. */
  scopes(): ReadonlyMap<string, Level>;
  /** `default` sets all scopes without a level of their own. Returns false for an unknown level. */
  setLevel(scope: string, level: string): boolean;
  /** Hears of each level that is set. */
  onLevel(listener: (scope: string, level: Level) => void): void;
}

export interface LogOptions {
  /** `info` or `ads:debug,default:warn`. */
  readonly levels?: string | undefined;
  readonly json?: boolean | undefined;
  readonly destination?: { write(line: string): void } | undefined;
}

/** What may carry a credential is cut before it is written, wherever in the fields it stands. */
const REDACT = ['token', '*.token', 'authorization', '*.authorization', 'privateKey', '*.privateKey', 'password'];

export function createLog(options: LogOptions): LogRoot {
  const out = options.destination ?? process.stderr;
  const destination = options.json === true ? out : { write: (line: string) => out.write(plainLine(line)) };
  const root = pino(
    { level: 'debug', base: null, timestamp: pino.stdTimeFunctions.isoTime, redact: REDACT },
    destination,
  );
  const levels = new Map<string, Level>([['default', 'info']]);
  const listeners: ((scope: string, level: Level) => void)[] = [];
  const seen = new Set<string>(['default']);
  const setLevel = (scope: string, level: string): boolean => {
    if (!isLevel(level)) return false;
    levels.set(scope, level);
    for (const listener of listeners) listener(scope, level);
    return true;
  };
  parseLevels(options.levels ?? 'info', setLevel);
  const levelOf = (scope: string): Level => levels.get(scope) ?? levels.get('default') ?? 'info';
  const scoped = (scope: string): Log => {
    seen.add(scope);
    const allowed = (level: Level): boolean => LEVELS.indexOf(level) <= LEVELS.indexOf(levelOf(scope));
    const write =
      (level: 'debug' | 'info' | 'warn' | 'error') =>
      (fields: object, message: string): void => {
        if (allowed(level)) root[level]({ scope, ...fields }, message);
      };
    return { debug: write('debug'), info: write('info'), warn: write('warn'), error: write('error'), child: scoped };
  };
  return {
    log: scoped('default'),
    scopes: () => new Map([...seen].sort().map((scope) => [scope, levelOf(scope)])),
    setLevel,
    onLevel: (listener) => {
      listeners.push(listener);
    },
  };
}

function isLevel(level: string): level is Level {
  return LEVELS.some((known) => known === level);
}

function parseLevels(text: string, set: (scope: string, level: string) => boolean): void {
  for (const part of text.split(',')) {
    const [scope, level] = part.includes(':') ? part.split(':', 2) : ['default', part];
    if (scope !== undefined && level !== undefined) set(scope.trim(), level.trim());
  }
}

/** One line for people: time, level, scope, message, then the fields as key=value. */
function plainLine(line: string): string {
  const { level, time, scope, msg, ...fields } = JSON.parse(line) as Record<string, unknown>;
  const name = pino.levels.labels[Number(level)] ?? 'info';
  const rest = Object.entries(fields).map(
    ([key, value]) => ` ${key}=${typeof value === 'string' ? value : JSON.stringify(value)}`,
  );
  return `${String(time)} ${name.padEnd(5)} ${String(scope)}: ${String(msg)}${rest.join('')}\n`;
}
