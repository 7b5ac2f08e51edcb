// What a client has rejected: those bytes are not sent to it again.
// In: a rejected response and the client's message. Out: the suspects, and a memory of their versions.
// Called by the exchanges.

import type { Resource } from '../resources/resource.ts';
import type { Sent } from './sent.ts';
import { heldItem, versionOfItem } from './subscription.ts';

/** Versions remembered per stream and type; the oldest are forgotten first. */
const MAX_REMEMBERED = 10_000;

export interface Suspicion {
  readonly suspects: readonly Resource[];
  /** The message names them; otherwise all that was new is suspected. */
  readonly named: boolean;
}

/**
 * Who may have caused a rejection: the resources that the message names and that were new to the client, or that it may have
 * refused before without a word about them; else any it names (the one before, not answered yet when this was sent, may have
 * brought them), else all that were new.
 */
export function suspicion(message: string, { fresh, chunks, from }: Sent): Suspicion {
  const sentAsNew = fresh.flatMap((chunk) => chunk.resources);
  const more = chunks === fresh ? [] : chunks.flatMap((chunk) => chunk.resources);
  const named = [...new Set([...sentAsNew, ...more])].filter((resource) => mentions(message, resource.name));
  if (named.length === 0) return { suspects: sentAsNew, named: false };
  const news = new Set(sentAsNew);
  const doubtful = named.filter(
    (resource) => news.has(resource) || versionOfItem(heldItem(from, resource.name)) !== resource.version,
  );
  return { suspects: doubtful.length > 0 ? doubtful : named, named: true };
}

/** True when the name stands in the message as a whole, not as a part of a longer name. */
function mentions(message: string, name: string): boolean {
  if (name === '') return false;
  for (let at = message.indexOf(name); at >= 0; at = message.indexOf(name, at + 1)) {
    const before = message[at - 1];
    const after = message.slice(at + name.length, at + name.length + 2);
    if (!(before !== undefined && /[\w|./-]/.test(before)) && !/^([\w|/-]|[.:][\w|])/.test(after)) return true;
  }
  return false;
}

/** Content versions that one client rejected. A version is a hash of the bytes, so it says which resource it was. */
export class Rejected {
  readonly #versions = new Set<string>();

  has(resource: Resource): boolean {
    return this.#versions.has(resource.version);
  }

  add(resources: readonly Resource[]): void {
    for (const { version } of resources) {
      this.#versions.add(version);
      if (this.#versions.size <= MAX_REMEMBERED) continue;
      for (const oldest of this.#versions) {
        this.#versions.delete(oldest);
        break;
      }
    }
  }
}
