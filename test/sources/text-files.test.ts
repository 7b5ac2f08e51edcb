import { mkdtemp, rename, rm, symlink, mkdir, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, describe, expect, it } from 'vitest';
import { type TextFiles, textFiles } from '../../src/sources/text-files.ts';
import { quietLog, realTimers } from './harness.ts';

const cleanups: (() => Promise<void>)[] = [];

afterEach(async () => {
  for (const cleanup of cleanups.splice(0).toReversed()) await cleanup();
});

interface Rig {
  readonly folder: string;
  readonly texts: TextFiles;
  text(): string | undefined;
  /** All texts that were announced, in order. */
  readonly seen: (string | undefined)[];
  until(text: string | undefined): Promise<void>;
}

async function rigOf(name = 'config'): Promise<Rig> {
  const folder = await mkdtemp(join(tmpdir(), 'meltemi-texts-'));
  cleanups.push(() => rm(folder, { recursive: true, force: true }));
  const file = join(folder, name);
  const seen: (string | undefined)[] = [];
  const waiting = new Set<() => void>();
  const onChange = (): void => {
    seen.push(texts.text(file));
    for (const look of waiting) look();
  };
  const texts = textFiles({ files: [file], log: quietLog, timers: realTimers, onChange });
  cleanups.push(() => texts.stop());
  const until = (text: string | undefined): Promise<void> =>
    new Promise((done) => {
      const look = (): void => {
        if (texts.text(file) === text) done();
      };
      waiting.add(look);
      look();
    });
  return { folder, texts, text: () => texts.text(file), seen, until };
}

describe('text files', () => {
  it('are absent until they are there, in a folder that comes later too', async () => {
    const { folder, texts, until, text } = await rigOf('later/config');
    await texts.start();
    expect(text()).toBeUndefined();
    await mkdir(join(folder, 'later'));
    await writeFile(join(folder, 'later/config'), 'one');
    // Nothing watches a folder that is not there: the sweep finds it.
    await until('one');
  }, 15_000);

  it('are not lost for the moment in which they are replaced', async () => {
    const { folder, texts, until, seen } = await rigOf();
    await writeFile(join(folder, 'config'), 'one');
    await texts.start();
    await rm(join(folder, 'config'));
    await writeFile(join(folder, 'config'), '');
    await writeFile(join(folder, 'config'), 'two');
    await until('two');
    expect(seen).toEqual(['one', 'two']);
  });

  it('are gone when they stay away', async () => {
    const { folder, texts, until, seen } = await rigOf();
    await writeFile(join(folder, 'config'), 'one');
    await texts.start();
    await rm(join(folder, 'config'));
    await until(undefined);
    expect(seen).toEqual(['one', undefined]);
  });

  it('follow the swap of a mounted ConfigMap', async () => {
    const { folder, texts, until, text } = await rigOf();
    const volume = async (version: string, content: string): Promise<void> => {
      await mkdir(join(folder, version));
      await writeFile(join(folder, version, 'config'), content);
      await symlink(version, join(folder, 'tmp'));
      await rename(join(folder, 'tmp'), join(folder, '..data'));
    };
    await volume('..1', 'one');
    await symlink('..data/config', join(folder, 'config'));
    await texts.start();
    expect(text()).toBe('one');
    await volume('..2', 'two');
    await until('two');
  });

  it('keep their last good text where they can not be read', async () => {
    const { folder, texts, until, seen } = await rigOf();
    await writeFile(join(folder, 'config'), 'one');
    await texts.start();
    await writeFile(join(folder, 'next'), new Uint8Array([0xff, 0xfe, 0x00]));
    await rename(join(folder, 'next'), join(folder, 'config'));
    await writeFile(join(folder, 'next'), 'three');
    await rename(join(folder, 'next'), join(folder, 'config'));
    await until('three');
    expect(seen).toEqual(['one', 'three']);
  });
});
