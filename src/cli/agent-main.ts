// The agent as the image starts it, in one file (`npm run build` makes dist/cli/agent.cjs of this): what stays in memory
// beside every proxy is what runs there. Arguments that are anything but an agent's plain ones go to the whole program.

import { readAgentFlags } from './agent-flags.ts';
import { agent } from './commands/agent.ts';
import { explainFailure, processContext } from './context.ts';

/** For connections that nobody knows of any more when all else has ended. */
const LEFTOVERS_MS = 1000;

async function main(): Promise<void> {
  const [command, ...args] = process.argv.slice(2);
  const request = command === 'agent' || command === 'proxy' ? readAgentFlags(args) : undefined;
  if (request === undefined) {
    await import(new URL('../main.js', import.meta.url).href);
    return;
  }
  const context = processContext(process.env);
  try {
    process.exitCode = await agent(request.role, request.flags, context);
  } catch (error) {
    process.exitCode = explainFailure(error, context);
  }
  setTimeout(() => process.exit(), LEFTOVERS_MS).unref();
}

void main();
