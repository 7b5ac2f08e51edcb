import { isIPv4, isIPv6 } from 'node:net';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { cidrContains, ipVersion, parseCidr, parseIp } from '../../src/lib/ip.ts';

function contains(cidr: string, ip: string): boolean | undefined {
  const prefix = parseCidr(cidr);
  const value = parseIp(ip);
  return prefix === undefined || value === undefined ? undefined : cidrContains(prefix, value);
}

describe('ipVersion', () => {
  it.each([
    ['10.0.0.1', 4],
    ['0.0.0.0', 4],
    ['256.0.0.1', undefined],
    ['010.0.0.1', undefined],
    ['1.2.3', undefined],
    ['::', 6],
    ['::1', 6],
    ['fd00:10:244::5', 6],
    ['2001:db8:0:0:0:0:0:1', 6],
    ['2001:db8::1::2', undefined],
    ['1:2:3:4:5:6:7:8:9', undefined],
    ['1:2:3:4:5:6:7::', 6],
    ['1:2:3:4:5:6:7:8::', undefined],
    ['::ffff:10.0.0.1', 6],
    ['10.0.0.1::', undefined],
    ['fe80::1%eth0', undefined],
    ['example.org', undefined],
    ['10.0.0.0/8', undefined],
    ['', undefined],
  ])('%s is %s', (text, version) => {
    expect(ipVersion(text)).toBe(version);
  });

  it('agrees with the platform', () => {
    const noise = fc.array(fc.constantFrom('0', '1', 'f', 'ff', ':', '::', '.', '255', '10.0.0.1'), { maxLength: 12 });
    const text = fc.oneof(
      fc.ipV4(),
      fc.ipV6(),
      noise.map((parts) => parts.join('')),
    );
    fc.assert(
      fc.property(text, (ip) => {
        expect(ipVersion(ip)).toBe(isIPv4(ip) ? 4 : isIPv6(ip) ? 6 : undefined);
      }),
      { numRuns: 1000 },
    );
  });
});

describe('cidrContains', () => {
  it.each([
    ['10.77.0.0/16', '10.77.3.4', true],
    ['10.77.9.9/16', '10.77.3.4', true],
    ['10.77.0.0/16', '10.78.0.0', false],
    ['0.0.0.0/0', '1.2.3.4', true],
    ['1.2.3.4/32', '1.2.3.4', true],
    ['1.2.3.4', '1.2.3.5', false],
    ['2001:db8::/32', '2001:db8:1::1', true],
    ['2001:db8::/32', '10.0.0.1', false],
    ['10.0.0.0/33', '10.0.0.1', undefined],
    ['10.0.0.0/x', '10.0.0.1', undefined],
  ])('%s, %s: %s', (cidr, ip, expected) => {
    expect(contains(cidr, ip)).toBe(expected);
  });
});
