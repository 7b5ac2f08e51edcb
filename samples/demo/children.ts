// Child processes of the demo: started together, watched, and gone when it ends.

import { type ChildProcess, spawn } from 'node:child_process';
import { createWriteStream } from 'node:fs';

export interface ChildSpec {
  readonly name: string;
  readonly command: string;
  readonly args: readonly string[];
  readonly env: Readonly<Record<string, string>>;
  readonly cwd: string;
  readonly logFile: string;
}

export class Children {
  readonly #running = new Map<string, ChildProcess>();
  readonly #onDeath: (message: string) => void;
  #stopping = false;

  /** `onDeath` is told of a child that ends before it was asked to. */
  constructor(onDeath: (message: string) => void) {
    this.#onDeath = onDeath;
  }

  start(spec: ChildSpec): ChildProcess {
    const child = spawn(spec.command, [...spec.args], {
      cwd: spec.cwd,
      env: { ...spec.env },
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    const log = createWriteStream(spec.logFile, { flags: 'a' });
    child.stdout.pipe(log);
    child.stderr.pipe(log);
    this.#running.set(spec.name, child);
    child.on('error', (error) => this.#onDeath(`${spec.name} could not be started: ${error.message}`));
    child.on('exit', (code, signal) => {
      this.#running.delete(spec.name);
      if (!this.#stopping) this.#onDeath(`${spec.name} ended early (${signal ?? code}); its log is ${spec.logFile}`);
    });
    return child;
  }

  /** Asks all to end, and ends those that don't. */
  async stop(graceMs: number): Promise<void> {
    this.#stopping = true;
    const ends = [...this.#running.values()].map(
      (child) => new Promise<void>((resolve) => child.once('exit', () => resolve())),
    );
    for (const child of this.#running.values()) child.kill('SIGTERM');
    const timer = setTimeout(() => {
      for (const child of this.#running.values()) child.kill('SIGKILL');
    }, graceMs);
    await Promise.all(ends);
    clearTimeout(timer);
  }
}
