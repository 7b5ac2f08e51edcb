/** A JSON object that is only read. */
export type Json = Readonly<Record<string, unknown>>;

/** A JSON object being made. */
export type Target = Record<string, unknown>;

/** Whether a value is an object with fields, not a list or bytes. */
export function isRecord(value: unknown): value is Json {
  return typeof value === 'object' && value !== null && !Array.isArray(value) && !(value instanceof Uint8Array);
}

/** Sets a key of any name as an own property; assigning to `__proto__` would not. */
export function setKey(target: Target, key: string, value: unknown): void {
  if (key === '__proto__') {
    Object.defineProperty(target, key, { value, enumerable: true, configurable: true, writable: true });
  } else target[key] = value;
}
