// Header operations of routes and of their destinations.

import { constantTemplate, slot } from '../../codec/index.ts';
import type { HeaderOperations, Headers } from '../../config/generated/types.ts';
import { sortedKeys } from '../../lib/order.ts';
import type { Encoded, Messages } from '../../messages/index.ts';
import { TextPairs } from './text-pairs.ts';

type HeaderValueOption = Messages['envoy.config.core.v3.HeaderValueOption'] | Encoded;

export interface HeaderChanges {
  readonly requestHeadersToAdd?: readonly HeaderValueOption[] | undefined;
  readonly requestHeadersToRemove?: readonly string[] | undefined;
  readonly responseHeadersToAdd?: readonly HeaderValueOption[] | undefined;
  readonly responseHeadersToRemove?: readonly string[] | undefined;
}

/** The changes in Envoy's terms, and the authority asked for by setting the Host header, which Envoy rewrites elsewhere. */
export interface HeaderEdit {
  readonly changes: HeaderChanges;
  readonly authority: string | undefined;
}

/** Where nothing is asked for. */
export const NO_EDIT: HeaderEdit = { changes: {}, authority: undefined };

export function headerEdit(headers: Headers | undefined): HeaderEdit {
  if (headers === undefined) return NO_EDIT;
  const { request, response } = headers;
  return {
    changes: {
      requestHeadersToAdd: filled(additions(request)),
      requestHeadersToRemove: filled(removals(request)),
      responseHeadersToAdd: filled(additions(response)),
      responseHeadersToRemove: filled(removals(response)),
    },
    authority: authorityOf(request?.set) ?? authorityOf(request?.add),
  };
}

/** Both changes, the second after the first. */
export function joinChanges(a: HeaderChanges, b: HeaderChanges): HeaderChanges {
  return {
    requestHeadersToAdd: join(a.requestHeadersToAdd, b.requestHeadersToAdd),
    requestHeadersToRemove: join(a.requestHeadersToRemove, b.requestHeadersToRemove),
    responseHeadersToAdd: join(a.responseHeadersToAdd, b.responseHeadersToAdd),
    responseHeadersToRemove: join(a.responseHeadersToRemove, b.responseHeadersToRemove),
  };
}

function join<T>(a: readonly T[] | undefined, b: readonly T[] | undefined): readonly T[] | undefined {
  return a === undefined ? b : b === undefined ? a : [...a, ...b];
}

function additions(operations: HeaderOperations | undefined): readonly HeaderValueOption[] {
  if (operations?.set === undefined && operations?.add === undefined) return NO_OPTIONS;
  const options: HeaderValueOption[] = [];
  addAll(options, operations.set, SET);
  addAll(options, operations.add, ADD);
  return options;
}

function addAll(options: HeaderValueOption[], values: HeaderOperations['set'], { how, pairs }: Adding): void {
  if (values === undefined) return;
  for (const key of sortedKeys(values)) {
    if (isInternal(key)) continue;
    const value = values[key];
    options.push(value ? pairs.of(key, value) : option(key, value, how));
  }
}

type Added = Messages['envoy.config.core.v3.HeaderValueOption'];

function option(key: string, value: string | undefined, appendAction: Added['appendAction']): Added {
  return { header: { key, value }, appendAction };
}

interface Adding {
  readonly how: Added['appendAction'];
  readonly pairs: TextPairs;
}

function adding(how: Added['appendAction']): Adding {
  const message = (): Added => option(slot(0), slot(1), how);
  return { how, pairs: new TextPairs(constantTemplate('envoy.config.core.v3.HeaderValueOption', message)) };
}

const SET = adding('OVERWRITE_IF_EXISTS_OR_ADD');
const ADD = adding(undefined);

const NO_OPTIONS: readonly HeaderValueOption[] = [];
const NO_NAMES: readonly string[] = [];

function removals(operations: HeaderOperations | undefined): readonly string[] {
  if (operations?.remove === undefined) return NO_NAMES;
  return operations.remove.filter((key) => !isInternal(key));
}

/** Envoy refuses to change pseudo headers and Host this way. */
function isInternal(key: string): boolean {
  return key === '' || key.startsWith(':') || isHost(key);
}

function isHost(key: string): boolean {
  return key.length === HOST.length && key.toLowerCase() === HOST;
}

const HOST = 'host';

function authorityOf(values: Readonly<Record<string, string>> | undefined): string | undefined {
  if (values === undefined) return undefined;
  for (const key of sortedKeys(values)) {
    if ((isHost(key) || key.toLowerCase() === ':authority') && values[key] !== '') return values[key];
  }
  return undefined;
}

function filled<T>(list: readonly T[]): readonly T[] | undefined {
  return list.length === 0 ? undefined : list;
}
