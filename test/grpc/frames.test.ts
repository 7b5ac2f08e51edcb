// gRPC's framing, by itself: however a stream is cut, the same messages come out of it.

import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { Message } from '../../src/xds/encode.ts';
import { encodedMessage, FrameReader, framed, timeoutOf } from '../../src/grpc/frames.ts';

function frame(message: Uint8Array, flag = 0): Buffer {
  const prefix = Buffer.from([flag, 0, 0, 0, 0]);
  prefix.writeUInt32BE(message.length, 1);
  return Buffer.concat([prefix, message]);
}

describe('messages of a stream', () => {
  it('are the same however it is cut', () => {
    fc.assert(
      fc.property(
        fc.array(fc.uint8Array({ maxLength: 40 }), { maxLength: 6 }),
        fc.array(fc.integer({ min: 1, max: 20 }), { maxLength: 60, size: 'max' }),
        (messages, cuts) => {
          const bytes = Buffer.concat(messages.map((message) => frame(message)));
          const reader = new FrameReader(100, 'identity');
          const got: Buffer[] = [];
          let at = 0;
          for (const cut of [...cuts, bytes.length]) {
            expect(reader.read(bytes.subarray(at, at + cut), (message) => got.push(message))).toBeUndefined();
            at = Math.min(bytes.length, at + cut);
          }
          expect(got.map((message) => [...message])).toEqual(messages.map((message) => [...message]));
          expect(reader.whole).toBe(true);
        },
      ),
    );
  });

  it('are refused by their prefix alone when they are too long, compressed, or something else', () => {
    const refusal = (encoding: string, ...prefix: number[]): number | undefined =>
      new FrameReader(100, encoding).read(Buffer.from(prefix), () => {})?.code;
    expect(refusal('identity', 0, 0, 0, 0, 100)).toBeUndefined();
    expect(refusal('identity', 0, 0, 0, 0, 101)).toBe(8);
    expect(refusal('gzip', 0, 0, 0, 0, 1)).toBeUndefined();
    expect(refusal('gzip', 1, 0, 0, 0, 1)).toBe(12);
    expect(refusal('identity', 1, 0, 0, 0, 1)).toBe(13);
    expect(refusal('identity', 2, 0, 0, 0, 1)).toBe(13);
  });

  it('that many streams are sent stay one buffer; small ones are one write', () => {
    const body = Buffer.alloc(64 * 1024, 1);
    const written = [1, 2].map((nonce) => framed(new Message([Buffer.from([nonce]), body])));
    for (const buffers of written) expect(buffers[1]).toBe(body);
    expect(Buffer.concat(written[1] ?? []).equals(frame(Buffer.concat([Buffer.from([2]), body])))).toBe(true);
    expect(framed(new Message([Buffer.from([1]), Buffer.from([2, 3])]))).toEqual([frame(Buffer.from([1, 2, 3]))]);
  });
});

describe('small messages', () => {
  it('stay what they are, whatever is written after them', () => {
    const sizes = fc.array(fc.integer({ min: 0, max: 20_000 }), { minLength: 1, maxLength: 40, size: 'max' });
    fc.assert(
      fc.property(sizes, (all) => {
        const messages = all.map((size, at) => Buffer.alloc(size, at));
        const written = messages.map((message) => framed(new Message([message])));
        expect(written.every((buffers, at) => Buffer.concat(buffers).equals(frame(messages[at] as Buffer)))).toBe(true);
      }),
    );
  });
});

describe('headers', () => {
  it('a status message is percent-encoded UTF-8', () => {
    expect(encodedMessage('plain text ~')).toBe('plain text ~');
    expect(encodedMessage('100 %\nüber')).toBe('100 %25%0A%C3%BCber');
    fc.assert(
      fc.property(fc.string({ unit: 'grapheme' }), (text) => {
        expect(decodeURIComponent(encodedMessage(text))).toBe(text);
      }),
    );
  });

  it('a timeout is a number of at most eight digits and a unit', () => {
    expect(['1H', '2M', '3S', '4m', '500u', '1000000n'].map(timeoutOf)).toEqual([3_600_000, 120_000, 3000, 4, 0.5, 1]);
    expect(['', '1', 'S', '123456789S', '1s', '-1S', '1 S'].map(timeoutOf)).toEqual(Array(7).fill(undefined));
  });
});
