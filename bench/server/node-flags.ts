// How other processes of a benchmark run TypeScript: as this one does, with what is built in place of its source.

export const TYPESCRIPT: string[] = [
  '--import',
  import.meta.resolve('tsx'),
  '--import',
  new URL('../built.mjs', import.meta.url).href,
];
