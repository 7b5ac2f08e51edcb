// The process of the fake proxies: runs what it is told to over its channel, and ends with it.

import { Fleet } from './fleet.ts';
import type { Answer, Command } from './remote.ts';

const fleet = new Fleet();

process.on('message', (command: Command) => {
  void run(command).then((answer) => process.send?.(answer));
});
process.on('disconnect', () => process.exit());

async function run({ id, method, args }: Command): Promise<Answer> {
  try {
    const work = fleet[method] as (...given: readonly unknown[]) => unknown;
    return { id, value: await work.apply(fleet, [...args]) };
  } catch (error) {
    return { id, error: error instanceof Error ? (error.stack ?? error.message) : String(error) };
  }
}
