// All proxies come back at once with what they hold: to the same server, and to one that was started anew.

import { machineMs } from '../clock.ts';
import type { Notebook } from '../figures.ts';
import { cpuOf, ServerProcess } from '../server/process.ts';
import { connect, inSession, type Session, type SessionOptions, settled } from './session.ts';

export async function reconnect(options: SessionOptions, notes: Notebook): Promise<void> {
  await inSession(options, notes, async (session) => {
    await connect(session, session.proxies);
    await settled(session);
    await storm(session, 'the same server');
    await session.server.stop();
    const restarted = await ServerProcess.start(session.folder.path, {
      ...session.settings,
      ports: session.server.ports,
    });
    try {
      notes.cost(`${session.mode}, restarted: server ready`, 'ms', [restarted.readyMs]);
      await storm({ ...session, server: restarted }, 'a restarted server');
    } finally {
      await session.fleet.disconnect();
      await restarted.stop();
    }
  });
}

async function storm(session: Session, which: string): Promise<void> {
  const { fleet, server, notes, proxies, mode } = session;
  await fleet.reset();
  const from = machineMs();
  let took = 0;
  const cpu = await cpuOf(server, async () => {
    await fleet.reconnect();
    took = (await settled(session)) - from;
  });
  const { bytes, resources, responses } = await fleet.counts();
  const name = (what: string): string => `${mode}, to ${which}: ${what}`;
  notes.cost(name('until nothing comes and the server rests'), 'ms', [took]);
  notes.cost(name('server CPU per proxy'), 'ms', [cpu === undefined ? undefined : cpu / proxies]);
  notes.cost(name('sent per proxy'), 'kB', [bytes / proxies / 1000]);
  notes.cost(name('resources sent again'), '', [resources]);
  notes.note(name('responses per proxy'), '', [responses / proxies]);
  notes.cost(name('server memory at the peak (RSS)'), 'MB', [server.peakMb]);
}
