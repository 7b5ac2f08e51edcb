// How V8 is to run this server. Called before the server starts; without effect on what it does.
// Node.js 20 has nothing between code that is not optimised and an optimiser that is costly. A control plane runs thousands of
// functions some hundred times each, most of all while a mesh connects: a quarter of its CPU went into optimising them, and the
// code that pushes a change was not optimised until some ten changes were pushed. Little is inlined, so that each function is
// cheap to optimise, and may be early; large ones as early as small ones, since they hold the loops over proxies and types.
// Later versions have a cheap compiler between, and other flags.

import { setFlagsFromString } from 'node:v8';

const TUNED_MAJOR = 20;
const FLAGS = [
  '--interrupt-budget=100000',
  '--bytecode-size-allowance-per-tick=1500',
  '--max-inlined-bytecode-size-cumulative=100',
];

/** For the processes that a server starts, what `tuneEngine` does in its own. */
export function engineFlags(nodeVersion: string): readonly string[] {
  return Number(nodeVersion.split('.')[0]) === TUNED_MAJOR ? FLAGS : [];
}

/** A tenth to a fifth less CPU until 1,000 proxies are synced, a quarter less while Pods come and go soon after. */
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
