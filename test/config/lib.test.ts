import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { base64OfText, isBase64 } from '../../src/lib/base64.ts';
import { durationMillis, formatDuration, parseDuration } from '../../src/lib/duration.ts';
import { deepEqual, deepFreeze } from '../../src/lib/equal.ts';
import { formatPath, parsePath } from '../../src/lib/field-path.ts';
import { parseTimestamp } from '../../src/lib/timestamp.ts';

describe('durations', () => {
  it('reads what Go and proto-JSON write', () => {
    const forms: Record<string, string | undefined> = {
      '10s': '10s',
      '1m': '60s',
      '1h30m': '5400s',
      '250ms': '0.250s',
      '1.5s': '1.500s',
      '0.1s': '0.100s',
      '1us': '0.000001s',
      '7ns': '0.000000007s',
      '-1.5h': '-5400s',
      '0': '0s',
      '.5s': '0.500s',
      '10': undefined,
      '': undefined,
      s: undefined,
      '1d': undefined,
      '1 s': undefined,
    };
    for (const [text, expected] of Object.entries(forms)) {
      const duration = parseDuration(text);
      expect(duration === undefined ? undefined : formatDuration(duration), text).toBe(expected);
    }
  });

  it('round-trips its own form', () => {
    fc.assert(
      fc.property(fc.integer({ min: 0, max: 1e9 }), fc.integer({ min: 0, max: 999_999_999 }), (seconds, nanos) => {
        const text = formatDuration({ seconds, nanos });
        expect(parseDuration(text)).toEqual({ seconds, nanos });
        expect(durationMillis({ seconds, nanos })).toBeCloseTo(seconds * 1000 + nanos / 1e6, 3);
      }),
    );
  });
});

describe('equality', () => {
  it('agrees with JSON for JSON values, and knows absent from undefined as one', () => {
    fc.assert(
      fc.property(fc.jsonValue(), fc.jsonValue(), (a, b) => {
        const copy: unknown = JSON.parse(JSON.stringify(a));
        expect(deepEqual(copy, JSON.parse(JSON.stringify(a)))).toBe(true);
        expect(deepEqual(a, b)).toBe(deepEqual(b, a));
        expect(deepEqual({ a, extra: undefined }, { a })).toBe(true);
        expect(deepEqual([a], { 0: a })).toBe(false);
      }),
    );
    expect(deepEqual({ a: undefined, b: 1 }, { c: 1, b: 1 })).toBe(false);
    expect(deepEqual({ a: 1 }, { a: 1, b: 2 })).toBe(false);
  });

  it('freezes all the way down', () => {
    const value = deepFreeze({ a: [{ b: 1 }] });
    expect(() => {
      (value.a[0] as { b: number }).b = 2;
    }).toThrow(TypeError);
  });
});

describe('paths, times and bytes', () => {
  it('reads the paths it writes', () => {
    fc.assert(
      fc.property(fc.array(fc.oneof(fc.string(), fc.nat(1000))), (steps) => {
        expect(parsePath(formatPath(steps))).toEqual(steps);
      }),
    );
    expect(formatPath(['spec', 'http', 0, 'headers', 'x.y/z', 'exact'])).toBe('spec.http[0].headers["x.y/z"].exact');
  });

  it('reads RFC 3339 times as the platform does', () => {
    fc.assert(
      fc.property(fc.date({ min: new Date(0), max: new Date('2200-01-01'), noInvalidDate: true }), (date) => {
        expect(parseTimestamp(date.toISOString())).toBe(date.getTime());
      }),
    );
    expect(parseTimestamp('2024-03-01T01:30:00+02:00')).toBe(Date.parse('2024-02-29T23:30:00Z'));
    expect(parseTimestamp('yesterday')).toBeUndefined();
  });

  it('encodes text as base64 of its UTF-8', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'grapheme' }), (text) => {
        expect(base64OfText(text)).toBe(Buffer.from(text).toString('base64'));
        expect(isBase64(base64OfText(text))).toBe(true);
      }),
    );
  });
});
