// Listen addresses as flags write them.

export interface ListenAddress {
  /** Empty host of the flag = every address. */
  readonly host: string;
  /** 0 = any free port. */
  readonly port: number;
}

/**
 * `host:port`, `[v6]:port`, `:port`; the empty text means off and gives undefined. Anything else throws a RangeError with
 * a text that names what was expected: flags are checked before anything runs.
 */
export function parseListen(flag: string, text: string): ListenAddress | undefined {
  if (text === '') return undefined;
  const match = /^(?:\[([^\]]+)\]|([^:]*)):(\d{1,5})$/.exec(text);
  const port = Number(match?.[3]);
  if (match === null || port > 65535)
    throw new RangeError(`--${flag} ${text}: expected host:port, :port, :0 or nothing`);
  const host = match[1] ?? match[2] ?? '';
  return { host: host === '' ? '0.0.0.0' : host, port };
}

export function formatListen({ host, port }: ListenAddress): string {
  return host.includes(':') ? `[${host}]:${port}` : `${host}:${port}`;
}
