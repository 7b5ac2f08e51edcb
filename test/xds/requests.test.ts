// Lists of names in requests, however long each is and whatever stands between them.

import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { NamePool } from '../../src/xds/names.ts';
import { readDeltaRequest, readSotwRequest } from '../../src/xds/requests.ts';
import { bytesField, WireError } from '../../src/xds/wire.ts';

/** Mostly as services are called; some longer than a length of one byte can say, some not ASCII, some empty. */
const name = fc.oneof(
  { weight: 5, arbitrary: fc.nat(50).map((i) => `outbound|80||service-${i}.default.svc.cluster.local`) },
  fc.string({ unit: 'grapheme', maxLength: 40 }),
  fc.nat(300).map((length) => 'x'.repeat(length)),
);
const unknown = 15;
/** Names, with a field of another kind here and there. */
const names = fc.array(fc.record({ name, before: fc.boolean() }), { maxLength: 60 });

function listed(field: number, of: readonly { readonly name: string; readonly before: boolean }[]): Buffer {
  return Buffer.concat(
    of.flatMap(({ name: text, before }) => [
      ...(before ? [bytesField(unknown, Buffer.from('else'))] : []),
      bytesField(field, Buffer.from(text)),
    ]),
  );
}

const setOf = (of: readonly { readonly name: string }[]): ReadonlySet<string> => new Set(of.map((each) => each.name));

describe('lists of names', () => {
  it('are read whole, in the state of the world, when they come again too', () => {
    fc.assert(
      fc.property(names, (of) => {
        const pool = new NamePool();
        const bytes = Buffer.concat([
          listed(3, of),
          bytesField(4, Buffer.from('type')),
          bytesField(5, Buffer.from('n')),
        ]);
        const first = readSotwRequest(bytes, pool, () => undefined);
        expect(first).toMatchObject({ typeUrl: 'type', nonce: 'n' });
        expect(first.names.names).toEqual(setOf(of));
        expect(readSotwRequest(bytes, pool, () => first.names).names).toBe(first.names);
      }),
    );
  });

  it('are read whole, and apart, by delta', () => {
    fc.assert(
      fc.property(names, names, (plus, minus) => {
        const bytes = Buffer.concat([listed(3, plus), listed(4, minus), bytesField(6, Buffer.from('n'))]);
        const read = readDeltaRequest(bytes, new NamePool());
        expect(read.nonce).toBe('n');
        expect(read.subscribe.names).toEqual(setOf(plus));
        expect(read.unsubscribe.names).toEqual(setOf(minus));
      }),
    );
  });

  it('that are cut off are refused', () => {
    const whole = listed(3, [
      { name: 'one', before: false },
      { name: 'two', before: false },
    ]);
    const cut = whole.subarray(0, whole.length - 1);
    expect(() => readSotwRequest(cut, new NamePool(), () => undefined)).toThrow(WireError);
  });
});
