// Brings into dist what the compiler does not: every file of src that is not TypeScript, and the console's page.
// Run by `npm run build`, after the compiler.
import { cpSync, existsSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

const at = (path: string): string => fileURLToPath(new URL(`../${path}`, import.meta.url));

cpSync(at('src'), at('dist'), { recursive: true, filter: (source) => !/\.tsx?$/.test(source) });
if (existsSync(at('web'))) cpSync(at('web'), at('dist/web'), { recursive: true });
