// How V8 is to run this server. Called before the server starts; without effect on what it does.
// Node.js 20 optimises a function after it has run for a while, and costly. A control plane runs thousands of functions
// some hundred times each, most of all while a mesh connects: a quarter of its CPU went into optimising what was done with
// soon after. Later versions have a cheap compiler between, and other flags.

import { setFlagsFromString } from 'node:v8';

const TUNED_MAJOR = 20;
const FLAGS = ['--interrupt-budget=300000', '--max-inlined-bytecode-size-cumulative=400'];

/** For the processes that a server starts, what `tuneEngine` does in its own. */
export function engineFlags(nodeVersion: string): readonly string[] {
  return Number(nodeVersion.split('.')[0]) === TUNED_MAJOR ? FLAGS : [];
}

/** Later optimisation, less of it inlined: a fifth less CPU until 1,000 proxies are synced, and some memory less. */
export function tuneEngine(nodeVersion: string): void {
  for (const flag of engineFlags(nodeVersion)) setFlagsFromString(flag);
}

const AGENT_FLAGS = [
  ...['--no-opt', '--max-lazy', '--no-sparkplug', '--lazy-feedback-allocation', '--optimize-for-size'],
  '--bytecode-old-age=1',
];

/**
 * For an agent that was not started by the image's entry point, which can say more: it passes bytes on and waits, so code is
 * interpreted, and neither optimised nor compiled ahead of its use. A quarter less memory beside every proxy.
 */
export function tuneAgentEngine(): void {
  for (const flag of AGENT_FLAGS) setFlagsFromString(flag);
}
