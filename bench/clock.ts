// A clock that several processes of one machine share.

/** Milliseconds since the machine was started, or another moment that is the same for all of its processes. */
export function machineMs(): number {
  const [seconds, nanos] = process.hrtime();
  return seconds * 1000 + nanos / 1e6;
}

export function pause(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}

/** CPU of this process, ms: on a busy machine the clock on the wall says more about the others. */
export function cpuMs(): number {
  const { user, system } = process.cpuUsage();
  return (user + system) / 1000;
}
