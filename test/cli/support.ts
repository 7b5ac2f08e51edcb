// A control plane that answers debug types over real gRPC from hand-made connections, and commands run against it.

import { Server, ServerCredentials } from '@grpc/grpc-js';
import { vi } from 'vitest';
import { type CommandContext, run, UsageError } from '../../src/cli/program.ts';
import { formatControlPlaneId } from '../../src/console/control-plane-id.ts';
import { debugSession } from '../../src/console/debug-session.ts';
import type { ConsolePort } from '../../src/console/port.ts';
import { startXds, XDS_CHANNEL_OPTIONS } from '../../src/xds/server.ts';
import { Metrics, silentLog } from '../xds/support.ts';

export interface DebugServer {
  readonly address: string;
  close(): Promise<void>;
}

export async function debugServer(port: ConsolePort): Promise<DebugServer> {
  const xds = startXds({
    port: { connect: (node, peer) => debugSession(port, peer, node) },
    log: silentLog,
    meter: new Metrics(),
    clock: { now: () => Date.now() },
    timers: {
      setTimeout: (fn, ms) => {
        const timer = setTimeout(fn, ms);
        return () => clearTimeout(timer);
      },
    },
    peerOf: (call) => ({ address: call.getPeer(), plaintext: true, identities: [] }),
    identifier: formatControlPlaneId({ component: 'meltemi', id: 'meltemi-0', version: port.version }),
  });
  const server = new Server(XDS_CHANNEL_OPTIONS);
  const bound = await xds.bind(server, { host: '127.0.0.1', port: 0 }, ServerCredentials.createInsecure());
  return {
    address: `127.0.0.1:${bound}`,
    close: async () => {
      await xds.close(0);
      server.forceShutdown();
    },
  };
}

export interface Outcome {
  readonly code: number;
  readonly out: string;
  readonly err: string;
}

/** Runs one command; its problems are told as the program tells them. */
export async function outcomeOf(command: (context: CommandContext) => Promise<number>): Promise<Outcome> {
  let [out, err] = ['', ''];
  const context: CommandContext = {
    env: {},
    out: (text) => {
      out += text;
    },
    err: (text) => {
      err += text;
    },
  };
  try {
    return { code: await command(context), out, err };
  } catch (error) {
    if (error instanceof UsageError) return { code: error.code, out, err: error.message };
    throw error;
  }
}

/** Runs a whole command line, with what it writes to the process's own streams. */
export function commandLine(...args: string[]): Promise<Outcome> {
  return commandLineIn({}, ...args);
}

/** The same in an environment. */
export async function commandLineIn(env: CommandContext['env'], ...args: string[]): Promise<Outcome> {
  const streams = { stdout: '', stderr: '' };
  const restore = (['stdout', 'stderr'] as const).map((name) => {
    const spy = vi.spyOn(process[name], 'write').mockImplementation((text) => {
      streams[name] += String(text);
      return true;
    });
    return () => spy.mockRestore();
  });
  try {
    const code = await run(args, env);
    return { code, out: streams.stdout, err: streams.stderr };
  } finally {
    for (const undo of restore) undo();
  }
}

/** A table as rows of cells; cells are apart by two blanks or more, or by `gap`. */
export function cells(table: string): readonly (readonly string[])[] {
  return table
    .trimEnd()
    .split('\n')
    .map((line) => line.split(/ {2,}/));
}
