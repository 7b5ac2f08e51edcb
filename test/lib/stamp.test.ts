import { describe, expect, it } from 'vitest';
import { stamp } from '../../src/lib/stamp.ts';

describe('stamp', () => {
  it('keeps a value for each object, and for no other', () => {
    const [one, other] = [stamp<object, number>(), stamp<object, number>()];
    const [a, b] = [{}, []];
    one.set(a, 1);
    other.set(b, 2);
    expect([one.get(a), one.get(b), other.get(a), other.get(b)]).toEqual([1, undefined, undefined, 2]);
    one.set(a, 3);
    expect(one.get(a)).toBe(3);
  });

  it('shows nowhere', () => {
    const marks = stamp<object, string>();
    const plain = { a: 1 };
    marks.set(plain, 'seen');
    expect(Reflect.ownKeys(plain)).toEqual(['a']);
    expect(JSON.stringify(plain)).toBe('{"a":1}');
    expect({ ...plain }).toEqual({ a: 1 });
    expect(marks.get({ ...plain })).toBeUndefined();
  });

  it('takes frozen objects, functions and sets as well', () => {
    const marks = stamp<object, number>();
    const all = [Object.freeze({}), () => undefined, new Set(), Object.preventExtensions([])];
    for (const [index, each] of all.entries()) marks.set(each, index);
    expect(all.map((each) => marks.get(each))).toEqual([0, 1, 2, 3]);
  });
});
