// The JSON forms of google.protobuf.Duration and Timestamp. Text goes in and out; there is no clock here.

/** A point or span in time as both messages hold it. */
export interface SecondsNanos {
  readonly seconds: number;
  readonly nanos: number;
}

const MAX_DURATION_SECONDS = 315_576_000_000;
const MIN_TIMESTAMP = -62_135_596_800;
const MAX_TIMESTAMP = 253_402_300_799;

function nanosOf(fraction: string | undefined): number {
  return fraction === undefined ? 0 : Number(fraction.padEnd(9, '0'));
}

/** `1.5s`, `-0.25s`; undefined when the text is no duration. */
export function parseDuration(text: string): SecondsNanos | undefined {
  const found = /^(-?)(\d{1,12})(?:\.(\d{1,9}))?s$/.exec(text);
  if (found === null) return undefined;
  const seconds = Number(found[2]);
  const nanos = nanosOf(found[3]);
  if (seconds > MAX_DURATION_SECONDS) return undefined;
  return found[1] === '-' ? { seconds: -seconds || 0, nanos: -nanos || 0 } : { seconds, nanos };
}

/** A fraction in 3, 6 or 9 digits, as few as hold it; '' for none. */
function fractionOf(nanos: number): string {
  if (nanos === 0) return '';
  const digits = String(nanos).padStart(9, '0');
  if (digits.endsWith('000000')) return `.${digits.slice(0, 3)}`;
  return digits.endsWith('000') ? `.${digits.slice(0, 6)}` : `.${digits}`;
}

/** The canonical text of a duration. */
export function formatDuration({ seconds, nanos }: SecondsNanos): string {
  const sign = seconds < 0 || nanos < 0 ? '-' : '';
  return `${sign}${Math.abs(seconds)}${fractionOf(Math.abs(nanos))}s`;
}

/** Days from 1970-01-01 to a date of the Gregorian calendar. */
function daysFrom(year: number, month: number, day: number): number {
  const shifted = month <= 2 ? year - 1 : year;
  const era = Math.floor(shifted / 400);
  const yearOfEra = shifted - era * 400;
  const dayOfYear = Math.floor((153 * (month + (month > 2 ? -3 : 9)) + 2) / 5) + day - 1;
  return (
    era * 146_097 + yearOfEra * 365 + Math.floor(yearOfEra / 4) - Math.floor(yearOfEra / 100) + dayOfYear - 719_468
  );
}

function dateOf(days: number): [year: number, month: number, day: number] {
  const shifted = days + 719_468;
  const era = Math.floor(shifted / 146_097);
  const dayOfEra = shifted - era * 146_097;
  const yearOfEra = Math.floor(
    (dayOfEra - Math.floor(dayOfEra / 1460) + Math.floor(dayOfEra / 36_524) - Math.floor(dayOfEra / 146_096)) / 365,
  );
  const dayOfYear = dayOfEra - (365 * yearOfEra + Math.floor(yearOfEra / 4) - Math.floor(yearOfEra / 100));
  const shiftedMonth = Math.floor((5 * dayOfYear + 2) / 153);
  const month = shiftedMonth < 10 ? shiftedMonth + 3 : shiftedMonth - 9;
  const year = yearOfEra + era * 400 + (month <= 2 ? 1 : 0);
  return [year, month, dayOfYear - Math.floor((153 * shiftedMonth + 2) / 5) + 1];
}

/** RFC 3339; undefined when the text is no timestamp. */
export function parseTimestamp(text: string): SecondsNanos | undefined {
  const found = /^(\d{4})-(\d\d)-(\d\d)T(\d\d):(\d\d):(\d\d)(?:\.(\d{1,9}))?(?:Z|([+-])(\d\d):(\d\d))$/.exec(text);
  if (found === null) return undefined;
  const [year = 0, month = 0, day = 0, hour = 0, minute = 0, second = 0] = found.slice(1, 7).map(Number);
  const days = daysFrom(year, month, day);
  const [, backMonth, backDay] = dateOf(days);
  if (backMonth !== month || backDay !== day || hour > 23 || minute > 59 || second > 59) return undefined;
  const offset = (Number(found[9] ?? 0) * 60 + Number(found[10] ?? 0)) * (found[8] === '-' ? -60 : 60);
  const seconds = days * 86_400 + hour * 3600 + minute * 60 + second - offset;
  if (seconds < MIN_TIMESTAMP || seconds > MAX_TIMESTAMP) return undefined;
  return { seconds, nanos: nanosOf(found[7]) };
}

/** The canonical text of a timestamp. */
export function formatTimestamp({ seconds, nanos }: SecondsNanos): string {
  const days = Math.floor(seconds / 86_400);
  const [year, month, day] = dateOf(days);
  const rest = seconds - days * 86_400;
  const two = (value: number): string => String(value).padStart(2, '0');
  const time = `${two(Math.floor(rest / 3600))}:${two(Math.floor(rest / 60) % 60)}:${two(rest % 60)}`;
  return `${String(year).padStart(4, '0')}-${two(month)}-${two(day)}T${time}${fractionOf(nanos)}Z`;
}
