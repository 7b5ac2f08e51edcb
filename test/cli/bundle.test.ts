// What a command reads before it runs: few files, and nothing of the other commands.

import { build, type Metafile } from 'esbuild';
import { describe, expect, it } from 'vitest';
import { licenceOf, packagesOf, SERVER_BUNDLE } from '../../scripts/bundle-server.ts';

const { metafile } = await build({ ...SERVER_BUNDLE, write: false });

/** Files that are read when one is, and those modules that lie in them. */
function loadedBy(file: string, { outputs }: Metafile = metafile): { files: Set<string>; modules: Set<string> } {
  const files = new Set([file]);
  for (const each of files)
    for (const { path, kind } of outputs[each]?.imports ?? []) if (kind === 'import-statement') files.add(path);
  const modules = new Set([...files].flatMap((each) => Object.keys(outputs[each]?.inputs ?? {})));
  // What Node itself has is listed by its name.
  return { files: new Set([...files].filter((each) => each in outputs)), modules };
}

function partOf(module: string): string {
  const found = Object.entries(metafile.outputs).find(([, { entryPoint }]) => entryPoint === module);
  if (found === undefined) throw new Error(`no part begins with ${module}`);
  return found[0];
}

describe("the binary's files", () => {
  it('are few for a server', () => {
    const { files, modules } = loadedBy(partOf('src/cli/commands/serve.ts'));
    expect(modules.size).toBeGreaterThan(700);
    expect(files.size).toBeLessThan(60);
  });

  it('hold nothing of commands for one that is not asked for', () => {
    const { modules } = loadedBy('dist/main.js');
    const packages = [...modules].flatMap((file) => /^node_modules\/((?:@[^/]+\/)?[^/]+)/.exec(file)?.[1] ?? []);
    expect([...new Set(packages)]).toEqual(['commander']);
    expect([...modules].filter((file) => /^src\/[^/]+\//.test(file) && !file.startsWith('src/cli/'))).toEqual([]);
  });

  it("lie as deep as modules, by whose address the package's own files are found", () => {
    expect(Object.keys(metafile.outputs['dist/main.js']?.inputs ?? {})).toEqual(['src/main.ts']);
    const deep = Object.keys(metafile.outputs).filter((file) => !/^dist\/main\.js(\.map)?$/.test(file));
    expect(deep.filter((file) => !/^dist\/bundle\/[^/]+$/.test(file))).toEqual([]);
    expect(metafile.outputs).toHaveProperty(['dist/bundle/worker-main.js']);
  });

  it('leave out the client library of Kubernetes, which is large and rare', () => {
    expect(packagesOf(metafile)).not.toContain('node_modules/@kubernetes/client-node');
    expect(packagesOf(metafile)).toContain('node_modules/fastify');
  });

  it('go with the licences of the packages in them', () => {
    const text = /copyright|licen[cs]e/i;
    const none = packagesOf(metafile).filter((folder) => !text.test(licenceOf(folder).split('\n').slice(1).join('\n')));
    // Its package has no more to say of it than "MIT".
    expect(none).toEqual(['node_modules/abstract-logging']);
  });
});
