// How V8 is to run this server. Called before the server starts; without effect on what it does.
// Node.js 20 has nothing between code that is not optimised and an optimiser that is costly. A control plane runs thousands of
// functions some hundred times each, most of all while a mesh connects: a quarter of its CPU went into optimising them, and the
// code that pushes a change was not optimised until some ten changes were pushed. Little is inlined, so that each function is
// cheap to optimise, and may be early; large ones as early as small ones, since they hold the loops over proxies and types.
// Later versions have a cheap compiler between, and other flags.
// How much garbage there may be before the whole heap is looked through is a share of what lives. By itself Node.js 20 takes
// a tenth while little is allocated between two looks, and four times as much while a mesh connects: a server that served a
// thousand proxies looked through 120 MB five times while they came back.

import { setFlagsFromString } from 'node:v8';

const TUNED_MAJOR = 20;
const COMPILING = [
  '--interrupt-budget=100000',
  '--bytecode-size-allowance-per-tick=1500',
  '--max-inlined-bytecode-size-cumulative=100',
];
const COLLECTING = ['--heap-growing-percent=50'];

/** For the processes that a server starts, what `tuneEngine` and `tuneHeap` do in its own. */
export function engineFlags(nodeVersion: string): readonly string[] {
  return isTuned(nodeVersion) ? [...COMPILING, ...COLLECTING] : [];
}

/** A tenth to a fifth less CPU until 1,000 proxies are synced, a quarter less while Pods come and go soon after. */
export function tuneEngine(nodeVersion: string): void {
  if (isTuned(nodeVersion)) for (const flag of COMPILING) setFlagsFromString(flag);
}

/** Half of the CPU while 1,000 proxies come back. Called when the configuration is read: what is left of that is no measure. */
export function tuneHeap(nodeVersion: string): void {
  if (isTuned(nodeVersion)) for (const flag of COLLECTING) setFlagsFromString(flag);
}

function isTuned(nodeVersion: string): boolean {
  return Number(nodeVersion.split('.')[0]) === TUNED_MAJOR;
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
