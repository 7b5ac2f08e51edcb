/** Total order of strings by UTF-16 code unit: the same on every machine and in every locale. */
export function compareStrings(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0;
}

/** Numeric ascending. */
export function compareNumbers(a: number, b: number): number {
  return a - b;
}

/** Chains comparators: the first that tells two values apart decides. */
export function orderBy<T>(...comparators: readonly ((a: T, b: T) => number)[]): (a: T, b: T) => number {
  return (a, b) => {
    for (const compare of comparators) {
      const order = compare(a, b);
      if (order !== 0) return order;
    }
    return 0;
  };
}

/** The entries of a string-keyed record, sorted by key. */
export function sortedEntries<T>(record: Readonly<Record<string, T>> | undefined): [string, T][] {
  if (record === undefined) return [];
  return sortedKeys(record).map((key) => [key, record[key] as T]);
}

/** The keys of a record, sorted. */
export function sortedKeys(record: Readonly<Record<string, unknown>>): readonly string[] {
  return inOrder(Object.keys(record));
}

/** The texts sorted, themselves when they are: most are one or none, or come in order. */
export function inOrder(texts: readonly string[]): readonly string[] {
  for (let i = 1; i < texts.length; i++) {
    if ((texts[i - 1] as string) > (texts[i] as string)) return [...texts].sort(compareStrings);
  }
  return texts;
}
