// RouteConfigurations in runs: the bytes of all virtual hosts in order, in the same pieces whatever was there before.

import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { decodeShallow } from '../../../src/codec/index.ts';
import { sameList } from '../../../src/lib/table.ts';
import type { Encoded } from '../../../src/messages/index.ts';
import { resourceFor } from '../../../src/resources/resource.ts';
import { hostRuns } from '../../../src/translate/routes/host-runs.ts';
import { routeConfiguration, type VirtualHost, virtualHost } from '../../../src/translate/routes/route-config.ts';

const LIST = { routes: [], origins: [], findings: [] };
const LARGE = 16 * 1024;

/** With a name so long that a few dozen make a run, and one that makes one alone. */
function hostOf(at: number, size: number): VirtualHost {
  return virtualHost(LIST, `h${at}`, 'd'.repeat(size), false, false);
}

const sizes = fc.array(fc.oneof({ weight: 20, arbitrary: fc.integer({ min: 1, max: 3000 }) }, fc.constant(20_000)), {
  maxLength: 120,
});

describe('virtual hosts in runs', () => {
  it('are the same runs from nothing as from those of before', () => {
    fc.assert(
      fc.property(sizes, fc.array(fc.nat(200)), (all, edits) => {
        let hosts = all.map((size, at) => hostOf(at, size));
        let runs = hostRuns(2, hosts, undefined);
        for (const edit of edits) {
          const at = edit % 4 === 0 ? hosts.length : edit % (hosts.length + 1);
          // One more, one less, or another in its place.
          hosts = hosts.toSpliced(at, edit % 3 === 0 ? 0 : 1, ...(edit % 3 === 1 ? [] : [hostOf(1000 + edit, edit)]));
          runs = hostRuns(2, hosts, runs);
          const fresh = hostRuns(2, hosts, undefined);
          expect(runs.map((run) => run.hosts.length)).toEqual(fresh.map((run) => run.hosts.length));
          expect(
            sameList(
              runs.flatMap((run) => run.hosts),
              hosts,
            ),
          ).toBe(true);
          const [bytes, anew] = [runs, fresh].map((each) => Buffer.concat(each.map((run) => run.bytes)));
          expect(bytes?.equals(anew as Buffer)).toBe(true);
        }
      }),
      { numRuns: 30 },
    );
  });

  it('are found again behind many of others that begin alike, while they are asked for', () => {
    const [first, shared, last] = [1, 2, 3].map((at) => hostOf(at, 9_000)) as [VirtualHost, VirtualHost, VirtualHost];
    const whole = [first, shared, last];
    const [run] = hostRuns(2, whole, undefined);
    const kept: unknown[] = [];
    for (let other = 0; other < 100; other++) {
      kept.push(hostRuns(2, [first, hostOf(100 + other, 9_000), last], undefined));
      if (other % 10 === 0) expect(hostRuns(2, whole, undefined)[0]).toBe(run);
    }
    expect(kept).toHaveLength(100);
  });

  it('are no shorter than what is worth to be sent where it lies, but for the last', () => {
    fc.assert(
      fc.property(sizes, (all) => {
        const lengths = hostRuns(
          2,
          all.map((size, at) => hostOf(at, size)),
          undefined,
        ).map((run) => run.bytes.length);
        expect(lengths.slice(0, -1).every((length) => length >= LARGE)).toBe(true);
      }),
    );
  });

  it('leave all but their neighbours alone when one comes, whoever asks', () => {
    const hosts = Array.from({ length: 1000 }, (_, at) => hostOf(at, 500));
    const before = hostRuns(2, hosts, undefined);
    const more = hosts.toSpliced(500, 0, hostOf(5000, 500));
    const after = hostRuns(2, more, before);
    expect(before.length).toBeGreaterThan(10);
    const come = after.filter((run) => !before.includes(run));
    expect(come.length).toBeLessThanOrEqual(4);
    expect(hostRuns(2, more, undefined)).toEqual(after);
    expect(hostRuns(2, more, undefined).every((run, at) => run === after[at])).toBe(true);
  });

  it('are a RouteConfiguration of which nothing is copied', () => {
    const hosts = Array.from({ length: 200 }, (_, at) => hostOf(at, 500));
    const draft = routeConfiguration('80', hosts, [], undefined);
    const resource = resourceFor(draft);
    const runs = hostRuns(2, hosts, undefined);
    expect(resource.pieces?.filter((piece) => piece.length >= LARGE)).toEqual(
      runs.map((run) => run.bytes).filter((bytes) => bytes.length >= LARGE),
    );
    for (const piece of resource.pieces ?? []) if (piece.length >= LARGE) expect(draft.pieces).toContain(piece);
    const { virtualHosts } = decodeShallow('envoy.config.route.v3.RouteConfiguration', draft.bytes);
    expect((virtualHosts as readonly Encoded[]).map(({ bytes }) => Buffer.from(bytes))).toEqual(
      hosts.map((host) => Buffer.from(host.message.bytes)),
    );
  });
});
