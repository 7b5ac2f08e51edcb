/** A value that its message type does not admit, or bytes that are no message. */
export class CodecError extends Error {
  /** From the outermost message, as written: `filterChains[0].filters[1].typedConfig.statPrefix`; '' is the message itself. */
  readonly path: string;
  readonly expected: string;

  constructor(path: string, expected: string) {
    super(path === '' ? expected : `${path}: ${expected}`);
    this.name = 'CodecError';
    this.path = path;
    this.expected = expected;
  }
}

/** Joins two parts of a path; `[0]` and `["key"]` follow without a dot. */
export function joinPath(parent: string, child: string): string {
  if (parent === '' || child === '') return parent + child;
  return child.startsWith('[') ? parent + child : `${parent}.${child}`;
}

/** The path segment of a map's key. */
export function keySegment(key: string): string {
  return `[${JSON.stringify(key)}]`;
}

/** The same error seen from one level further out; anything but a CodecError passes unchanged. */
export function within(segment: string, error: unknown): unknown {
  return error instanceof CodecError ? new CodecError(joinPath(segment, error.path), error.expected) : error;
}

/** Throws: the value at hand is not what is expected. */
export function refuse(expected: string): never {
  throw new CodecError('', expected);
}
