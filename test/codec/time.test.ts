import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { formatDuration, formatTimestamp, parseDuration, parseTimestamp } from '../../src/codec/time.ts';

describe('durations', () => {
  it.each([
    ['10s', '10s'],
    ['0.25s', '0.250s'],
    ['-1s', '-1s'],
    ['-0.5s', '-0.500s'],
    ['1.000001s', '1.000001s'],
    ['1.000000001s', '1.000000001s'],
    ['1.500000s', '1.500s'],
    ['-0s', '0s'],
  ])('%s is %s', (text, canonical) => {
    const parsed = parseDuration(text);
    expect(parsed && formatDuration(parsed)).toBe(canonical);
  });

  it.each(['', '1', 's', '1.s', '.5s', '1m', '1h0m', ' 1s', '1e3s', '+1s', '315576000001s', '1.0000000001s'])(
    '%j is none',
    (text) => {
      expect(parseDuration(text)).toBeUndefined();
    },
  );
});

describe('timestamps', () => {
  it('agree with the platform for every second of four digits of years', () => {
    fc.assert(
      fc.property(fc.integer({ min: -62_135_596_800, max: 253_402_300_799 }), (seconds) => {
        const text = formatTimestamp({ seconds, nanos: 0 });
        expect(Date.parse(text)).toBe(seconds * 1000);
        expect(parseTimestamp(text)).toEqual({ seconds, nanos: 0 });
      }),
    );
  });

  it('may carry an offset', () => {
    expect(parseTimestamp('2024-01-01T00:30:00+01:00')).toEqual(parseTimestamp('2023-12-31T23:30:00Z'));
  });

  it.each([
    '2023-02-29T00:00:00Z',
    '2024-13-01T00:00:00Z',
    '2024-01-01T24:00:00Z',
    '2024-01-01 00:00:00Z',
    '2024-01-01T00:00:00',
  ])('%s is none', (text) => {
    expect(parseTimestamp(text)).toBeUndefined();
  });
});
