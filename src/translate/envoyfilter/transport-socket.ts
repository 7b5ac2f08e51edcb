// Transport sockets under MERGE: one of the same name is merged setting by setting, since its Any would else be replaced
// with everything that secures the connection. Called by cluster.ts and chain.ts.

import { type Fields, opened, textOf } from './fields.ts';
import type { Patch } from './patch.ts';
import { type PatchRun } from './run.ts';

const SOCKET = 'envoy.config.core.v3.TransportSocket';

export function socketName(socket: unknown): string {
  return textOf(opened(SOCKET, socket), 'name');
}

/** A socket with the settings of another of its name merged in; the patch's own where the names differ or none was there. */
export function mergedSocket(run: PatchRun, base: unknown, wanted: unknown, patch: Patch): unknown {
  const before = base === undefined ? undefined : opened(SOCKET, base);
  const after = opened(SOCKET, wanted);
  if (before === undefined || before['name'] !== after['name']) {
    run.apply(patch);
    return wanted;
  }
  if (after['typedConfig'] === undefined) return base;
  if (before['typedConfig'] === undefined) {
    run.apply(patch);
    return wanted;
  }
  const settings = run.mergedSettings(before['typedConfig'], after['typedConfig'], patch);
  return settings === undefined ? base : { ...before, typedConfig: settings };
}

/** A value without its transport socket: what is merged as usual. */
export function withoutSocket(value: Fields): Fields {
  const { transportSocket: _, ...rest } = value;
  return rest;
}
