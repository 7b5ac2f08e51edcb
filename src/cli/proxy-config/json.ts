// Looking into messages in JSON form of which anything may be missing.

export type Json = Readonly<Record<string, unknown>>;

export function isJson(value: unknown): value is Json {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/** The value at a path of fields; undefined when some part of it isn't there. */
export function at(value: unknown, ...path: readonly string[]): unknown {
  let here = value;
  for (const key of path) here = isJson(here) ? here[key] : undefined;
  return here;
}

export function textAt(value: unknown, ...path: readonly string[]): string {
  const found = at(value, ...path);
  return typeof found === 'string' ? found : '';
}

export function numberAt(value: unknown, ...path: readonly string[]): number {
  const found = Number(at(value, ...path) ?? 0);
  return Number.isFinite(found) ? found : 0;
}

/** The messages of a repeated field. */
export function listAt(value: unknown, ...path: readonly string[]): readonly Json[] {
  const found = at(value, ...path);
  return Array.isArray(found) ? found.filter(isJson) : [];
}

export function textsAt(value: unknown, ...path: readonly string[]): readonly string[] {
  const found = at(value, ...path);
  return Array.isArray(found) ? found.filter((item): item is string => typeof item === 'string') : [];
}

/** A message without the type that an Any puts beside its fields. */
export function withoutType(message: Json): Json {
  return Object.fromEntries(Object.entries(message).filter(([key]) => key !== '@type'));
}
