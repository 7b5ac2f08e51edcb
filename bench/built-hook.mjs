import { existsSync } from 'node:fs';

const SOURCE = new URL('../src/', import.meta.url).href;
const BUILT = new URL('../dist/', import.meta.url).href;

/** @type {import('node:module').ResolveHook} */
export async function resolve(specifier, context, next) {
  const found = await next(specifier, context);
  if (!found.url.startsWith(SOURCE)) return found;
  const url = BUILT + found.url.slice(SOURCE.length).replace(/\.ts(?=$|\?)/, '.js');
  if (!existsSync(new URL(url))) throw new Error(`${url} is not there: run \`npm run build\` first`);
  return { ...found, url, format: 'module' };
}
