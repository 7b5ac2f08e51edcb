// Writes over dist/main.js and makes dist/bundle/: the binary and the process of a worker, their dependencies included, in as few
// files as loading commands one by one allows. Finding and reading 900 modules was a fifth of the CPU until a server of 8,000
// objects is ready. The rest of dist/ stays as the compiler wrote it, for benchmarks. Run by `npm run build`.

import { readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { build, type BuildOptions, type Metafile } from 'esbuild';
import { withoutLong } from './bundle-agent.ts';

/** What packages written as CommonJS load of Node itself. */
const REQUIRE =
  "import { createRequire as nodeRequire } from 'node:module'; const require = nodeRequire(import.meta.url);";

/** The bundle's options; a test looks at what comes in. */
export const SERVER_BUNDLE = {
  // All but the entry lie as deep as the modules do, which find the package's own files by their address.
  entryPoints: { main: 'src/main.ts', 'bundle/worker-main': 'src/server/worker-main.ts' },
  outdir: 'dist',
  chunkNames: 'bundle/[name]-[hash]',
  bundle: true,
  splitting: true,
  metafile: true,
  platform: 'node',
  format: 'esm',
  target: 'node20.19',
  // Rare, and large.
  external: ['@kubernetes/client-node'],
  plugins: [withoutLong],
  banner: { js: REQUIRE },
  sourcemap: true,
  sourcesContent: false,
  // Reading it is a part of every start: a tenth of that is white space. Names stay, and so do lines to point at.
  minifyWhitespace: true,
  lineLimit: 160,
  legalComments: 'none',
  logLevel: 'warning',
} satisfies BuildOptions;

/** Folders of the packages that the bundle holds code of. */
export function packagesOf({ inputs }: Metafile): readonly string[] {
  const folders = Object.keys(inputs).map((file) => /^.*node_modules\/(@[^/]+\/)?[^/]+/.exec(file)?.[0]);
  return [...new Set(folders.filter((folder) => folder !== undefined))].sort();
}

/** What a package's licence asks to go with its code. */
export function licenceOf(folder: string): string {
  const { name, version, license } = JSON.parse(readFileSync(join(folder, 'package.json'), 'utf8')) as Package;
  const texts = readdirSync(folder)
    .filter((file) => /^(licen[cs]e|notice|copying)/i.test(file))
    .map((file) => readFileSync(join(folder, file), 'utf8').trim());
  return [`${name} ${version} (${license})`, ...texts].join('\n\n');
}

interface Package {
  readonly name: string;
  readonly version: string;
  readonly license: string;
}

async function write(): Promise<void> {
  // Names of parts hold a hash of what is in them.
  rmSync('dist/bundle', { recursive: true, force: true });
  const { metafile } = await build(SERVER_BUNDLE);
  const licences = packagesOf(metafile).map(licenceOf);
  writeFileSync('dist/bundle/LICENSES.txt', `${licences.join(`\n\n${'-'.repeat(80)}\n\n`)}\n`);
}

if (import.meta.url === pathToFileURL(process.argv[1] ?? '').href) await write();
