/** What stands for a message in a form of its own: an encoder looks at that before it looks for fields. */
export abstract class Prepared {}

/** A message already on the wire form: written as it is wherever a message is expected. */
export class Encoded extends Prepared {
  readonly bytes: Uint8Array;

  constructor(bytes: Uint8Array) {
    super();
    this.bytes = bytes;
  }
}
