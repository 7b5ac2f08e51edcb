// The quick reader of YAML says either what the whole parser says, or nothing.

import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { stringify } from 'yaml';
import { meshManifests } from '../../bench/mesh.ts';
import { splitDocuments } from '../../src/sources/documents.ts';
import { readQuickly } from '../../src/sources/quick-yaml.ts';
import { parseWhole } from '../../src/sources/yaml.ts';

function agree(text: string): boolean {
  const quick = readQuickly(text);
  if (quick === undefined) return false;
  expect(parseWhole(text), text).toEqual({ kind: 'value', value: quick.value });
  return true;
}

/** Pieces that lines of YAML are made of, harmless and not. */
const PIECES = [
  ...[
    'a',
    'key',
    'name',
    'x.y/z',
    'null',
    'true',
    'False',
    '~',
    '8080',
    '-5',
    '007',
    '1e3',
    '0x1f',
    '0o7',
    '.5',
    '1.5',
  ],
  ...['.inf', '-.inf', '.nan', '+1', '30s', '5d', '10.0.0.1', '10.0.0', '2024-01-01', '2024-01-01T00:00:00Z', '1_000'],
  ...[
    ':',
    ': ',
    '- ',
    '-',
    ' ',
    '  ',
    '\n',
    '\n  ',
    '\n- ',
    '\n  - ',
    '\n    ',
    '#',
    ' # c',
    '"',
    "'",
    '""',
    "''",
    '"a b"',
  ],
  ...[
    '{}',
    '[]',
    '[a, b]',
    '{a: b}',
    '|',
    '>-',
    '&x ',
    '*x',
    '!t ',
    '<<: ',
    '? ',
    '%',
    '@',
    '`',
    ',',
    '---\n',
    '\n---\n',
  ],
  ...[
    '\n...\n',
    '\\',
    '\t',
    '\r\n',
    'é',
    '=',
    'y',
    'no',
    'a: b',
    'a: b\n',
    'b:\n',
    'key: |\n  text\n',
    '__proto__: x\n',
  ],
];

const scalar = fc.oneof(
  fc.constantFrom('shop', 'reviews.shop.svc.cluster.local', '/api/v2', 'a b', '', 'true', '8080', 'null', '1.5', '- x'),
  fc.integer({ min: -70_000, max: 70_000 }),
  fc.boolean(),
  fc.constant(null),
  fc.string({ maxLength: 12 }),
);
const key = fc.oneof(fc.stringMatching(/^[a-zA-Z][a-zA-Z0-9./-]{0,11}$/), fc.constantFrom('on', 'true', '1', 'a b'));
const tree = fc.letrec((tie) => ({
  node: fc.oneof({ maxDepth: 4 }, scalar, tie('list'), tie('map')),
  list: fc.array(tie('node'), { maxLength: 4 }),
  map: fc.dictionary(key, tie('node'), { maxKeys: 5 }),
})).map;

describe('the quick reader', () => {
  it('agrees with the whole parser on what tools write', () => {
    fc.assert(
      fc.property(tree, fc.constantFrom(true, false), (value, indentSeq) => {
        agree(stringify(value, { indentSeq, lineWidth: 0 }));
      }),
      { numRuns: 500 },
    );
  });

  it('agrees with the whole parser on lines of anything', () => {
    const anything = fc.array(fc.constantFrom(...PIECES), { maxLength: 14 }).map((pieces) => pieces.join(''));
    const opened = fc
      .tuple(fc.constantFrom('', 'a:', 'a: ', 'a:\n  b: ', 'a:\n- '), anything)
      .map((pair) => pair.join(''));
    fc.assert(
      fc.property(opened, (text) => {
        agree(text);
      }),
      { numRuns: 5_000 },
    );
  });

  it('agrees on manifests with a character changed', () => {
    const shape = { services: 2, endpoints: 2, namespaces: 1, routed: 1, flavour: 'kubernetes' } as const;
    const texts = meshManifests(shape).map((manifest) => stringify(manifest));
    fc.assert(
      fc.property(
        fc.constantFrom(...texts),
        fc.nat(),
        fc.constantFrom(...PIECES),
        fc.nat(3),
        (text, at, piece, cut) => {
          const place = at % text.length;
          agree(text.slice(0, place) + piece + text.slice(place + cut));
        },
      ),
      { numRuns: 1_000 },
    );
  });

  it('reads most of the sample mesh by itself', () => {
    const names = readdirSync('samples/bookinfo', { recursive: true, encoding: 'utf8' });
    const documents = names
      .filter((name) => name.endsWith('.yaml'))
      .flatMap((name) => splitDocuments(readFileSync(join('samples/bookinfo', name), 'utf8')));
    const quick = documents.filter(({ text }) => agree(text));
    expect(documents.length).toBeGreaterThan(10);
    expect(quick.length).toBeGreaterThan(documents.length / 2);
  });

  it.each([
    ['a:\n- b\n- c: 1\n  d: x\ne: 10.0.0.1', { a: ['b', { c: 1, d: 'x' }], e: '10.0.0.1' }],
    ['---\n# of the shop\na:\nb: "x: y"\nc: \'#\'\n\nd: {}\ne: []\n', { a: null, b: 'x: y', c: '#', d: {}, e: [] }],
    ['a: -0\nb: 12', { a: -0, b: 12 }],
    ['a:\n    -   b: 1\n        c: -2\n', { a: [{ b: 1, c: -2 }] }],
  ])('reads %j', (text, value) => {
    expect(readQuickly(text)).toEqual({ value });
    expect(agree(text)).toBe(true);
  });

  it.each(['a: b: c', 'a: 1\na: 2', 'a: &x 1', 'a: |\n  b', 'a: b\n  c', 'a: 007', 'a: 2024-01-01', '<<: {}', 'a: é'])(
    'leaves %j to the whole parser',
    (text) => expect(readQuickly(text)).toBeUndefined(),
  );
});
