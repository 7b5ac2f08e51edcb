import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { internTable } from '../../src/snapshot/intern.ts';

type Step = readonly ['keep' | 'find' | 'hold' | 'release' | 'sweep' | 'fork', key: string];

const steps = fc.array(
  fc.tuple(
    fc.constantFrom<Step[0]>('keep', 'keep', 'find', 'hold', 'release', 'sweep', 'sweep', 'fork'),
    fc.constantFrom('a', 'b', 'c', 'd'),
  ),
  { maxLength: 60, size: 'max' },
);

describe('a table of equal values', () => {
  it('keeps what somebody holds, and what was asked for during the last two generations', () => {
    fc.assert(
      fc.property(steps, (list) => {
        let table = internTable<object>();
        const model = new Map<string, { readonly value: object; used: number; holders: number }>();
        let generation = 0;
        for (const [step, key] of list) {
          const known = model.get(key);
          if (step === 'keep') {
            const value = table.keep(key, {}, () => true);
            if (known === undefined) model.set(key, { value, used: generation, holders: 0 });
            else {
              expect(value).toBe(known.value);
              known.used = generation;
            }
          } else if (step === 'find') {
            expect(table.find(key)).toBe(known?.value);
            if (known !== undefined) known.used = generation;
          } else if (step === 'hold') {
            table.hold(key);
            if (known !== undefined) known.holders++;
          } else if (step === 'release') {
            if (known === undefined || known.holders === 0) continue;
            table.release(key);
            known.holders--;
            known.used = generation;
          } else if (step === 'fork') table = table.fork();
          else {
            table.sweep();
            generation++;
            for (const [each, { holders, used }] of model)
              if (holders === 0 && used + 2 < generation) model.delete(each);
          }
          expect(table.size).toBe(model.size);
        }
      }),
    );
  });
});
