// How each kind of change reaches connected proxies: from the file that is replaced to every proxy that has it.

import { CHANGES, type ChangeKind } from '../changes.ts';
import { machineMs } from '../clock.ts';
import type { Notebook } from '../figures.ts';
import { median, quantile } from '../stats.ts';
import { cpuOf } from '../server/process.ts';
import { connect, inSession, type Session, type SessionOptions, settled } from './session.ts';

/** A change that takes longer is reported with those whom it has reached, ms. */
const PATIENCE = 60_000;

export async function propagation(options: SessionOptions, notes: Notebook): Promise<void> {
  await inSession(options, notes, async (session) => {
    await connect(session, session.proxies);
    await settled(session);
    for (const kind of CHANGES) await changed(session, kind);
  });
}

interface Round {
  readonly p50: number;
  readonly p99: number;
  readonly last: number;
  readonly reached: number;
  readonly cpu: number | undefined;
  readonly bytes: number;
  readonly needless: number;
  readonly responses: number;
}

async function changed(session: Session, kind: ChangeKind): Promise<void> {
  const { shape, folder, rounds, proxies, mode, notes } = session;
  const results: Round[] = [];
  for (let round = 0; round < rounds; round++) {
    results.push(await oneRound(session, kind, round));
    const undone = kind.undo?.(shape, round);
    if (undone === undefined) continue;
    folder.write(undone.file, undone.manifests);
    await settled(session);
  }
  const figure = (what: string, unit: string, pick: (round: Round) => number | undefined, series?: string): void =>
    notes.cost(
      `${mode}, ${kind.name}: ${what}`,
      unit,
      results.map(pick),
      series === undefined ? undefined : { chart: `propagation, ${mode}`, series, x: kind.name },
    );
  figure('p50', 'ms', ({ p50 }) => p50, 'p50');
  figure('p99', 'ms', ({ p99 }) => p99, 'p99');
  figure('last', 'ms', ({ last }) => last, 'last');
  figure('server CPU', 'ms', ({ cpu }) => cpu);
  figure('sent per proxy', 'kB', ({ bytes }) => bytes / proxies / 1000);
  figure('responses per proxy', '', ({ responses }) => responses / proxies);
  figure('needless bytes', '', ({ needless }) => needless);
  const missed = results.filter(({ reached }) => reached < proxies);
  if (missed.length > 0) notes.remark(`${kind.name}: did not reach every proxy in ${missed.length} rounds`);
}

async function oneRound(session: Session, kind: ChangeKind, round: number): Promise<Round> {
  const { shape, folder, fleet, server } = session;
  const { file, manifests, mark } = kind.make(shape, round);
  await fleet.track(mark);
  await fleet.reset();
  let times: readonly number[] = [];
  const cpu = await cpuOf(server, async () => {
    const from = machineMs();
    folder.write(file, manifests);
    const seen = await fleet.seen(1, PATIENCE);
    times = Object.values(seen).flatMap((moments) => moments.map((moment) => moment - from));
    await settled(session);
  });
  const { bytes, needlessBytes, responses } = await fleet.counts();
  return {
    p50: median(times),
    p99: quantile(times, 0.99),
    last: Math.max(...times),
    reached: times.length,
    cpu,
    bytes,
    needless: needlessBytes,
    responses,
  };
}
