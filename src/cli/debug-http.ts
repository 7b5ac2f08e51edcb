// Debug pages over HTTP, for questions that are too long for a name. In: an address, a page, perhaps a token. Out: JSON.
// Called by `diff` and `analyze`; whatever goes wrong becomes one line for the user.

import { readFile } from 'node:fs/promises';
import { UsageError } from './program.ts';

export interface ServerFlags {
  /** File with a token of the control plane's namespace: callers from other machines need one. */
  readonly token?: string;
}

export function getPage(server: string, page: string, flags: ServerFlags): Promise<unknown> {
  return ask(server, page, flags, { method: 'GET' });
}

export function postPage(server: string, page: string, body: unknown, flags: ServerFlags): Promise<unknown> {
  const headers = { 'content-type': 'application/json' };
  return ask(server, page, flags, { method: 'POST', body: JSON.stringify(body), headers });
}

interface Ask {
  readonly method: string;
  readonly body?: string;
  readonly headers?: Readonly<Record<string, string>>;
}

async function ask(server: string, page: string, { token }: ServerFlags, init: Ask): Promise<unknown> {
  const base = /^https?:\/\//.test(server)
    ? server
    : `http://${server.startsWith(':') ? `localhost${server}` : server}`;
  const bearer = token === undefined ? {} : { authorization: `Bearer ${(await tokenOf(token)).trim()}` };
  let response: Response;
  try {
    response = await fetch(`${base}/debug/${page}`, { ...init, headers: { ...init.headers, ...bearer } });
  } catch (error) {
    const cause = error instanceof Error && error.cause instanceof Error ? error.cause.message : String(error);
    throw new UsageError(`no control plane answers at ${server}: ${cause}`);
  }
  const text = await response.text();
  if (response.ok) return JSON.parse(text) as unknown;
  throw new UsageError(`${server} answers ${response.status}: ${errorIn(text)}`);
}

function errorIn(text: string): string {
  try {
    const { error, message } = JSON.parse(text) as { readonly error?: string; readonly message?: string };
    return message ?? error ?? text;
  } catch {
    return text;
  }
}

async function tokenOf(file: string): Promise<string> {
  try {
    return await readFile(file, 'utf8');
  } catch (error) {
    throw new UsageError(`${file} can not be read: ${error instanceof Error ? error.message : String(error)}`);
  }
}
