import { describe, expect, it } from 'vitest';
import { ageText } from '../../src/cli/age.ts';
import { booleanFlag, outputFormat, portFlag, structured, textTable } from '../../src/cli/output.ts';
import { exactProxyId, matchingProxies, parseProxyName } from '../../src/cli/proxy-name.ts';

describe('textTable', () => {
  it('pads every cell but the last by the widest of its column and the gap', () => {
    const rows = [
      ['NAME', 'A', 'B'],
      ['long name', '', 'x'],
      ['ü', 'yes', ''],
    ];
    expect(textTable(rows, 2)).toBe(['NAME       A    B', 'long name       x', 'ü          yes  ', ''].join('\n'));
  });

  it('is empty without rows', () => {
    expect(textTable([], 5)).toBe('');
  });
});

describe('ageText', () => {
  it.each([
    [-5_000, '<invalid>'],
    [-500, '0s'],
    [0, '0s'],
    [119_999, '119s'],
    [120_000, '2m'],
    [250_000, '4m10s'],
    [10 * 60_000 + 59_000, '10m'],
    [3 * 3_600_000, '3h'],
    [3 * 3_600_000 + 120_000, '3h2m'],
    [47 * 3_600_000, '47h'],
    [48 * 3_600_000, '2d'],
    [52 * 3_600_000, '2d4h'],
    [100 * 86_400_000, '100d'],
    [800 * 86_400_000, '2y70d'],
    [9 * 365 * 86_400_000, '9y'],
  ])('%d ms is %s', (ms, text) => {
    expect(ageText(ms)).toBe(text);
  });
});

describe('structured', () => {
  const value = { b: [{ '@type': 'x' }], a: 'true' };
  it('is JSON in the order of its fields', async () => {
    const text = await structured(value, 'json');
    expect(JSON.parse(text)).toEqual(value);
    expect(text.indexOf('"b"')).toBeLessThan(text.indexOf('"a"'));
  });

  it('is YAML in the order of keys', async () => {
    expect(await structured(value, 'yaml')).toBe("a: 'true'\nb:\n- '@type': x\n");
  });
});

describe('flags', () => {
  it('refuses what it does not know', () => {
    expect(outputFormat('json', ['table', 'json'])).toBe('json');
    expect(() => outputFormat('xml', ['table', 'json'])).toThrow('--output xml: expected table or json');
    expect(portFlag(undefined)).toBe(0);
    expect(portFlag('8080')).toBe(8080);
    expect(() => portFlag('http')).toThrow('expected a port');
    expect(() => portFlag('70000')).toThrow('expected a port');
    expect(booleanFlag('verbose', 'false')).toBe(false);
    expect(() => booleanFlag('verbose', 'no')).toThrow('--verbose no');
  });
});

describe('names of proxies', () => {
  const proxies = ['web-7d9f-abcde.shop', 'web-7d9f-fghij.shop', 'web-api-0.shop', 'db-0.shop', 'db-0.other'];
  it.each<[string, string | undefined, readonly string[]]>([
    ['db-0.shop', undefined, ['db-0.shop']],
    ['pod/db-0.shop', undefined, ['db-0.shop']],
    ['db-0', undefined, ['db-0.other', 'db-0.shop']],
    ['db-0', 'other', ['db-0.other']],
    ['deployment/web', 'shop', ['web-7d9f-abcde.shop']],
    ['statefulset/db.other', undefined, ['db-0.other']],
    ['deployment/we', undefined, []],
    ['db', undefined, []],
    ['', undefined, []],
  ])('%s in %s is %j', (name, namespace, expected) => {
    expect(matchingProxies(parseProxyName(name, namespace), proxies)).toEqual(expected);
  });

  it.each<[string, string | undefined, string | undefined]>([
    ['a.b', undefined, 'a.b'],
    ['a.b', 'c', 'a.b'],
    ['a', 'c', 'a.c'],
    ['a', undefined, undefined],
    ['deploy/a.b', undefined, undefined],
  ])('%s in %s says it all: %s', (name, namespace, expected) => {
    expect(exactProxyId(parseProxyName(name, namespace))).toBe(expected);
  });
});
