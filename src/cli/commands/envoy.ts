// `meltemi envoy install|path`.

import { ensureEnvoy, findEnvoy } from '../envoy-binary.ts';
import { type CommandContext, UsageError } from '../program.ts';

/** Installs a version of Envoy unless it is there, and prints its path. */
export async function installEnvoy(flags: { readonly version?: string }, context: CommandContext): Promise<number> {
  const exact = flags.version !== undefined;
  try {
    context.out(await ensureEnvoy({ env: context.env, version: flags.version, exact, onInstall: context.err }));
    return 0;
  } catch (error) {
    throw new UsageError(error instanceof Error ? error.message : String(error));
  }
}

/** Prints the Envoy that would be run, without installing one. */
export async function envoyPath(context: CommandContext): Promise<number> {
  const path = findEnvoy({ env: context.env });
  if (path === undefined)
    throw new UsageError('no Envoy here: run `meltemi envoy install`, set ENVOY or put envoy on PATH');
  context.out(path);
  return 0;
}
