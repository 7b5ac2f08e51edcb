// Schemas written by hand together with their TypeScript types: `Of<typeof schema>` is what conform() returns for it.
// In: nothing. Out: builders. Called where kinds are described: parse/core-schemas.ts and mesh-schema.ts.

import type { Schema } from './schema.ts';

declare const shape: unique symbol;

/** The type parameter exists at compile time only. */
export interface Typed<T> extends Schema {
  readonly [shape]?: T;
}

export type Of<S> = S extends Typed<infer T> ? T : never;

type Members = Readonly<Record<string, Typed<unknown>>>;

type ObjectOf<P extends Members, R extends keyof P> = {
  readonly [K in Exclude<keyof P, R>]?: Of<P[K]> | undefined;
} & { readonly [K in R]: Of<P[K]> };

export const text: Typed<string> = { type: 'string' };
export const nonEmpty: Typed<string> = { type: 'string', minLength: 1 };
export const flag: Typed<boolean> = { type: 'boolean' };
export const decimal: Typed<number> = { type: 'number' };
export const int32: Typed<number> = { type: 'integer', format: 'int32' };
export const uint32: Typed<number> = { type: 'integer', format: 'uint32' };
export const intOrText: Typed<number | string> = { intOrString: true };
/** Normalised to the proto-JSON form. */
export const duration: Typed<string> = { type: 'string', format: 'duration' };
/** An object of any content: google.protobuf.Struct. */
export const struct: Typed<Readonly<Record<string, unknown>>> = {
  type: 'object',
  additionalProperties: true,
};
export const texts: Typed<readonly string[]> = { type: 'array', items: text };
export const textMap: Typed<Readonly<Record<string, string>>> = { type: 'object', additionalProperties: text };

export function oneOfText<const V extends readonly string[]>(...values: V): Typed<V[number]> {
  return { type: 'string', enum: values };
}

export function integer(minimum: number, maximum: number): Typed<number> {
  return { type: 'integer', minimum, maximum };
}

export function list<T>(items: Typed<T>): Typed<readonly T[]> {
  return { type: 'array', items };
}

export function mapOf<T>(values: Typed<T>): Typed<Readonly<Record<string, T>>> {
  return { type: 'object', additionalProperties: values };
}

/** Unknown fields are problems. */
export function object<P extends Members, R extends keyof P & string = never>(
  properties: P,
  required: readonly R[] = [],
): Typed<ObjectOf<P, R>> {
  return { type: 'object', properties, required };
}

/** Lists only the fields in use: others are left out of the projection without a word. */
export function partOf<P extends Members, R extends keyof P & string = never>(
  properties: P,
  required: readonly R[] = [],
): Typed<ObjectOf<P, R>> {
  return { type: 'object', properties, required, open: true };
}
