// Hours in minutes: endpoints change, proxies come back, and every so often all is as it was in the beginning. What the
// server holds then must be what it held then; else something is not given back.

import { machineMs } from '../clock.ts';
import type { Notebook } from '../figures.ts';
import { serviceManifests } from '../mesh.ts';
import { fileOf } from '../mesh-folder.ts';
import { changing } from './churn.ts';
import { connect, inSession, type Session, type SessionOptions, settled } from './session.ts';

export interface SoakOptions extends SessionOptions {
  readonly minutes: number;
  readonly rate: number;
  /** Called with each floor. */
  readonly progress: (text: string) => void;
}

interface Floor {
  readonly minute: number;
  readonly heap: number;
  readonly rss: number;
}

/** Of changes between two reconnects, s. */
const CYCLE = 20;

/** Caches of compiled code and tables fill in the first cycles: the floor of after them counts. */
const WARM_UP = 3;

/** What a floor may lie above the first one: a share, and MB. */
const HEAP_SLACK = { share: 0.05, mb: 4 };
const RSS_SLACK = { share: 0.15, mb: 24 };

/** True when heap and RSS came back to their floor. */
export async function soak(options: SoakOptions, notes: Notebook): Promise<boolean> {
  const floors: Floor[] = [];
  await inSession(options, notes, async (session) => {
    const from = machineMs();
    await connect(session, session.proxies);
    for (let cycle = 0; cycle < WARM_UP || machineMs() - from < options.minutes * 60_000; cycle++) {
      const count = options.rate * CYCLE;
      await changing(session, { rate: options.rate, count, first: cycle * count });
      await session.fleet.reconnect();
      restore(session);
      const floor = await floorOf(session, (machineMs() - from) / 60_000);
      floors.push(floor);
      options.progress(
        `minute ${floor.minute.toFixed(1)}: heap ${floor.heap.toFixed(1)} MB, RSS ${floor.rss.toFixed(0)} MB`,
      );
    }
  });
  return judged(floors, options, notes);
}

/** The mesh as it was in the beginning. */
function restore({ folder, shape }: Session): void {
  for (let index = 0; index < shape.services; index++) folder.write(fileOf(index), serviceManifests(shape, index));
}

async function floorOf(session: Session, minute: number): Promise<Floor> {
  await settled(session);
  const { heap, external } = await session.server.heap();
  return { minute, heap: heap + external, rss: session.server.rssMb ?? 0 };
}

function judged(floors: readonly Floor[], { proxies, rate, minutes }: SoakOptions, notes: Notebook): boolean {
  const settledFloors = floors.slice(WARM_UP - 1);
  const [first] = settledFloors;
  if (first === undefined) return false;
  // The best of the last few: a collection of everything doesn't always come to the same.
  const late = settledFloors.slice(-3);
  const last = { heap: Math.min(...late.map(({ heap }) => heap)), rss: Math.min(...late.map(({ rss }) => rss)) };
  const name = (what: string): string => `${minutes} min, ${proxies} proxies, ${rate}/s: ${what}`;
  notes.cost(name('heap, first floor'), 'MB', [first.heap]);
  notes.cost(name('heap, last floor'), 'MB', [last.heap]);
  notes.cost(name('RSS, first floor'), 'MB', [first.rss]);
  notes.cost(name('RSS, last floor'), 'MB', [last.rss]);
  for (const { minute, heap, rss } of floors) {
    const at = (series: string): { chart: string; series: string; x: number } => ({ chart: 'soak', series, x: minute });
    notes.note(name(`heap at minute ${minute.toFixed(1)}`), 'MB', [heap], { at: at('heap') });
    notes.note(name(`RSS at minute ${minute.toFixed(1)}`), 'MB', [rss], { at: at('RSS') });
  }
  const back =
    last.heap <= first.heap * (1 + HEAP_SLACK.share) + HEAP_SLACK.mb &&
    last.rss <= first.rss * (1 + RSS_SLACK.share) + RSS_SLACK.mb;
  notes.remark(back ? 'back to the floor' : 'NOT back to the floor: something is not given back');
  return back;
}
