// Short lists that are kept in great numbers, in no more memory than they need.

/** A copy without room for more: a list to which something was added has room for seventeen, whatever it holds. */
export function exact<T>(list: readonly T[]): readonly T[] {
  return list.slice();
}
