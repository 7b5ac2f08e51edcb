// What a proxy and a service take of the server's memory: settled, after a collection, at several sizes; the slope counts,
// so that what a server holds anyway doesn't.

import type { Notebook } from '../figures.ts';
import { leastSquares, type Point } from '../stats.ts';
import { connect, inSession, type Session, type SessionOptions, settled } from './session.ts';

const STEPS = [0.25, 0.5, 1];

export async function memory(options: SessionOptions, notes: Notebook): Promise<void> {
  await perProxy(options, notes);
  await perService(options, notes);
}

interface Held {
  readonly size: number;
  readonly heap: number;
  readonly rss: number | undefined;
}

async function held(session: Session, size: number): Promise<Held> {
  await settled(session);
  const { heap, external } = await session.server.heap();
  return { size, heap: heap + external, rss: session.server.rssMb };
}

async function perProxy(options: SessionOptions, notes: Notebook): Promise<void> {
  const points: Held[] = [];
  await inSession(options, notes, async (session) => {
    let from = 0;
    for (const share of STEPS) {
      const size = Math.round(session.proxies * share);
      await connect(session, size - from, from);
      points.push(await held(session, size));
      from = size;
    }
  });
  describe(notes, 'proxy', points);
}

/** Without proxies it is the configuration alone; one proxy of each namespace adds all that is rendered. */
async function perService(options: SessionOptions, notes: Notebook): Promise<void> {
  const { shape } = options;
  const first = Math.round(shape.services * (STEPS[0] ?? 1));
  for (const rendered of [false, true]) {
    const points: Held[] = [];
    await inSession({ ...options, shape: { ...shape, services: first } }, notes, async (session) => {
      if (rendered) await connect(session, Math.min(shape.namespaces, first));
      let services = 0;
      for (const share of STEPS) {
        const size = Math.round(shape.services * share);
        if (services > 0) session.folder.writeServices(shape, services, size);
        services = size;
        points.push(await held(session, size));
      }
    });
    describe(notes, rendered ? 'service, rendered for each namespace' : 'service, as configuration', points);
  }
}

function describe(notes: Notebook, what: string, points: readonly Held[]): void {
  for (const { size, heap, rss } of points) {
    notes.cost(`${size} x ${what}: heap`, 'MB', [heap], { chart: `memory, by ${what}`, series: 'heap', x: size });
    notes.cost(`${size} x ${what}: RSS`, 'MB', [rss], { chart: `memory, by ${what}`, series: 'RSS', x: size });
  }
  const slope = (pick: (point: Held) => number | undefined): number | undefined => {
    const known = points.flatMap((point): Point[] => {
      const y = pick(point);
      return y === undefined ? [] : [{ x: point.size, y }];
    });
    const line = leastSquares(known);
    return line === undefined ? undefined : line.slope * 1024;
  };
  notes.cost(`each ${what}: heap`, 'KiB', [slope(({ heap }) => heap)]);
  notes.cost(`each ${what}: RSS`, 'KiB', [slope(({ rss }) => rss)]);
}
