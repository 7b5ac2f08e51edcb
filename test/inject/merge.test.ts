import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { jsonPatch } from '../../src/inject/json-patch.ts';
import { strategicMerge } from '../../src/inject/merge.ts';
import { applyPatch } from './support.ts';

const spec = (value: object) => ({ spec: value });

// As the API server merges a patch of content type application/strategic-merge-patch+json.
describe('strategic merge', () => {
  it.each<[string, object, object, object]>([
    ['maps by key', { a: { x: 1, y: 2 } }, { a: { y: 3, z: 4 } }, { a: { x: 1, y: 3, z: 4 } }],
    ['null deletes', { a: 1, b: { c: 2 } }, { a: null, b: { c: null } }, { b: {} }],
    [
      'lists without a key are replaced',
      spec({ tolerations: [1] }),
      spec({ tolerations: [2] }),
      spec({ tolerations: [2] }),
    ],
    [
      'containers by name, in place',
      spec({
        containers: [
          { name: 'a', image: '1' },
          { name: 'b', image: '1' },
        ],
      }),
      spec({ containers: [{ name: 'b', image: '2' }] }),
      spec({
        containers: [
          { name: 'a', image: '1' },
          { name: 'b', image: '2' },
        ],
      }),
    ],
    [
      'new items come before old ones',
      spec({ volumes: [{ name: 'old', emptyDir: {} }] }),
      spec({ volumes: [{ name: 'new', emptyDir: {} }] }),
      spec({
        volumes: [
          { name: 'new', emptyDir: {} },
          { name: 'old', emptyDir: {} },
        ],
      }),
    ],
    [
      'env, ports and mounts inside of containers',
      spec({
        containers: [
          {
            name: 'a',
            env: [{ name: 'X', value: '1' }],
            ports: [{ containerPort: 80, name: 'h' }],
            volumeMounts: [{ mountPath: '/a', name: 'v' }],
            args: ['1'],
          },
        ],
      }),
      spec({
        containers: [
          {
            name: 'a',
            env: [{ name: 'X', value: '2' }],
            ports: [{ containerPort: 80, protocol: 'TCP' }],
            volumeMounts: [{ mountPath: '/a', name: 'w' }],
            args: ['2', '3'],
          },
        ],
      }),
      spec({
        containers: [
          {
            name: 'a',
            env: [{ name: 'X', value: '2' }],
            ports: [{ containerPort: 80, name: 'h', protocol: 'TCP' }],
            volumeMounts: [{ mountPath: '/a', name: 'w' }],
            args: ['2', '3'],
          },
        ],
      }),
    ],
    [
      '$patch: delete of an item',
      spec({ containers: [{ name: 'a' }, { name: 'b' }] }),
      spec({ containers: [{ name: 'a', $patch: 'delete' }] }),
      spec({ containers: [{ name: 'b' }] }),
    ],
    ['$patch: replace of a map', { a: { x: 1 } }, { a: { y: 2, $patch: 'replace' } }, { a: { y: 2 } }],
    ['$patch: delete of a map', { a: { x: 1 }, b: 1 }, { a: { $patch: 'delete' } }, { a: {}, b: 1 }],
    [
      '$patch: replace of a list',
      spec({ initContainers: [{ name: 'a' }, { name: 'b' }] }),
      spec({ initContainers: [{ name: 'c' }, { $patch: 'replace' }] }),
      spec({ initContainers: [{ name: 'c' }] }),
    ],
    ['$retainKeys', { a: { x: 1, y: 2 } }, { a: { $retainKeys: ['x', 'z'], z: 3 } }, { a: { x: 1, z: 3 } }],
    [
      '$deleteFromPrimitiveList',
      { metadata: { finalizers: ['a', 'b'] } },
      { metadata: { '$deleteFromPrimitiveList/finalizers': ['a'] } },
      { metadata: { finalizers: ['b'] } },
    ],
    [
      'finalizers are united',
      { metadata: { finalizers: ['a'] } },
      { metadata: { finalizers: ['b', 'a'] } },
      { metadata: { finalizers: ['a', 'b'] } },
    ],
    [
      'a volume has one source',
      spec({ volumes: [{ name: 'v', emptyDir: {} }] }),
      spec({ volumes: [{ name: 'v', hostPath: { path: '/x' } }] }),
      spec({ volumes: [{ name: 'v', hostPath: { path: '/x' } }] }),
    ],
    [
      'host aliases by address',
      spec({ hostAliases: [{ ip: '1.1.1.1', hostnames: ['a'] }] }),
      spec({ hostAliases: [{ ip: '1.1.1.1', hostnames: ['b'] }] }),
      spec({ hostAliases: [{ ip: '1.1.1.1', hostnames: ['b'] }] }),
    ],
  ])('%s', (_name, target, patch, expected) => {
    const before = JSON.stringify(target);
    expect(strategicMerge(target as never, patch as never)).toEqual(expected);
    expect(JSON.stringify(target)).toBe(before);
  });

  it.each([
    [spec({ containers: [{ image: 'x' }] }), 'spec.containers[0] has no name'],
    [spec({ containers: ['x'] }), 'spec.containers[0] is no object'],
    [
      spec({ containers: [{ name: 'a', volumeMounts: [{ name: 'v' }] }] }),
      'spec.containers.*.volumeMounts[0] has no mountPath',
    ],
  ])('refuses %j', (patch, message) => {
    expect(() => strategicMerge(spec({ containers: [] }) as never, patch as never)).toThrow(message);
  });
});

describe('JSON patch', () => {
  const json = fc.letrec((tie) => ({
    value: fc.oneof(
      { maxDepth: 3 },
      fc.integer({ min: 0, max: 3 }),
      fc.constantFrom('a', 'b', 'a/b', 'm~n'),
      fc.array(tie('value'), { maxLength: 4 }),
      fc.dictionary(fc.constantFrom('k', 'a/b', 'm~n', 'z', ''), tie('value'), { maxKeys: 4 }),
    ),
  })).value;

  it('leads from any value to any other', () => {
    fc.assert(
      fc.property(json, json, (before, after) => {
        const wrap = (value: unknown) => ({ root: value });
        expect(applyPatch(wrap(before), jsonPatch(wrap(before), wrap(after)))).toEqual(wrap(after));
      }),
      { numRuns: 300 },
    );
  });

  it('is empty between equal values, and short where an item is put in front', () => {
    expect(jsonPatch({ a: [1, 2] }, { a: [1, 2] })).toEqual([]);
    expect(jsonPatch({ a: ['x', 'y'] }, { a: ['n', 'x', 'y'] })).toEqual([{ op: 'add', path: '/a/0', value: 'n' }]);
  });
});
