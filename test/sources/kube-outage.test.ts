import { describe, expect, it } from 'vitest';
import { Outage } from '../../src/sources/kube-outage.ts';

describe('an outage', () => {
  const start = (count: number) => {
    const outage = new Outage();
    const members = Array.from({ length: count }, (_, index) => ({ index }));
    const called: number[] = [];
    const waits = (index: number) => outage.wait(members[index] ?? {}, () => called.push(index));
    const answered = (index: number) => outage.answered(members[index] ?? {});
    return { outage, members, called, waits, answered };
  };

  it('is over for all when it is over for one', () => {
    const { members, called, waits, answered } = start(5);
    for (const { index } of members) answered(index);
    for (const { index } of members) if (index > 0) waits(index);
    answered(0);
    expect(called).toEqual([1, 2, 3, 4]);
  });

  it('at the start, too', () => {
    const { called, waits, answered } = start(3);
    waits(1);
    waits(2);
    answered(0);
    expect(called).toEqual([1, 2]);
  });

  it('is none where a few fail, nor for those that no longer wait', () => {
    const { outage, members, called, waits, answered } = start(5);
    for (const { index } of members) answered(index);
    waits(1);
    const leave = waits(2);
    answered(0);
    expect(called).toEqual([]);
    // What is not there any more does not count.
    for (const gone of [3, 4]) outage.left(members[gone] ?? {});
    leave();
    answered(0);
    expect(called).toEqual([]);
    waits(2);
    answered(0);
    expect(called).toEqual([1, 2]);
  });
});
