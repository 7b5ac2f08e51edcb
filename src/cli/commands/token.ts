// `meltemi token NAMESPACE/SERVICEACCOUNT`: a token for a workload outside Kubernetes.

import { mintToken, openTokenKey } from '../../ca/token.ts';
import { durationMillis, parseDuration } from '../../lib/duration.ts';
import { type CommandContext, UsageError } from '../program.ts';

interface Flags {
  readonly stateDir: string;
  readonly ttl: string;
  readonly audience: string;
}

/** Prints the token alone, so that it can be written to a file. */
export async function token(workload: string, flags: Flags, context: CommandContext): Promise<number> {
  const [namespace = '', serviceAccount = '', ...rest] = workload.split('/');
  if (namespace === '' || serviceAccount === '' || rest.length > 0)
    throw new UsageError(`${workload}: expected NAMESPACE/SERVICEACCOUNT`, 64);
  const ttl = parseDuration(flags.ttl);
  if (ttl === undefined || durationMillis(ttl) < 1000)
    throw new UsageError(`--ttl ${flags.ttl}: expected a duration of a second or more, such as 24h`, 64);
  const key = await openTokenKey(flags.stateDir);
  const ttlSeconds = Math.floor(durationMillis(ttl) / 1000);
  context.out(
    await mintToken({ namespace, serviceAccount, ttlSeconds, audience: flags.audience }, key, { now: Date.now }),
  );
  return 0;
}
