// The series of a metric by its labels. Called for each value that is counted.

export type Labels = Readonly<Record<string, string>>;

/**
 * Who passes the same object of labels each time spares the search for its series. Others are told apart by what is in theirs:
 * there are as many as there are series, whoever asks how often.
 */
export function perLabels<T>(find: (labels: Record<string, string>) => T): (labels: Labels) => T {
  const known = new WeakMap<Labels, T>();
  const byText = new Map<string, T>();
  return (labels) => {
    let child = known.get(labels);
    if (child === undefined) {
      const text = JSON.stringify(labels);
      child = byText.get(text) ?? find({ ...labels });
      byText.set(text, child);
      known.set(labels, child);
    }
    return child;
  };
}
