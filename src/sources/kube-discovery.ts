// Which version of a kind an API server has, if any: CustomResourceDefinitions come and go.
// In: a kind. Out: the path of its collection. Called by kube-reflector.ts before a list, and again after a 404.

import type { KindInfo } from '../config/kinds.ts';
import { KubeError, type KubeReader } from './kube-api.ts';

export interface Served {
  readonly apiVersion: string;
  /** `/apis/networking.istio.io/v1/virtualservices` */
  readonly path: string;
  /** The server has newer versions of the group, of which this kind may be soon: it is told of one after the other. */
  readonly provisional?: boolean;
}

export type Discovery = Pick<KubeReader, 'get'>;

/**
 * Asks once what is asked again while the answer is on its way: at a start dozens of kinds want to know the same of a few
 * groups. Answers end with this signal, not with those of who asks.
 */
export function shared(api: Discovery, signal: AbortSignal): Discovery {
  const asked = new Map<string, Promise<unknown>>();
  const ask = (path: string): Promise<unknown> => {
    const answer = api.get(path, {}, signal).finally(() => asked.delete(path));
    asked.set(path, answer);
    return answer;
  };
  return { get: (path) => asked.get(path) ?? ask(path) };
}

/** Undefined while the server has no such kind. */
export async function discover(
  api: Discovery,
  info: Pick<KindInfo, 'group' | 'versions' | 'plural'>,
  signal: AbortSignal,
): Promise<Served | undefined> {
  if (info.group === '') return { apiVersion: 'v1', path: `/api/v1/${info.plural}` };
  const listed = await versionsOf(api, info.group, signal);
  let provisional = false;
  for (const version of info.versions) {
    if (!listed.includes(version)) continue;
    const apiVersion = `${info.group}/${version}`;
    if (await hasResource(api, apiVersion, info.plural, signal))
      return { apiVersion, path: `/apis/${apiVersion}/${info.plural}`, ...(provisional && { provisional }) };
    provisional = true;
  }
  return undefined;
}

async function versionsOf(api: Discovery, group: string, signal: AbortSignal): Promise<readonly string[]> {
  const body = await orMissing(api.get(`/apis/${group}`, {}, signal));
  return itemsOf(body, 'versions').map((version) => textOf(version, 'version'));
}

async function hasResource(api: Discovery, apiVersion: string, plural: string, signal: AbortSignal): Promise<boolean> {
  const body = await orMissing(api.get(`/apis/${apiVersion}`, {}, signal));
  return itemsOf(body, 'resources').some((resource) => textOf(resource, 'name') === plural);
}

/** Undefined in place of a 404. */
export async function orMissing(answer: Promise<unknown>): Promise<unknown> {
  try {
    return await answer;
  } catch (error) {
    if (error instanceof KubeError && error.status === 404) return undefined;
    throw error;
  }
}

export function itemsOf(body: unknown, field: string): readonly unknown[] {
  const items: unknown = isRecord(body) ? body[field] : undefined;
  return Array.isArray(items) ? items : [];
}

export function textOf(body: unknown, field: string): string {
  const value = isRecord(body) ? body[field] : undefined;
  return typeof value === 'string' ? value : '';
}

export function isRecord(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
