// From values to places on an axis, and the values worth writing beside it. Pure.

export interface Scale {
  /** 0 at the beginning of the axis, 1 at its end. */
  readonly at: (value: number) => number;
  readonly ticks: readonly number[];
}

/** From zero to a round number at or above the largest value. */
export function linearScale(values: readonly number[], count = 5): Scale {
  const most = Math.max(0, ...values);
  const step = niceStep(most / count);
  const end = Math.max(step, Math.ceil(most / step - 1e-9) * step);
  const ticks = Array.from({ length: Math.round(end / step) + 1 }, (_, index) => roundTo(index * step));
  return { at: (value) => value / end, ticks };
}

/** From the power of ten at or below the smallest value to the one at or above the largest; values must be positive. */
export function logScale(values: readonly number[]): Scale {
  const positive = values.filter((value) => value > 0);
  const low = Math.floor(Math.log10(Math.min(...positive, 1e12)) + 1e-9);
  const high = Math.max(low + 1, Math.ceil(Math.log10(Math.max(...positive, 10 ** low)) - 1e-9));
  const ticks = Array.from({ length: high - low + 1 }, (_, index) => roundTo(10 ** (low + index)));
  return { at: (value) => (Math.log10(Math.max(value, 10 ** low)) - low) / (high - low), ticks };
}

function niceStep(rough: number): number {
  if (!(rough > 0)) return 1;
  const power = 10 ** Math.floor(Math.log10(rough));
  const factor = [1, 2, 2.5, 5, 10].find((each) => each * power >= rough * (1 - 1e-9)) ?? 10;
  return roundTo(factor * power);
}

/** Without what binary fractions add. */
function roundTo(value: number): number {
  return Number(value.toPrecision(12));
}

/** 1200 as 1.2k: labels have to be short. */
export function tickText(value: number): string {
  const size = Math.abs(value);
  if (size >= 1e6) return `${roundTo(value / 1e6)}M`;
  if (size >= 1e3) return `${roundTo(value / 1e3)}k`;
  return String(value);
}
