/**
 * The outside world as arguments: what stateful folders are given instead of reaching for a clock, a timer or a logger.
 * Types only, so pure folders may name them too. server.ts and the agent pass the real ones, tests pass their own.
 */

/** Structured log; `child` narrows the scope that appears with each line. */
export interface Log {
  debug(fields: object, message: string): void;
  info(fields: object, message: string): void;
  warn(fields: object, message: string): void;
  error(fields: object, message: string): void;
  child(scope: string): Log;
}

export interface Counter {
  inc(labels?: Readonly<Record<string, string>>, by?: number): void;
}

export interface Gauge {
  set(value: number, labels?: Readonly<Record<string, string>>): void;
}

export interface Histogram {
  observe(value: number, labels?: Readonly<Record<string, string>>): void;
}

/** Makes metrics; asking twice for one name gives the same metric. */
export interface Meter {
  counter(name: string, help: string, labelNames?: readonly string[]): Counter;
  gauge(name: string, help: string, labelNames?: readonly string[]): Gauge;
  histogram(name: string, help: string, buckets: readonly number[], labelNames?: readonly string[]): Histogram;
}

export interface Clock {
  /** Milliseconds since the epoch. */
  now(): number;
}

export interface Timers {
  /** Runs `fn` once after `ms`; the result cancels it. */
  setTimeout(fn: () => void, ms: number): () => void;
}
