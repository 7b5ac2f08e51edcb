// The chart's injection templates as a module: what is injected where no ConfigMap says otherwise.

import { readdirSync, readFileSync } from 'node:fs';

const FOLDER = new URL('../../charts/meltemi/files/injection/', import.meta.url);

/** Source text of `export const TEMPLATES`: template texts by name. */
export function injectionTemplates(): string {
  const files = readdirSync(FOLDER).toSorted();
  const entries = files.map(
    (file) =>
      `  ${JSON.stringify(file.replace(/\.yaml$/, ''))}: ${JSON.stringify(readFileSync(new URL(file, FOLDER), 'utf8'))},\n`,
  );
  return `export const TEMPLATES: Readonly<Record<string, string>> = {\n${entries.join('')}};\n`;
}
