// Durations as users write them: Go's form (`1h30m`, `250ms`, `10s`), which contains the proto-JSON form (`1.5s`).

export interface Duration {
  readonly seconds: number;
  /** Of the same sign as `seconds`. */
  readonly nanos: number;
}

const UNIT_NANOS: Readonly<Record<string, number>> = {
  ns: 1,
  us: 1e3,
  µs: 1e3,
  μs: 1e3,
  ms: 1e6,
  s: 1e9,
  m: 60e9,
  h: 3600e9,
};

const PART = /(\d+(?:\.\d*)?|\.\d+)(ns|us|µs|μs|ms|s|m|h)/y;

/** The largest span that google.protobuf.Duration admits. */
const MAX_SECONDS = 315_576_000_000;

/** Undefined where the text is no duration. */
export function parseDuration(text: string): Duration | undefined {
  const negative = text.startsWith('-');
  const body = negative || text.startsWith('+') ? text.slice(1) : text;
  if (body === '0') return { seconds: 0, nanos: 0 };
  let seconds = 0;
  let nanos = 0;
  PART.lastIndex = 0;
  let end = 0;
  while (end < body.length) {
    const part = PART.exec(body);
    if (part === null) return undefined;
    end = PART.lastIndex;
    const [whole, rest] = split(part[1] ?? '', UNIT_NANOS[part[2] ?? ''] ?? 0);
    seconds += whole;
    nanos += rest;
  }
  if (end === 0) return undefined;
  seconds += Math.floor(nanos / 1e9);
  nanos %= 1e9;
  if (seconds > MAX_SECONDS) return undefined;
  return negative ? { seconds: 0 - seconds, nanos: 0 - nanos } : { seconds, nanos };
}

/** Whole seconds and remaining nanoseconds of a decimal number of units, without floating error in the fraction. */
function split(number: string, unit: number): [number, number] {
  const [integer = '', fraction = ''] = number.split('.');
  const count = Number(integer === '' ? '0' : integer);
  const perSecond = 1e9 / unit;
  const whole = unit >= 1e9 ? count * (unit / 1e9) : Math.floor(count / perSecond);
  const rest = unit >= 1e9 ? 0 : (count % perSecond) * unit;
  const digits = fraction.slice(0, 12);
  const part = digits === '' ? 0 : Math.floor((Number(digits) * unit) / 10 ** digits.length);
  return [whole + Math.floor(part / 1e9), rest + (part % 1e9)];
}

/** The proto-JSON form: `90s`, `0.250s`. */
export function formatDuration(duration: Duration): string {
  const sign = duration.seconds < 0 || duration.nanos < 0 ? '-' : '';
  const seconds = Math.abs(duration.seconds);
  const nanos = Math.abs(duration.nanos);
  if (nanos === 0) return `${sign}${seconds}s`;
  const fraction = String(nanos).padStart(9, '0');
  const digits = nanos % 1e6 === 0 ? 3 : nanos % 1e3 === 0 ? 6 : 9;
  return `${sign}${seconds}.${fraction.slice(0, digits)}s`;
}

/** As a number, for comparisons; sub-microsecond parts may be lost in long spans. */
export function durationMillis(duration: Duration): number {
  return duration.seconds * 1000 + duration.nanos / 1e6;
}

/** A user's duration in proto-JSON form; undefined stays undefined, and so does what is no duration. */
export function protoDuration(text: string | undefined): string | undefined {
  const duration = text === undefined ? undefined : parseDuration(text);
  return duration === undefined ? undefined : formatDuration(duration);
}

/** Whole seconds of a user's duration. */
export function wholeSeconds(text: string): number | undefined {
  return parseDuration(text)?.seconds;
}
