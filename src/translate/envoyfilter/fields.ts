// Messages in canonical JSON form of which parts may still be encoded: what patches look at and change.

import { decodeShallow, Encoded } from '../../codec/index.ts';
import type { Draft } from '../../ir/draft.ts';

export type Fields = Readonly<Record<string, unknown>>;

/** A message with its parts still encoded. */
export function opened(type: string, value: unknown): Fields {
  return value instanceof Encoded ? decodeShallow(type, value.bytes) : ((value ?? {}) as Fields);
}

/** The message of a draft with its parts still encoded. */
export function openedDraft(type: string, { bytes }: Draft): Fields {
  return decodeShallow(type, bytes);
}

/** A text field, empty when it is not set. */
export function textOf(fields: Fields | undefined, field: string): string {
  const value = fields?.[field];
  return typeof value === 'string' ? value : '';
}

/** The elements of a repeated field. */
export function listOf(value: unknown): readonly unknown[] {
  return Array.isArray(value) ? value : [];
}

/** A repeated field as it is written: an empty one is not there. */
export function orAbsent(list: readonly unknown[]): readonly unknown[] | undefined {
  return list.length === 0 ? undefined : list;
}
