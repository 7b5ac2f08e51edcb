// What `meltemi check` says: one thing that is amiss, in plain words, with what mends it.

export type Level = 'Error' | 'Warning' | 'Info';

export interface Problem {
  readonly level: Level;
  /** The object, as kubectl would name it. */
  readonly subject: string;
  readonly message: string;
  /** What to do, or to run. */
  readonly mend?: string | undefined;
}

export const LEVELS: readonly Level[] = ['Error', 'Warning', 'Info'];

export function error(subject: string, message: string, mend?: string): Problem {
  return { level: 'Error', subject, message, mend };
}

export function warning(subject: string, message: string, mend?: string): Problem {
  return { level: 'Warning', subject, message, mend };
}

export function info(subject: string, message: string, mend?: string): Problem {
  return { level: 'Info', subject, message, mend };
}

const SHOWN = 5;

/** `a, b, c and 4 more` */
export function someOf(names: readonly string[]): string {
  const shown = names.slice(0, SHOWN).join(', ');
  return names.length > SHOWN ? `${shown} and ${names.length - SHOWN} more` : shown;
}
