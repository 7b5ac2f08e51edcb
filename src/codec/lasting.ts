// Messages that stand in many others, or several times in one: their bytes are kept once they were written.
// In: messages in JSON form. Out: the same fields in an object that keeps bytes. Called by translators for constants and
// for what they repeat.
import { Encoded, Prepared } from '../messages/index.ts';

/** A message with room for its bytes. Its class tells it apart from others at less cost than a property would. */
class Lasting extends Prepared {
  #bytes: Uint8Array | undefined;

  constructor(message: object) {
    super();
    Object.assign(this, message);
  }

  static bytesOf(message: Lasting): Uint8Array | undefined {
    return message.#bytes;
  }

  static keep(message: Lasting, bytes: Uint8Array): void {
    message.#bytes = bytes;
  }
}

/** Marks a message: from its second writing on it is copied. It must never change, which is so for all that is translated. */
export function lasting<T extends object>(message: T): T {
  return new Lasting(message) as Prepared as T;
}

/** The bytes of a message that has them. */
export function keptOf(message: Prepared): Uint8Array | undefined {
  if (message instanceof Encoded) return message.bytes;
  return message instanceof Lasting ? Lasting.bytesOf(message) : undefined;
}

/** Keeps the bytes of a marked message. */
export function keep(message: Prepared, bytes: Uint8Array): void {
  if (message instanceof Lasting) Lasting.keep(message, bytes);
}
