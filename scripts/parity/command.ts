import { execFile } from 'node:child_process';

/** Runs a command; its standard output. Rejects with what it wrote to standard error. */
export function run(command: string, args: readonly string[]): Promise<string> {
  return new Promise((resolve, reject) => {
    execFile(command, args, { maxBuffer: 1 << 28 }, (error, stdout, stderr) => {
      if (error === null) resolve(stdout);
      else
        reject(new Error(`${command} ${args[0] ?? ''}: ${stderr === '' ? error.message : stderr}`, { cause: error }));
    });
  });
}
