import { compareStrings } from '../lib/order.ts';

/** A JSON object that is only read. */
export type Json = Readonly<Record<string, unknown>>;

/** A JSON object being made. */
export type Target = Record<string, unknown>;

/** Whether a value is an object with fields, not a list or bytes. */
export function isRecord(value: unknown): value is Json {
  return typeof value === 'object' && value !== null && !Array.isArray(value) && !ArrayBuffer.isView(value);
}

/** Sets a key of any name as an own property; assigning to `__proto__` would not. */
export function setKey(target: Target, key: string, value: unknown): void {
  if (key === '__proto__') {
    Object.defineProperty(target, key, { value, enumerable: true, configurable: true, writable: true });
  } else target[key] = value;
}

/** The keys of what is set, sorted. */
export function sortedKeys(record: Json): string[] {
  const keys: string[] = [];
  for (const key of Object.keys(record)) if (record[key] !== undefined) keys.push(key);
  return keys.length > 1 && !inOrder(keys) ? keys.sort(compareStrings) : keys;
}

function inOrder(keys: readonly string[]): boolean {
  for (let i = 1; i < keys.length; i++) if (compareStrings(keys[i - 1] as string, keys[i] as string) > 0) return false;
  return true;
}
