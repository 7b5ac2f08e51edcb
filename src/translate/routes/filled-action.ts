// Actions of rules that lead to one cluster each: most differ in texts alone, which are filled in.
// In: what decides about such an action, and its texts. Out: the action's bytes, or undefined where it has to be put together.
// Called by action.ts.

import { CodecError, slot, type Template, template } from '../../codec/index.ts';
import type { HTTPRetry } from '../../config/generated/types.ts';
import { Encoded, type Messages } from '../../messages/index.ts';

type RouteAction = Messages['envoy.config.route.v3.RouteAction'];

/** The texts of an action; undefined where it has none. */
export interface ActionTexts {
  readonly cluster: string;
  readonly prefixRewrite: string | undefined;
  readonly authority: string | undefined;
}

/** All else that such an action depends on. */
export interface ActionKind {
  readonly timeout: string | undefined;
  readonly retries: HTTPRetry | undefined;
  /** Of settings and of what the rule has beside texts: equal marks, equal actions. */
  readonly mark: string;
}

/** Kinds remembered; a mesh has some dozens, and one with more puts the further ones together. */
const MAX_KINDS = 256;

/** Undefined: it can't be encoded, and whoever puts it together will say why. */
const templates = new Map<string, Template | undefined>();

/**
 * The action of this kind with these texts. `make` renders it with other texts; it may depend on nothing but the kind, and on
 * which of the texts there are.
 */
export function filledAction(
  { timeout, retries, mark }: ActionKind,
  texts: ActionTexts,
  make: (texts: ActionTexts) => RouteAction,
): Encoded | undefined {
  const { cluster, prefixRewrite, authority } = texts;
  if (cluster === '') return undefined;
  const shape = (prefixRewrite === undefined ? 0 : 1) + (authority === undefined ? 0 : 2);
  const key = `${mark}${shape} ${timeout ?? ''} ${retries === undefined ? '' : JSON.stringify(retries)}`;
  let found = templates.get(key);
  if (found === undefined) {
    if (templates.has(key) || templates.size >= MAX_KINDS) return undefined;
    found = madeTemplate(make, prefixRewrite !== undefined, authority !== undefined);
    templates.set(key, found);
    if (found === undefined) return undefined;
  }
  const filled = [cluster];
  if (prefixRewrite !== undefined) filled.push(prefixRewrite);
  if (authority !== undefined) filled.push(authority);
  return new Encoded(found.fill(...filled));
}

function madeTemplate(
  make: (texts: ActionTexts) => RouteAction,
  rewrites: boolean,
  renames: boolean,
): Template | undefined {
  try {
    const texts: ActionTexts = {
      cluster: slot(0),
      prefixRewrite: rewrites ? slot(1) : undefined,
      authority: renames ? slot(rewrites ? 2 : 1) : undefined,
    };
    return template('envoy.config.route.v3.RouteAction', make(texts));
  } catch (error) {
    if (error instanceof CodecError) return undefined;
    throw error;
  }
}
