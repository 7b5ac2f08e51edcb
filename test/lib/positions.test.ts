// Lists that are walked with the difference to the one before, against what says the same without looking for less work.

import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { differenceOf } from '../../src/lib/positions.ts';

const objects = Array.from({ length: 8 }, (_, at) => ({ at }));
const list = fc.array(fc.constantFrom(...objects), { maxLength: 10 });

describe('the difference of two lists', () => {
  it('turns the one into the other, whatever stands in both in another order', () => {
    fc.assert(
      fc.property(fc.uniqueArray(fc.constantFrom(...objects)), fc.uniqueArray(fc.constantFrom(...objects)), (a, b) => {
        const { gone, come } = differenceOf(a, b);
        expect(a.filter((each) => !gone.includes(each))).toEqual(b.filter((each) => !come.includes(each)));
        expect(gone.every((each) => a.includes(each)) && come.every((each) => b.includes(each))).toBe(true);
      }),
    );
  });

  it('names all that is in one of them alone, and nothing else where the order is the same', () => {
    fc.assert(
      fc.property(fc.subarray(objects), fc.subarray(objects), (a, b) => {
        const { gone, come } = differenceOf(a, b);
        expect(gone).toEqual(a.filter((each) => !b.includes(each)));
        expect(come).toEqual(b.filter((each) => !a.includes(each)));
      }),
    );
  });

  it('is nothing between equal lists, with what stands in them twice', () => {
    fc.assert(
      fc.property(list, (a) => {
        expect(differenceOf(a, [...a])).toEqual({ gone: [], come: [] });
      }),
    );
  });
});
