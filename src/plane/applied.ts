// How far an object has come: which proxies it concerns, and which of them have taken what it shapes.
// In: sessions, an object. Out: counts and who is behind. Called by the debug pages when somebody asks.

import type { ConfigObject, ObjectRef } from '../config/object.ts';
import { TYPE_URL } from '../ir/draft.ts';
import { tableValues } from '../lib/table.ts';
import type { Resource } from '../resources/resource.ts';
import { type ResourceTable, viewDiff, viewGet } from '../resources/view.ts';
import type { LinkedSnapshot } from '../snapshot/index.ts';
import { type ObjectTables, proxyOrigins } from './explain.ts';
import type { PlaneSession } from './proxy-session.ts';

export interface Applied {
  /** What is served was made with the object as it is now. */
  readonly linked: boolean;
  readonly generation: number;
  /** Proxies that have something from it. */
  readonly concerned: number;
  readonly taken: number;
  /** By `POD.NAMESPACE`. */
  readonly waiting: readonly string[];
  readonly refused: readonly { readonly proxy: string; readonly message: string }[];
}

export interface AppliedQuestion {
  readonly object: ConfigObject;
  readonly sessions: Iterable<PlaneSession>;
  readonly snapshot: LinkedSnapshot;
  readonly tables: ObjectTables;
  readonly linked: boolean;
}

const TYPES = [
  TYPE_URL.cluster,
  TYPE_URL.endpoint,
  TYPE_URL.listener,
  TYPE_URL.route,
  TYPE_URL.extension,
  TYPE_URL.secret,
];

export function appliedState({ object, sessions, snapshot, tables, linked }: AppliedQuestion): Applied {
  const shapedIn = shapedTables(object);
  const found = { concerned: 0, taken: 0, waiting: [] as string[], refused: [] as Applied['refused'][number][] };
  for (const session of sessions) {
    const states = TYPES.flatMap((typeUrl) => typeState(session, typeUrl, shapedIn) ?? []);
    const whole = states.length === 0 && isShapedBy(session, snapshot, tables, object);
    const all = whole ? TYPES.map((typeUrl) => wholeState(session, typeUrl)) : states;
    if (all.length === 0) continue;
    found.concerned++;
    const { instance } = session.proxy;
    const refusal = all.find((state) => state.kind === 'refused');
    if (refusal?.kind === 'refused') found.refused.push({ proxy: instance, message: refusal.message });
    else if (all.every((state) => state.kind === 'taken')) found.taken++;
    else found.waiting.push(instance);
  }
  return { linked, generation: object.generation, ...found };
}

type State =
  | { readonly kind: 'taken' }
  | { readonly kind: 'waiting' }
  | { readonly kind: 'refused'; readonly message: string };

const TAKEN: State = { kind: 'taken' };
const WAITING: State = { kind: 'waiting' };

/** Resources of a table that have the object among their origins; looked through once, however many proxies hold it. */
function shapedTables(object: ObjectRef): (table: ResourceTable) => readonly Resource[] {
  const known = new Map<ResourceTable, readonly Resource[]>();
  return (table) => {
    let shaped = known.get(table);
    if (shaped === undefined) {
      shaped = [...tableValues(table)].flat().filter(({ origins }) => origins.some((origin) => isSame(origin, object)));
      known.set(table, shaped);
    }
    return shaped;
  };
}

function isSame(a: ObjectRef, b: ObjectRef): boolean {
  return a.kind === b.kind && a.namespace === b.namespace && a.name === b.name;
}

/** Undefined where nothing of the type that the proxy asked for comes from the object. */
function typeState(
  session: PlaneSession,
  typeUrl: string,
  shapedIn: (table: ResourceTable) => readonly Resource[],
): State | undefined {
  const shaped = (session.view(typeUrl)?.parts ?? [])
    .flatMap(shapedIn)
    .filter(({ name }) => session.wants(typeUrl, name));
  if (shaped.length === 0) return undefined;
  const taken = session.takenView(typeUrl);
  if (taken !== undefined && shaped.every(({ name, version }) => viewGet(taken, name)?.version === version))
    return TAKEN;
  return behind(session, typeUrl);
}

function behind(session: PlaneSession, typeUrl: string): State {
  const { lastError = '' } = session.record.types.get(typeUrl) ?? {};
  return lastError === '' ? WAITING : { kind: 'refused', message: lastError };
}

function isShapedBy(session: PlaneSession, snapshot: LinkedSnapshot, tables: ObjectTables, object: ObjectRef): boolean {
  return proxyOrigins(session, snapshot, tables).some((origin) => origin.lost === undefined && isSame(origin, object));
}

/** Of objects that say what a proxy sees: everything that it asked for. */
function wholeState(session: PlaneSession, typeUrl: string): State {
  const view = session.view(typeUrl);
  const taken = session.takenView(typeUrl);
  if (view === undefined || view === taken || !session.record.types.has(typeUrl)) return TAKEN;
  if (taken === undefined) return behind(session, typeUrl);
  const { changed, removed } = viewDiff(taken, view);
  const names = [...changed.map(({ name }) => name), ...removed];
  return names.some((name) => session.wants(typeUrl, name)) ? behind(session, typeUrl) : TAKEN;
}
