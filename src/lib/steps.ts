// Long work in short steps: whoever runs it may put it aside at every `yield` and go on later.
// In: generators. Out: their results. Called by what translates whole classes of proxies, so that a large mesh doesn't
// hold the event loop; the steps know nothing of clocks, whoever runs them does.

export type Steps<T> = Generator<void, T, void>;

/** Runs to the end at once. */
export function finish<T>(steps: Steps<T>): T {
  for (;;) {
    const step = steps.next();
    if (step.done === true) return step.value;
  }
}
