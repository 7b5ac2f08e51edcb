// Messages that are a name and a text, such as a header that is added: rules of one application repeat theirs, with the same
// text or another. In: a name and its text. Out: the encoded message, the same as before where both are. Called for routes.

import type { Template } from '../../codec/index.ts';
import { Encoded } from '../../messages/index.ts';

/** Names of which the last message is remembered; each may keep a block of 16 kB that it lies in. */
const MAX_NAMES = 32;

export class TextPairs {
  readonly #template: Template;
  readonly #last = new Map<string, { readonly text: string; readonly message: Encoded }>();

  /** `template`: the name is its slot 0, the text its slot 1. */
  constructor(template: Template) {
    this.#template = template;
  }

  /** Neither may be empty. */
  of(name: string, text: string): Encoded {
    const last = this.#last.get(name);
    if (last?.text === text) return last.message;
    const message = new Encoded(this.#template.fill(name, text));
    if (last === undefined && this.#last.size >= MAX_NAMES) this.#last.clear();
    this.#last.set(name, { text, message });
    return message;
  }
}
