export interface ProbeTarget {
  /** Where the application listens, unless the probe says otherwise. */
  readonly host: string;
  /** Address to come from; capture rules let these connections pass. */
  readonly source: string | undefined;
}

/** Longest answer that is looked at, octets. */
export const MAX_BODY = 10 * 1024;
