// Writes dist/cli/agent.cjs: the agent in one file. A file of CommonJS spares the loader of modules and what it keeps for
// each; names stay as they are, so that a stack trace can be read. Run by `npm run build`.

import { pathToFileURL } from 'node:url';
import { build, type BuildOptions, type Plugin } from 'esbuild';

/** Arithmetic of 64 bits for protobufjs, which does without; it brings V8's WebAssembly along, 1.5 MiB of each process. */
export const withoutLong: Plugin = {
  name: 'without-long',
  setup: (bundle) => {
    bundle.onResolve({ filter: /^long$/ }, () => ({ path: 'long', namespace: 'left-out' }));
    bundle.onLoad({ filter: /./, namespace: 'left-out' }, () => ({ contents: 'module.exports = undefined;' }));
  },
};

/** The bundle's options; a test looks at what comes in. */
export const AGENT_BUNDLE = {
  entryPoints: ['src/cli/agent-main.ts'],
  outfile: 'dist/cli/agent.cjs',
  bundle: true,
  platform: 'node',
  format: 'cjs',
  target: 'node20.19',
  // Rare beside a proxy, and loaded from where it is installed.
  external: ['yaml'],
  // Modules find files that lie beside them by their own address.
  define: { 'import.meta.url': 'address' },
  banner: { js: "const address = require('node:url').pathToFileURL(__filename).href;" },
  plugins: [withoutLong],
  // The text stays in memory. Lines are kept short for the positions in stack traces.
  minifyWhitespace: true,
  minifySyntax: true,
  lineLimit: 160,
  legalComments: 'none',
  logLevel: 'warning',
} satisfies BuildOptions;

if (import.meta.url === pathToFileURL(process.argv[1] ?? '').href) await build(AGENT_BUNDLE);
