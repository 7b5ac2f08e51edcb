// Message types as the encoder needs them, each made when it is first written.
// In: full names. Out: always the same object for a name. Called by encode.ts.
import { refuse } from './error.ts';
import { KeyPaths } from './key-paths.ts';
import { type Scalar, scalarOf } from './scalars.ts';
import { type Form, type MessageInfo, messageInfo } from './table.ts';

export interface MessageType {
  readonly info: MessageInfo;
  readonly form: Form;
  readonly paths: KeyPaths;
  /** for the same message inside an Any, beside `@type` */
  readonly packedPaths: KeyPaths;
  /** what a wrapper wraps */
  readonly scalar: Scalar | undefined;
}

const types = new Map<string, MessageType>();

/** A message type by its name; one that the schema lacks is refused. */
export function typeOf(name: string): MessageType {
  const known = types.get(name);
  if (known !== undefined) return known;
  const info = messageInfo(name);
  if (info === undefined) return refuse(`a known message type, not ${name}`);
  const made = {
    info,
    form: info.form,
    paths: new KeyPaths(info, false),
    packedPaths: new KeyPaths(info, true),
    scalar: info.form === 'wrapper' ? scalarOf(info.fields[0]?.scalar ?? '') : undefined,
  };
  types.set(name, made);
  return made;
}
