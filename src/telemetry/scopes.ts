// A level for each scope of a log, which can be changed while running (istiod's --log_output_level syntax), and lines for
// people. In: `scope:level,…` and who writes a line. Out: Log ports. Called by the logs of the server and of the agent.

import type { Log } from '../lib/ports.ts';

const LEVELS = ['none', 'error', 'warn', 'info', 'debug'] as const;
type Level = (typeof LEVELS)[number];

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

export type LineLevel = Exclude<Level, 'none'>;

/** Writes one line, whatever its level. */
export type LineWriter = (level: LineLevel, fields: object, message: string) => void;

/** Numbers of levels in lines of JSON. */
export const LEVEL_NUMBERS: Readonly<Record<LineLevel, number>> = { debug: 20, info: 30, warn: 40, error: 50 };

export function scopedLog(levelsText: string | undefined, write: LineWriter): LogRoot {
  const levels = new Map<string, Level>([['default', 'info']]);
  const listeners: ((scope: string, level: Level) => void)[] = [];
  const seen = new Set<string>(['default']);
  const setLevel = (scope: string, level: string): boolean => {
    if (!isLevel(level)) return false;
    levels.set(scope, level);
    for (const listener of listeners) listener(scope, level);
    return true;
  };
  parseLevels(levelsText ?? 'info', setLevel);
  const levelOf = (scope: string): Level => levels.get(scope) ?? levels.get('default') ?? 'info';
  const scoped = (scope: string): Log => {
    seen.add(scope);
    const allowed = (level: Level): boolean => LEVELS.indexOf(level) <= LEVELS.indexOf(levelOf(scope));
    const at =
      (level: LineLevel) =>
      (fields: object, message: string): void => {
        if (allowed(level)) write(level, { scope, ...fields }, message);
      };
    return { debug: at('debug'), info: at('info'), warn: at('warn'), error: at('error'), child: scoped };
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

/** Where lines of JSON go: as they are, or each made one for people. */
export function destinationOf({ destination, json }: LogOptions): { write(line: string): void } {
  const out = destination ?? process.stderr;
  return json === true ? out : { write: (line) => out.write(plainLine(line)) };
}

/** One line for people: time, level, scope, message, then the fields as key=value. */
function plainLine(line: string): string {
  const { level, time, scope, msg, ...fields } = JSON.parse(line) as Record<string, unknown>;
  const name = Object.entries(LEVEL_NUMBERS).find(([, number]) => number === level)?.[0] ?? 'info';
  const rest = Object.entries(fields).map(
    ([key, value]) => ` ${key}=${typeof value === 'string' ? value : JSON.stringify(value)}`,
  );
  return `${String(time)} ${name.padEnd(5)} ${String(scope)}: ${String(msg)}${rest.join('')}\n`;
}
