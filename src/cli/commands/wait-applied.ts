// `meltemi wait --for=applied`: until every proxy that an object concerns has acknowledged it.
// Exit status: 0 taken by all (or concerning nobody), 1 refused by one or not within the time, 64 wrong usage.

import { setTimeout as pause } from 'node:timers/promises';
import { parseDuration } from '../../lib/duration.ts';
import type { Applied } from '../../plane/applied.ts';
import { askPage } from '../debug-page.ts';
import { type CommandContext, UsageError } from '../program.ts';

export interface WaitFlags {
  readonly xdsAddress: string;
  readonly for?: string;
  readonly generation?: string;
  readonly timeout: string;
}

const POLL_MS = 200;
const SHOWN = 5;

export async function waitApplied(object: string, flags: WaitFlags, { out }: CommandContext): Promise<number> {
  if (flags.for !== 'applied') throw new UsageError(`--for ${flags.for ?? ''}: expected applied`, 64);
  const [, kind, name, namespace = 'default'] = /^([A-Za-z]+)\/([^/.]+)(?:\.([^/]+))?$/.exec(object) ?? [];
  if (kind === undefined || name === undefined) throw new UsageError(`${object}: expected KIND/NAME[.NAMESPACE]`, 64);
  const generation = Number(flags.generation ?? 0);
  if (!Number.isInteger(generation)) throw new UsageError(`--generation ${flags.generation}: expected a number`, 64);
  const end = Date.now() + milliseconds(flags.timeout);
  for (;;) {
    const seen = await look(flags.xdsAddress, `${kind}/${namespace}/${name}`);
    if (typeof seen !== 'string' && seen.linked && seen.generation >= generation) {
      if (seen.refused.length > 0) {
        const [first] = seen.refused;
        throw new UsageError(
          `${object} is refused by ${seen.refused.length} proxies; ${first?.proxy}: ${first?.message}`,
        );
      }
      if (seen.waiting.length === 0) {
        out(`${object} applied: ${seen.taken} of ${seen.concerned} proxies`);
        return 0;
      }
    }
    if (Date.now() >= end)
      throw new UsageError(`${object} is not applied within ${flags.timeout}: ${why(seen, generation)}`);
    await pause(POLL_MS);
  }
}

/** The page, or what the server says in place of it: the object may be about to come. */
async function look(address: string, object: string): Promise<Applied | string> {
  try {
    return (await askPage(address, 'convergence', { object })) as Applied;
  } catch (error) {
    if (error instanceof UsageError && error.message.startsWith('there is no ')) return error.message;
    throw error;
  }
}

function why(seen: Applied | string, generation: number): string {
  if (typeof seen === 'string') return seen;
  if (seen.generation < generation) return `its generation is ${seen.generation}`;
  if (!seen.linked) return 'it is still being translated';
  const names = seen.waiting.slice(0, SHOWN).join(', ');
  return `${seen.taken} of ${seen.concerned} proxies have it, ${names}${seen.waiting.length > SHOWN ? ' and others' : ''} have not`;
}

function milliseconds(text: string): number {
  const duration = parseDuration(text);
  if (duration === undefined) throw new UsageError(`--timeout ${text}: expected a duration such as 30s`, 64);
  return duration.seconds * 1000 + duration.nanos / 1e6;
}
