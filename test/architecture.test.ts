import { readFileSync } from 'node:fs';
import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { LAYERS, lintConfig } from '../scripts/layers.ts';

function sources(folder: string): readonly string[] {
  return readdirSync(folder, { recursive: true, encoding: 'utf8' })
    .filter((name) => name.endsWith('.ts') && !name.includes('generated'))
    .map((name) => join(folder, name));
}

/** `../ir/draft.ts` of `src/plane/x.ts` leads to the folder `ir`. */
function importedFolders(file: string): readonly string[] {
  const text = readFileSync(file, 'utf8');
  const imports = [...text.matchAll(/from '(\.[^']+)'|import\('(\.[^']+)'\)/g)].map(
    (found) => found[1] ?? found[2] ?? '',
  );
  return imports.map((path) => join(file, '..', path).split('/')[1] ?? '');
}

describe('the table of folders', () => {
  it('is what lint enforces', () => {
    expect(readFileSync('.oxlintrc.json', 'utf8')).toBe(lintConfig());
  });

  it('has a row for every folder', () => {
    const folders = readdirSync('src', { withFileTypes: true }).filter(
      (entry) => entry.isDirectory() && entry.name !== 'server',
    );
    expect(folders.map((entry) => entry.name).sort()).toEqual(Object.keys(LAYERS).sort());
  });

  it.each(Object.keys(LAYERS))('%s imports only what its row allows', (folder) => {
    const allowed = new Set([folder, ...(LAYERS[folder]?.imports ?? [])]);
    const offenders = sources(join('src', folder)).flatMap((file) =>
      importedFolders(file)
        .filter((other) => !allowed.has(other))
        .map((other) => `${file} -> ${other}`),
    );
    expect(offenders).toEqual([]);
  });
});

describe('decisions', () => {
  it('have numbers of their own', () => {
    const numbers = readdirSync('docs/decisions').map((name) => name.slice(0, 4));
    expect(new Set(numbers).size).toBe(numbers.length);
  });
});
