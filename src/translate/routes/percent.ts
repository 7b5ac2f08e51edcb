import type { Percent } from '../../config/generated/types.ts';
import type { Messages } from '../../messages/index.ts';

type FractionalPercent = Messages['envoy.type.v3.FractionalPercent'];

/** A percentage with fractions, in the finest steps that Envoy has. */
export function fractionOf(percent: Percent): FractionalPercent {
  return { numerator: Math.trunc((percent.value ?? 0) * 10_000), denominator: 'MILLION' };
}

/** Whole percents. */
export function hundredths(percent: number): FractionalPercent {
  return { numerator: percent };
}
