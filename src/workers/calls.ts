// Questions to the other side of a channel and its answers, by number.
// In: a name and what is asked. Out: a promise of the answer. Called by both sides.

import type { Call, Failure } from './messages.ts';

type Answers = Readonly<Record<string, (ask: never) => unknown>>;

interface Pending {
  readonly resolve: (answer: unknown) => void;
  readonly reject: (error: Error) => void;
}

/** A question that failed on the other side, with the code of what was thrown there, if it had one. */
export class CallError extends Error {
  readonly code: string | undefined;

  constructor({ message, code }: Failure) {
    super(message);
    this.name = 'CallError';
    this.code = code;
  }
}

export class Calls {
  readonly #send: (call: Call) => void;
  readonly #answers: Answers;
  readonly #pending = new Map<number, Pending>();
  #last = 0;

  /** `answers`: what answers the questions of the other side, by their names. */
  constructor(send: (call: Call) => void, answers: Answers) {
    this.#send = send;
    this.#answers = answers;
  }

  /** Rejects with a CallError when the other side could not answer, or is gone. */
  ask<Answer>(name: string, ask?: unknown): Promise<Answer> {
    const call = ++this.#last;
    return new Promise<Answer>((resolve, reject) => {
      this.#pending.set(call, { resolve: (answer) => resolve(answer as Answer), reject });
      this.#send({ kind: 'question', call, name, ask });
    });
  }

  take(message: Call): void {
    if (message.kind === 'question') return void this.#answer(message);
    const pending = this.#pending.get(message.call);
    this.#pending.delete(message.call);
    if (message.failed === undefined) pending?.resolve(message.answer);
    else pending?.reject(new CallError(message.failed));
  }

  /** Nobody answers any more. */
  end(): void {
    for (const { reject } of this.#pending.values())
      reject(new CallError({ message: 'the process is gone', code: undefined }));
    this.#pending.clear();
  }

  async #answer({ call, name, ask }: Call & { readonly kind: 'question' }): Promise<void> {
    try {
      const answer = await this.#answers[name]?.(ask as never);
      this.#send({ kind: 'answer', call, answer });
    } catch (error) {
      const { message, code } = error as { readonly message?: string; readonly code?: unknown };
      const failed = { message: message ?? String(error), code: typeof code === 'string' ? code : undefined };
      this.#send({ kind: 'answer', call, answer: undefined, failed });
    }
  }
}
