// Limits of Envoy's API that an object may pass unseen. Read by validation, which tells, and by translation, which keeps them.

/** `RingHashLbConfig.minimum_ring_size`. */
export const MAX_RING = 8 * 1024 * 1024;

/** `MaglevLbConfig.table_size`; only below it. */
export const MAX_MAGLEV = 5_000_011;
