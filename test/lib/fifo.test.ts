// A queue of values that stand in it once.

import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { Fifo } from '../../src/lib/fifo.ts';

type Step = { readonly op: 'add' | 'delete'; readonly value: number } | { readonly op: 'take' | 'clear' };

const value = fc.nat(12);
const steps: fc.Arbitrary<Step[]> = fc.array(
  fc.oneof(
    { weight: 6, arbitrary: fc.record({ op: fc.constant('add' as const), value }) },
    { weight: 2, arbitrary: fc.record({ op: fc.constant('delete' as const), value }) },
    { weight: 4, arbitrary: fc.constant({ op: 'take' as const }) },
    { weight: 1, arbitrary: fc.constant({ op: 'clear' as const }) },
  ),
  { maxLength: 200, size: 'max' },
);

describe('a queue', () => {
  it('gives what came first, whatever was put in, taken and taken out between', () => {
    fc.assert(
      fc.property(steps, (list) => {
        const queue = new Fifo<number>();
        const model: number[] = [];
        for (const step of list) {
          switch (step.op) {
            case 'add':
              queue.add(step.value);
              if (!model.includes(step.value)) model.push(step.value);
              break;
            case 'delete': {
              const at = model.indexOf(step.value);
              expect(queue.delete(step.value)).toBe(at >= 0);
              if (at >= 0) model.splice(at, 1);
              break;
            }
            case 'take':
              expect(queue.take()).toBe(model.shift());
              break;
            case 'clear':
              queue.clear();
              model.length = 0;
          }
          expect(queue.size).toBe(model.length);
          for (let each = 0; each <= 12; each++) expect(queue.has(each)).toBe(model.includes(each));
        }
      }),
    );
  });
});
