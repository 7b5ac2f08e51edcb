// What every command gets and how it says what its caller did wrong. Called by the commands and by those that start them.

/** What a command gets besides its flags. */
export interface CommandContext {
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly out: (text: string) => void;
  readonly err: (text: string) => void;
}

/** A problem of the caller's, said in one line; `code` is the exit status. */
export class UsageError extends Error {
  readonly code: number;
  constructor(message: string, code = 1) {
    super(message);
    this.code = code;
  }
}

/** Of a process: its environment, and its two outputs. */
export function processContext(env: CommandContext['env']): CommandContext {
  return {
    env,
    out: (text) => process.stdout.write(text.endsWith('\n') ? text : `${text}\n`),
    err: (text) => process.stderr.write(text.endsWith('\n') ? text : `${text}\n`),
  };
}

/** Says what the caller did wrong, and gives the exit status for it. What isn't the caller's is thrown on. */
export function explainFailure(error: unknown, context: CommandContext): number {
  if (!(error instanceof UsageError || error instanceof RangeError)) throw error;
  context.err(`meltemi: ${error.message}`);
  return error instanceof UsageError ? error.code : 64;
}
