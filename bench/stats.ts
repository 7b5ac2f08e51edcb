// Small statistics of small samples. Pure.

export function median(values: readonly number[]): number {
  return quantile(values, 0.5);
}

/** The value below which that share of the values lies, by the nearest rank; 0 of nothing. */
export function quantile(values: readonly number[], share: number): number {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] ?? 0;
}

export interface Point {
  readonly x: number;
  readonly y: number;
}

export interface Line {
  readonly slope: number;
  readonly intercept: number;
}

/** The straight line with the least squares of errors; undefined below two different x. */
export function leastSquares(points: readonly Point[]): Line | undefined {
  const count = points.length;
  const mean = (pick: (point: Point) => number): number => points.reduce((sum, point) => sum + pick(point), 0) / count;
  const [x, y] = [mean((point) => point.x), mean((point) => point.y)];
  const spread = points.reduce((sum, point) => sum + (point.x - x) ** 2, 0);
  if (count < 2 || spread === 0) return undefined;
  const slope = points.reduce((sum, point) => sum + (point.x - x) * (point.y - y), 0) / spread;
  return { slope, intercept: y - slope * x };
}

/**
 * The exponent `e` of the power law `y = a * x^e` that fits best, by least squares in log-log: 0 is flat, 1 is
 * proportional. Points at or below zero have no logarithm: nothing that stays nothing is flat, a start from nothing
 * counts from half of the least that was seen. Undefined below two different x.
 */
export function growthExponent(points: readonly Point[]): number | undefined {
  const positive = points.filter(({ x }) => x > 0);
  const least = Math.min(...positive.map(({ y }) => y).filter((y) => y > 0));
  const floor = Number.isFinite(least) ? least / 2 : 1;
  return leastSquares(positive.map(({ x, y }) => ({ x: Math.log(x), y: Math.log(Math.max(y, floor)) })))?.slope;
}
