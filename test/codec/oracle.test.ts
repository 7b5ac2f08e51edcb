import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { CodecError, decodeJson, encodeJson, normalise } from '../../src/codec/index.ts';
import { oracleDecode, oracleEncode } from './oracle.ts';
import { randomMessage, TYPES } from './random-message.ts';

const anyType = fc.constantFrom(...TYPES);

function tolerated(run: () => void): void {
  try {
    run();
  } catch (error) {
    if (!(error instanceof CodecError)) throw error;
  }
}

describe('against protobufjs', () => {
  it('agrees on a message of every type', () => {
    for (const type of TYPES) {
      for (let seed = 1; seed <= 3; seed++) {
        const message = randomMessage(type, seed);
        const reference = oracleEncode(type, message);
        expect(oracleDecode(type, encodeJson(type, message)), type).toEqual(oracleDecode(type, reference));
        expect(decodeJson(type, reference), type).toEqual(message);
      }
    }
  });

  it('agrees on random messages, and encodes what it decoded to the same bytes', () => {
    fc.assert(
      fc.property(anyType, fc.integer(), (type, seed) => {
        const message = randomMessage(type, seed);
        const bytes = encodeJson(type, message);
        expect(oracleDecode(type, bytes)).toEqual(oracleDecode(type, oracleEncode(type, message)));
        const decoded = decodeJson(type, bytes);
        expect(decoded).toEqual(message);
        expect(encodeJson(type, decoded)).toEqual(bytes);
      }),
      { numRuns: 2000 },
    );
  });

  it('takes the canonical form as normal already', () => {
    fc.assert(
      fc.property(anyType, fc.integer(), (type, seed) => {
        const message = randomMessage(type, seed);
        const normal = normalise(type, message);
        expect(normal.problems).toEqual([]);
        expect(encodeJson(type, normal.value)).toEqual(encodeJson(type, message));
      }),
      { numRuns: 1000 },
    );
  });
});

describe('bytes from anywhere', () => {
  it('give a message or a CodecError, nothing else', () => {
    fc.assert(
      fc.property(anyType, fc.uint8Array({ maxLength: 60 }), (type, bytes) => {
        tolerated(() => void encodeJson(type, decodeJson(type, bytes)));
      }),
      { numRuns: 5000 },
    );
  });

  it('give one of both when a message is damaged', () => {
    fc.assert(
      fc.property(anyType, fc.integer(), fc.nat(), fc.nat(255), (type, seed, at, byte) => {
        const bytes = encodeJson(type, randomMessage(type, seed));
        if (bytes.length === 0) return;
        bytes[at % bytes.length] = byte;
        tolerated(() => void decodeJson(type, bytes));
        tolerated(() => void decodeJson(type, bytes.subarray(0, at % bytes.length)));
      }),
      { numRuns: 2000 },
    );
  });
});
