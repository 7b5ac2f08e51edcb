import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { formatError, parseQuery, RCODE, TYPE, udpLimit, writeReply } from '../../../src/agent/dns/message.ts';
import { queryBytes, readResponse } from './support.ts';

const label = fc.stringMatching(/^[a-z0-9_-]{1,20}$/);
const name = fc.array(label, { minLength: 1, maxLength: 6 }).map((labels) => `${labels.join('.')}.`);

describe('parseQuery', () => {
  it('reads what was asked, whatever its case', () => {
    fc.assert(
      fc.property(name, fc.nat(65_535), fc.nat(65_535), fc.option(fc.nat(65_535)), (host, id, type, size) => {
        const query = parseQuery(queryBytes(host.toUpperCase(), type, { id, edns: size ?? undefined }));
        expect(query).toMatchObject({ id, name: host, type, isInternet: true, opcode: 0, recursionDesired: true });
        expect(query?.ednsSize).toBe(size === null ? undefined : Math.max(512, size));
      }),
    );
  });

  it('never throws, whatever comes', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 80 }), (bytes) => {
        parseQuery(Buffer.from(bytes));
        formatError(Buffer.from(bytes));
      }),
    );
    fc.assert(
      fc.property(name, fc.nat(40), fc.nat(255), fc.nat(60), (host, at, octet, length) => {
        const bytes = queryBytes(host, 1, { edns: 1232 });
        bytes[Math.min(at, bytes.length - 1)] = octet;
        parseQuery(bytes.subarray(0, length));
        parseQuery(bytes);
      }),
    );
  });

  it('takes a dot within a label for what it is', () => {
    const bytes = queryBytes('aXb.c.', 1);
    bytes[14] = '.'.charCodeAt(0);
    expect(parseQuery(bytes)?.name).toBe('a\\.b.c.');
  });

  it('refuses responses, several questions, and pointers in questions', () => {
    const good = queryBytes('a.b.', 1);
    const changed = (at: number, octet: number): Buffer => {
      const bytes = Buffer.from(good);
      bytes[at] = octet;
      return bytes;
    };
    expect(parseQuery(changed(2, 0x81))).toBeUndefined();
    expect(formatError(changed(2, 0x81))).toBeUndefined();
    expect(parseQuery(changed(5, 2))).toBeUndefined();
    expect(parseQuery(changed(12, 0xc0))).toBeUndefined();
    expect(readResponse(formatError(changed(12, 0xc0)) ?? Buffer.alloc(0)).rcode).toBe(RCODE.FORMERR);
  });
});

describe('writeReply', () => {
  it('says what it is given, or that something is missing', () => {
    const addresses = fc.array(fc.uint8Array({ minLength: 4, maxLength: 4 }), { maxLength: 60 });
    fc.assert(
      fc.property(name, addresses, fc.option(name), fc.option(fc.nat(8192)), (host, ips, alias, size) => {
        const query = parseQuery(queryBytes(host, TYPE.A, { id: 7, edns: size ?? undefined }));
        if (query === undefined) throw new Error('no query');
        const answers = [
          ...(alias === null ? [] : [{ kind: 'cname', target: alias } as const]),
          ...ips.map((bytes) => ({ kind: 'address', bytes }) as const),
        ];
        const limit = udpLimit(query);
        const reply = writeReply(query, { rcode: 0, authoritative: true, answers, ttl: 30 }, limit);
        expect(reply.length).toBeLessThanOrEqual(limit);
        const read = readResponse(reply);
        expect(read).toMatchObject({ id: 7, rcode: 0, authoritative: true, question: host, hasOpt: size !== null });
        expect(read.truncated).toBe(read.answers.length < answers.length);
        const told = [
          ...(alias === null ? [] : [{ name: host, type: TYPE.CNAME, ttl: 30, data: alias }]),
          ...ips.map((bytes) => ({ name: alias ?? host, type: TYPE.A, ttl: 30, data: [...bytes].join('.') })),
        ];
        expect(read.answers).toEqual(told.slice(0, read.answers.length));
      }),
    );
  });
});
