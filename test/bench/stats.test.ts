import { describe, expect, it } from 'vitest';
import { growthExponent, leastSquares, median, quantile } from '../../bench/stats.ts';

const powers = (exponent: number): { x: number; y: number }[] =>
  [10, 100, 1000, 10_000].map((x) => ({ x, y: 7 * x ** exponent }));

describe('the exponent of growth', () => {
  it.each([0, 0.5, 1, 2, -1])('of y = 7 x^%d is found', (exponent) => {
    expect(growthExponent(powers(exponent))).toBeCloseTo(exponent, 10);
  });

  it('is near the true one in spite of noise', () => {
    const noisy = powers(1).map(({ x, y }, index) => ({ x, y: y * (index % 2 === 0 ? 1.1 : 0.9) }));
    expect(growthExponent(noisy)).toBeGreaterThan(0.9);
    expect(growthExponent(noisy)).toBeLessThan(1.1);
  });

  it('is nothing for counters that stay nothing, and something for one that begins', () => {
    expect(growthExponent([10, 100].map((x) => ({ x, y: 0 })))).toBe(0);
    const begins = [0, 1, 10].map((y, index) => ({ x: 10 ** (index + 1), y }));
    expect(growthExponent(begins)).toBeGreaterThan(0.5);
  });

  it('is unknown of one size', () => {
    expect(growthExponent([{ x: 10, y: 3 }])).toBeUndefined();
  });
});

describe('least squares', () => {
  it('give slope and intercept', () => {
    const line = leastSquares([1, 2, 3].map((x) => ({ x, y: 2 * x + 5 })));
    expect(line?.slope).toBeCloseTo(2, 10);
    expect(line?.intercept).toBeCloseTo(5, 10);
  });

  it('need two places', () => {
    expect(leastSquares([])).toBeUndefined();
    expect(leastSquares([1, 2].map((y) => ({ x: 4, y })))).toBeUndefined();
  });
});

describe('quantiles', () => {
  it('are values of the sample', () => {
    const values = [5, 1, 4, 2, 3];
    expect(median(values)).toBe(3);
    expect(quantile(values, 0.99)).toBe(5);
    expect(quantile(values, 0)).toBe(1);
    expect(median([])).toBe(0);
  });
});
