// Endpoints that change at a steady rate, those of another service each time.

import { CHURN_MARK, churnAddress } from '../changes.ts';
import { machineMs, pause } from '../clock.ts';
import type { Notebook } from '../figures.ts';
import { serviceManifests } from '../mesh.ts';
import { fileOf } from '../mesh-folder.ts';
import { median, quantile } from '../stats.ts';
import { cpuOf } from '../server/process.ts';
import { connect, inSession, type Session, type SessionOptions, settled } from './session.ts';

export interface ChurnOptions extends SessionOptions {
  /** Changes a second, and for how many seconds. */
  readonly rate: number;
  readonly seconds: number;
}

export async function churn(options: ChurnOptions, notes: Notebook): Promise<void> {
  await inSession(options, notes, async (session) => {
    await connect(session, session.proxies);
    await settled(session);
    await measured(session, options);
  });
}

async function measured(session: Session, { rate, seconds }: ChurnOptions): Promise<void> {
  const { fleet, server, notes, proxies, mode } = session;
  await fleet.track(CHURN_MARK);
  await fleet.reset();
  const from = machineMs();
  let written = new Map<string, number>();
  const cpu = await cpuOf(server, async () => {
    written = await changing(session, { rate, count: rate * seconds });
    await settled(session);
  });
  const took = (machineMs() - from) / 1000;
  const seen = await fleet.seen(0, 0);
  const times = Object.entries(seen).flatMap(([address, moments]) =>
    moments.map((moment) => moment - (written.get(address) ?? Number.NaN)),
  );
  const { bytes, responses, needlessBytes } = await fleet.counts();
  const name = (what: string): string => `${mode}, ${rate}/s for ${seconds} s: ${what}`;
  notes.cost(name('p50'), 'ms', [median(times)]);
  notes.cost(name('p99'), 'ms', [quantile(times, 0.99)]);
  notes.cost(name('last'), 'ms', [Math.max(...times)]);
  notes.note(name('changes seen by every proxy'), '%', [(100 * times.length) / (written.size * proxies)]);
  notes.cost(name('server CPU per second'), 'ms', [cpu === undefined ? undefined : cpu / took]);
  notes.cost(name('sent per proxy'), 'kB', [bytes / proxies / 1000]);
  notes.note(name('responses per proxy'), '', [responses / proxies]);
  notes.cost(name('needless bytes'), '', [needlessBytes]);
}

/** Writes so many changes, evenly spread; gives the moment of each by its address. */
export async function changing(
  { shape, folder }: Session,
  { rate, count, first = 0 }: { readonly rate: number; readonly count: number; readonly first?: number },
): Promise<Map<string, number>> {
  const written = new Map<string, number>();
  const from = machineMs();
  for (let i = 0; i < count; i++) {
    await pause(Math.max(0, from + (i * 1000) / rate - machineMs()));
    const address = churnAddress(first + i);
    const index = (first + i) % shape.services;
    written.set(address, machineMs());
    folder.write(fileOf(index), serviceManifests(shape, index, { last: address }));
  }
  return written;
}
