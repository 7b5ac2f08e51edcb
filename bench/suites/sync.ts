// Proxies that connect, all at once: to a server that has served nobody yet, and again as fresh ones after others.

import type { Notebook } from '../figures.ts';
import { median, quantile } from '../stats.ts';
import { cpuOf } from '../server/process.ts';
import { connect, inSession, type Session, type SessionOptions, settled } from './session.ts';

export async function sync(options: SessionOptions, notes: Notebook): Promise<void> {
  await inSession(options, notes, async (session) => {
    await timedSync(session, 'cold');
    await session.fleet.disconnect();
    await settled(session);
    await timedSync(session, 'warm');
  });
}

/** One sync of the session's proxies with its figures. */
export async function timedSync(session: Session, which: 'cold' | 'warm'): Promise<void> {
  const { server, fleet, notes, proxies, mode } = session;
  await fleet.reset();
  let times: readonly number[] = [];
  const cpu = await cpuOf(server, async () => {
    times = await connect(session, proxies);
    await settled(session);
  });
  const counts = await fleet.counts();
  const name = (what: string): string => `${mode}, ${which}: ${what}`;
  notes.cost(name('half of the proxies in sync'), 'ms', [median(times)]);
  notes.cost(name('p99 in sync'), 'ms', [quantile(times, 0.99)]);
  notes.cost(name('all in sync'), 'ms', [Math.max(...times)]);
  notes.cost(name('server CPU'), 'ms', [cpu], { chart: 'sync', series: which, x: mode });
  notes.cost(name('server CPU per proxy'), 'ms', [cpu === undefined ? undefined : cpu / proxies]);
  notes.cost(name('sent per proxy'), 'kB', [counts.bytes / proxies / 1000]);
  notes.note(name('responses per proxy'), '', [counts.responses / proxies]);
  notes.cost(name('needless bytes'), '', [counts.needlessBytes]);
  notes.cost(name('streams lost'), '', [counts.lost]);
  notes.cost(name('server memory at the peak (RSS)'), 'MB', [server.peakMb]);
  notes.cost(name('server memory settled (RSS)'), 'MB', [server.rssMb]);
}
