// The table of folders and what each may import, and the lint configuration made from it.
// `tsx scripts/layers.ts` rewrites .oxlintrc.json; a test refuses a file that doesn't match this table.

import { writeFileSync } from 'node:fs';
import { pathToFileURL } from 'node:url';

interface Layer {
  readonly imports: readonly string[];
  /** No Node, no clock, no randomness: see tsconfig.pure.json. */
  readonly pure?: true;
  /** Packages that only this folder may use. */
  readonly packages?: readonly string[];
}

export const LAYERS: Readonly<Record<string, Layer>> = {
  lib: { imports: [], pure: true },
  config: { imports: ['lib'], pure: true },
  ir: { imports: ['lib', 'config'], pure: true },
  messages: { imports: [], pure: true },
  codec: { imports: ['lib', 'messages'], pure: true, packages: ['protobufjs'] },
  sources: { imports: ['lib', 'config', 'codec'], packages: ['@kubernetes/client-node', 'yaml'] },
  store: { imports: ['lib', 'config'], packages: ['re2js'] },
  registry: { imports: ['lib', 'config', 'ir'], pure: true },
  snapshot: { imports: ['lib', 'config', 'ir', 'registry'], pure: true },
  analyze: { imports: ['lib', 'config', 'ir', 'registry', 'snapshot'], pure: true },
  translate: { imports: ['lib', 'config', 'ir', 'messages', 'codec'], pure: true, packages: ['re2js'] },
  resources: { imports: ['lib', 'ir', 'codec'] },
  grpc: { imports: ['lib'] },
  xds: { imports: ['lib', 'grpc', 'resources', 'codec'], packages: ['protobufjs', '@grpc/grpc-js'] },
  plane: {
    imports: [
      'lib',
      'config',
      'ir',
      'messages',
      'codec',
      'store',
      'registry',
      'snapshot',
      'translate',
      'resources',
      'xds',
    ],
  },
  controllers: { imports: ['lib', 'config', 'sources', 'store', 'registry', 'registration', 'plane', 'ca'] },
  ca: { imports: ['lib', 'config', 'messages', 'codec'], packages: ['@grpc/grpc-js', 'node-forge', 'jose'] },
  agent: { imports: ['lib', 'grpc', 'codec', 'messages', 'ca'] },
  cni: { imports: ['lib'] },
  inject: { imports: ['lib', 'config'], pure: true },
  registration: { imports: ['lib', 'config'] },
  workers: { imports: ['lib', 'grpc', 'resources', 'xds'] },
  console: {
    imports: ['lib', 'config', 'ir', 'messages', 'codec', 'resources', 'xds', 'plane', 'telemetry'],
    packages: ['fastify'],
  },
  telemetry: { imports: ['lib'], packages: ['pino', 'prom-client'] },
  cli: {
    imports: [
      ...[
        'lib',
        'config',
        'ir',
        'messages',
        'codec',
        'sources',
        'store',
        'analyze',
        'resources',
        'xds',
        'plane',
        'ca',
        'agent',
        'cni',
        'inject',
        'translate',
      ],
      ...['console', 'telemetry', 'server', 'server.ts'],
    ],
    packages: ['commander', 'yaml', '@grpc/grpc-js', 're2js', '@kubernetes/client-node'],
  },
};

const GUARDED_PACKAGES = [...new Set(Object.values(LAYERS).flatMap((layer) => layer.packages ?? []))].sort();

/** Deepest nesting of folders below src/FOLDER that the patterns cover. */
const DEPTH = 3;

function restrictedImports(folder: string, layer: Layer): unknown {
  const denied = Object.keys(LAYERS).filter((other) => other !== folder && !layer.imports.includes(other));
  const up = Array.from({ length: DEPTH }, (_, i) => '../'.repeat(i + 1));
  const groups = denied.flatMap((other) => up.map((prefix) => `${prefix}${other}/**`));
  const packages = GUARDED_PACKAGES.filter((name) => !(layer.packages ?? []).includes(name)).flatMap((name) => [
    name,
    `${name}/**`,
  ]);
  const node = layer.pure === true ? ['node:*'] : [];
  const patterns = [
    {
      group: [...groups, ...(layer.imports.includes('server.ts') ? [] : up.map((prefix) => `${prefix}server.ts`))],
      message: `src/${folder} may not import this folder (scripts/layers.ts)`,
    },
    { group: [...packages, ...node], message: `src/${folder} may not use this package (scripts/layers.ts)` },
  ];
  return ['error', { patterns }];
}

/** The lint configuration as JSON text. */
export function lintConfig(): string {
  const pure = Object.entries(LAYERS).flatMap(([folder, layer]) => (layer.pure === true ? [`src/${folder}/**`] : []));
  const config = {
    $schema: './node_modules/oxlint/configuration_schema.json',
    plugins: ['typescript', 'import', 'unicorn', 'oxc', 'promise'],
    categories: { correctness: 'error', suspicious: 'off', perf: 'off' },
    options: { typeAware: true },
    ignorePatterns: ['**/generated/**', 'dist/**'],
    rules: {
      'typescript/no-floating-promises': 'error',
      'typescript/no-misused-promises': 'error',
      'typescript/switch-exhaustiveness-check': 'error',
      'typescript/no-explicit-any': 'error',
      'typescript/consistent-type-imports': 'error',
      'import/no-cycle': 'error',
      eqeqeq: 'error',
      'no-var': 'error',
      'prefer-const': 'error',
      // Flags and their values read best in groups.
      'unicorn/no-useless-spread': 'off',
      'max-lines': ['error', { max: 400, skipBlankLines: false, skipComments: false }],
    },
    overrides: [
      ...Object.entries(LAYERS).map(([folder, layer]) => ({
        files: [`src/${folder}/**`],
        rules: { 'no-restricted-imports': restrictedImports(folder, layer) },
      })),
      {
        files: pure,
        rules: {
          'no-restricted-globals': ['error', 'process', 'Buffer', 'setTimeout', 'setInterval', 'setImmediate', 'Date'],
          'no-restricted-properties': ['error', { object: 'Math', property: 'random' }],
        },
      },
      {
        files: ['test/**', 'bench/**', 'scripts/**', 'samples/**'],
        rules: {
          'max-lines': 'off',
          'typescript/unbound-method': 'off',
          'typescript/no-base-to-string': 'off',
          'typescript/restrict-template-expressions': 'off',
          'typescript/require-array-sort-compare': 'off',
        },
      },
    ],
  };
  return `${JSON.stringify(config, undefined, 2)}\n`;
}

if (import.meta.url === pathToFileURL(process.argv[1] ?? '').href) writeFileSync('.oxlintrc.json', lintConfig());
