// Whatever is done to a folder, in whatever order: what is served becomes what a fresh start would serve.
import { mkdir, rename, rm, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import fc from 'fast-check';
import { describe, it } from 'vitest';
import { KINDS } from '../../src/config/kinds.ts';
import { tableValues } from '../../src/lib/table.ts';
import { fileSource } from '../../src/sources/files.ts';
import type { StoreState } from '../../src/store/state.ts';
import { folderRig, newStore, quietLog, realTimers, untilState, virtualService } from './harness.ts';

const FILES = ['a.yaml', 'b.yaml', 'x/a.yaml', 'x/y/b.yaml', 'c.json'];

const operation = fc.oneof(
  fc.record({
    kind: fc.constant('put' as const),
    file: fc.constantFrom(...FILES),
    names: fc.subarray(['p', 'q', 'r']),
    weight: fc.integer({ min: 0, max: 100 }),
  }),
  fc.record({
    kind: fc.constant('write' as const),
    file: fc.constantFrom(...FILES),
    names: fc.subarray(['p', 'q', 'r']),
    weight: fc.integer({ min: 0, max: 100 }),
  }),
  fc.record({ kind: fc.constant('remove' as const), file: fc.constantFrom(...FILES, 'x', 'x/y') }),
  fc.record({
    kind: fc.constant('move' as const),
    file: fc.constantFrom(...FILES, 'x'),
    to: fc.constantFrom('m.yaml', 'n', 'x/k.yaml'),
  }),
);

type Operation = typeof operation extends fc.Arbitrary<infer T> ? T : never;

function contentOf(file: string, names: readonly string[], weight: number): string {
  if (!file.endsWith('.json')) return names.map((name) => virtualService(name, weight)).join('---\n');
  const items = names.map((name) => ({
    apiVersion: 'v1',
    kind: 'ConfigMap',
    metadata: { name },
    data: { weight: String(weight) },
  }));
  return JSON.stringify({ apiVersion: 'v1', kind: 'List', items });
}

async function perform(dir: string, each: Operation, serial: number): Promise<void> {
  const path = join(dir, each.file);
  const quietly = async (work: Promise<unknown>): Promise<void> => {
    // A folder in the place of a file, a missing source: the operation does not happen.
    await work.catch(() => undefined);
  };
  switch (each.kind) {
    case 'put':
    case 'write': {
      const text = contentOf(each.file, each.names, each.weight);
      await quietly(mkdir(dirname(path), { recursive: true }));
      if (each.kind === 'write') return quietly(writeFile(path, text));
      const temporary = join(dirname(dir), `tmp-${serial}`);
      await writeFile(temporary, text);
      return quietly(rename(temporary, path));
    }
    case 'remove':
      return quietly(rm(path, { recursive: true, force: true }));
    case 'move':
      return quietly(rename(path, join(dir, each.to)));
  }
}

function digest(state: StoreState): string {
  const objects = KINDS.flatMap(({ kind }) => [...tableValues(state.byKind[kind])]).map((object) =>
    JSON.stringify([object.kind, object.namespace, object.name, object.spec]),
  );
  return [...objects.sort(), ...state.findings.map((finding) => JSON.stringify(finding))].join('\n');
}

describe('a folder under any treatment', () => {
  it('ends where a fresh start ends', async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(operation, { minLength: 1, maxLength: 15 }), async (operations) => {
        const rig = await folderRig({ 'a.yaml': virtualService('p') });
        try {
          await rig.start();
          for (const [serial, each] of operations.entries()) await perform(rig.dir, each, serial);
          const fresh = newStore();
          const source = fileSource({ dir: rig.dir, log: quietLog, timers: realTimers });
          await source.start(fresh.sink('fresh'));
          await source.stop();
          const wanted = digest(fresh.state());
          await untilState(
            rig.store,
            `the state of a fresh start:\n${wanted}\nbut it is`,
            (state) => digest(state) === wanted,
          );
        } finally {
          await rig.close();
        }
      }),
      { numRuns: 25 },
    );
  });
});
