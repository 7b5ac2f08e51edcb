// Files that a command is given by -f: a file, a folder, or standard input as `-`.

import { readdir, readFile, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { text as textOfStream } from 'node:stream/consumers';
import { isConfigName } from '../sources/folder-scan.ts';
import { UsageError } from './program.ts';

export interface Input {
  /** As the user knows it; `-` for standard input. */
  readonly name: string;
  readonly text: string;
}

/** Reads one after the other; folders with all that is in them. Exit status 65 would be for what can't be parsed. */
export async function readInputs(names: readonly string[], stdin: NodeJS.ReadableStream): Promise<readonly Input[]> {
  const inputs: Input[] = [];
  for (const name of names) {
    if (name === '-') inputs.push({ name, text: await textOfStream(stdin) });
    else for (const file of await filesOf(name)) inputs.push({ name: file, text: await readFile(file, 'utf8') });
  }
  return inputs;
}

async function filesOf(name: string): Promise<readonly string[]> {
  try {
    if (!(await stat(name)).isDirectory()) return [name];
    const entries = await readdir(name, { recursive: true, withFileTypes: true });
    return entries
      .filter((entry) => entry.isFile() && isConfigName(entry.name))
      .map((entry) => join(entry.parentPath, entry.name))
      .toSorted();
  } catch (error) {
    throw new UsageError(`${name}: ${error instanceof Error ? error.message : String(error)}`);
  }
}
