// The order of what one list asks for and takes in.

import { describe, expect, it } from 'vitest';
import { KubeError, type KubeReader } from '../../src/sources/kube-api.ts';
import { ListWatch, type ListWatchSink } from '../../src/sources/kube-list-watch.ts';
import { quietLog, realTimers } from './harness.ts';

const PAGES = 4;

/** What is asked (`?1`), taken in (`1`) and finished, until the watch begins; `failing` is a page that is refused, once. */
async function listed(failing?: number): Promise<readonly string[]> {
  const seen: string[] = [];
  const stop = new AbortController();
  let failed = false;
  const api: KubeReader = {
    get: async (_path, query) => {
      const page = Number(query['continue'] ?? 1);
      // Credentials are looked up, and a socket is found.
      await new Promise((resolve) => process.nextTick(resolve));
      seen.push(`?${page}`);
      if (page === failing && !failed) {
        failed = true;
        throw new KubeError(410, 'the token is too old');
      }
      return { metadata: { resourceVersion: '7', continue: page < PAGES ? String(page + 1) : '' }, items: [{ page }] };
    },
    follow: async () => stop.abort(),
  };
  const sink: ListWatchSink = {
    begin: () => seen.push('begin'),
    page: (items) => seen.push(...items.map((item) => String(item['page']))),
    end: () => seen.push('end'),
    events: () => undefined,
    absent: () => undefined,
    refused: () => undefined,
  };
  const served = { apiVersion: 'v1', path: '/api/v1/pods' };
  const options = { api, sink, what: 'Pod', log: quietLog, timers: realTimers, random: () => 0 };
  await new ListWatch({ ...options, discover: async () => served }).run(stop.signal);
  return seen;
}

describe('a list of several pages', () => {
  it('asks for the next page before it takes in the one that is there, and never for more', async () => {
    expect(await listed()).toEqual(['begin', '?1', '?2', '1', '?3', '2', '?4', '3', '4', 'end']);
  });

  it('begins anew when a page that was asked for ahead does not come', async () => {
    const again = ['begin', '?1', '?2', '1', '?3', '2', '?4', '3', '4', 'end'];
    expect(await listed(3)).toEqual(['begin', '?1', '?2', '1', '?3', '2', ...again]);
  });
});

describe('a kind of which the server may have a newer version soon', () => {
  /** What is listed while `discover` gives these, one after the other and the last one for ever. */
  async function listed(...answers: readonly (string | { readonly only: string })[]): Promise<readonly string[]> {
    const seen: string[] = [];
    const stop = new AbortController();
    let asked = 0;
    let watched = 0;
    const discover = async () => {
      const answer = answers[Math.min(asked++, answers.length - 1)] ?? '';
      const version = typeof answer === 'string' ? answer : answer.only;
      const served = { apiVersion: `g/${version}`, path: `/apis/g/${version}/kinds` };
      return typeof answer === 'string' ? { ...served, provisional: true } : served;
    };
    const api: KubeReader = {
      get: async (path) => {
        seen.push(path.split('/')[3] ?? '');
        return { metadata: { resourceVersion: '7' }, items: [] };
      },
      follow: (_path, _query, signal) => {
        const calm = ++watched === new Set(answers.map((each) => JSON.stringify(each).match(/v\w+/)?.[0])).size;
        return new Promise((_resolve, reject) => {
          signal.addEventListener('abort', () => reject(new KubeError(0, 'aborted')));
          if (calm) setTimeout(() => stop.abort(), 200);
        });
      },
    };
    const nothing = (): void => undefined;
    const sink = { begin: nothing, page: nothing, end: nothing, events: nothing, absent: nothing, refused: nothing };
    const options = { api, sink, what: 'Kind', log: quietLog, timers: realTimers, random: () => 0, pollAbsentMs: 5 };
    await new ListWatch({ ...options, discover }).run(stop.signal);
    return [...seen, `asked ${asked} times`];
  }

  it('is read again in that version', async () => {
    expect(await listed('v1beta1', 'v1beta1', { only: 'v1' })).toEqual(['v1beta1', 'v1', 'asked 3 times']);
  });

  it('is looked for a few times where none comes, and not at all where there is none newer', async () => {
    expect(await listed('v1beta1')).toEqual(['v1beta1', 'asked 6 times']);
    expect(await listed({ only: 'v1' })).toEqual(['v1', 'asked 1 times']);
  });
});
