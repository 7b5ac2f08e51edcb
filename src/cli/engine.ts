// How V8 is to run this server. Called before the server starts; without effect on what it does.
// Node.js 20 has nothing between code that is not optimised and an optimiser that is costly. A control plane runs thousands of
// functions some hundred times each, most of all while a mesh connects: a quarter of its CPU went into optimising them, and the
// code that pushes a change was not optimised until some ten changes were pushed. Little is inlined, so that each function is
// cheap to optimise, and may be early; larger ones as early as small ones, since they hold the loops over proxies and types.
// The largest, of more than 500 bytes of bytecode, are not optimised at all: what runs for each proxy is shorter, and these run
// for each class, and would be optimised again and again just when the first changes are pushed.
// Later versions have a cheap compiler between, and other flags.
// How much garbage there may be before the whole heap is looked through is a share of what lives. By itself Node.js 20 takes
// a tenth while little is allocated between two looks, and four times as much while a mesh connects: a server that served a
// thousand proxies looked through 120 MB five times while they came back.
// Node.js 24 lets the young generation grow to twice 64 MB by itself: a third more memory for a server of a thousand proxies, and
// no less CPU. It is held to twice 16 MB, as in earlier versions; that can be said before a process starts alone, so the image's
// entry point says it too.

import { constants, PerformanceObserver } from 'node:perf_hooks';
import { getHeapStatistics, setFlagsFromString } from 'node:v8';

const TUNED_MAJOR = 20;
const COMPILING = [
  '--interrupt-budget=60000',
  '--bytecode-size-allowance-per-tick=1500',
  '--max-inlined-bytecode-size-cumulative=100',
  '--max-optimized-bytecode-size=500',
];
const YOUNG_GENERATION = '--max-semi-space-size=16';

/** A heap of less than this, bytes, may double before it is looked through: a large one would take too much memory by it. */
const SMALL_HEAP = 160 * 1024 * 1024;

function growth(percent: number): string {
  return `--heap-growing-percent=${percent}`;
}

/** How far a heap may grow in which so many bytes live, as a flag of V8. */
function growthFrom(live: number): string {
  return growth(live < SMALL_HEAP ? 100 : 50);
}

/** For the processes that a server starts, which may become large: what `tuneEngine` and `tuneHeap` do in its own. */
export function engineFlags(nodeVersion: string): readonly string[] {
  return isTuned(nodeVersion) ? [YOUNG_GENERATION, ...COMPILING, growth(50)] : [YOUNG_GENERATION];
}

/** A tenth to a fifth less CPU until 1,000 proxies are synced, a quarter less while Pods come and go soon after. */
export function tuneEngine(nodeVersion: string): void {
  if (isTuned(nodeVersion)) for (const flag of COMPILING) setFlagsFromString(flag);
}

/** Half of the CPU while 1,000 proxies come back. Called when the configuration is read: what is left of that is no measure. */
export function tuneHeap(nodeVersion: string): void {
  if (!isTuned(nodeVersion)) return;
  let set: string | undefined;
  const follow = (): void => {
    const wanted = growthFrom(getHeapStatistics().used_heap_size);
    if (wanted === set) return;
    set = wanted;
    setFlagsFromString(wanted);
  };
  follow();
  // Just after the whole heap was looked through, what is used lives; the limit is set from the flag the next time.
  new PerformanceObserver((list) => {
    if (list.getEntries().some(isMajor)) follow();
  }).observe({ entryTypes: ['gc'] });
}

function isMajor(entry: object): boolean {
  const { detail } = entry as { readonly detail?: { readonly kind?: number } };
  return detail?.kind === constants.NODE_PERFORMANCE_GC_MAJOR;
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
