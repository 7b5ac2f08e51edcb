// Small parts: messages in pieces, questions that fail, counts of several, numbers of cores.
import { Duplex } from 'node:stream';
import { describe, expect, it } from 'vitest';
import { coresGiven, workersFor } from '../../src/cli/cores.ts';
import { createMetrics } from '../../src/telemetry/metrics.ts';
import { CallError, Calls } from '../../src/workers/calls.ts';
import { Channel } from '../../src/workers/channel.ts';
import type { Call } from '../../src/workers/messages.ts';
import { Absorbed, ForwardingMeter } from '../../src/workers/metrics.ts';
import { commandLine } from '../cli/support.ts';
import { sumOf } from '../support/server.ts';

describe('a channel', () => {
  it('gives messages as they were, whatever the pieces in which they come', () => {
    const written: Buffer[] = [];
    const out = new Channel<unknown, unknown>(pipe(written), () => undefined);
    const messages = [
      { kind: 'a' },
      { text: 'x'.repeat(20_000), bytes: Buffer.alloc(10, 7) },
      'third',
      new Map([['k', [1, 2]]]),
    ];
    for (const message of messages) out.send(message);
    const all = Buffer.concat(written);
    for (const size of [1, 3, 4, 5, 4096, all.length]) {
      const received: unknown[] = [];
      const source = pipe([]);
      const channel = new Channel<unknown, unknown>(source, (message) => received.push(message));
      expect(channel).toBeDefined();
      for (let at = 0; at < all.length; at += size) source.emit('data', all.subarray(at, at + size));
      expect(received).toEqual(messages);
    }
  });
});

function pipe(written: Buffer[]): Duplex {
  return new Duplex({
    read() {},
    write(chunk: Buffer, _encoding, done) {
      written.push(chunk);
      done();
    },
  });
}

describe('a question', () => {
  const between = (answers: ConstructorParameters<typeof Calls>[1]): Calls => {
    const there: Calls = new Calls((call: Call) => here.take(call), answers);
    const here: Calls = new Calls((call: Call) => there.take(call), {});
    return here;
  };

  it('is answered, or fails with the code of what was thrown', async () => {
    const calls = between({
      twice: (number: number) => number * 2,
      refuse: () => {
        throw Object.assign(new Error('no'), { code: 'TTL_TOO_LONG' });
      },
    });
    expect(await calls.ask('twice', 21)).toBe(42);
    await expect(calls.ask('refuse')).rejects.toMatchObject({ message: 'no', code: 'TTL_TOO_LONG' });
  });

  it('fails when nobody is left to answer', async () => {
    const calls = between({ never: () => new Promise(() => undefined) });
    const asked = calls.ask('never');
    calls.end();
    await expect(asked).rejects.toBeInstanceOf(CallError);
  });
});

it('metrics of workers are summed, and what a dead one counted stays', async () => {
  const root = createMetrics();
  const absorbed = new Absorbed(root.meter);
  const worker = (streams: number, largest: number): ForwardingMeter => {
    const meter = new ForwardingMeter();
    meter.counter('pilot_xds_pushes', 'Sent.', ['type']).inc({ type: 'cds' }, 3);
    meter.gauge('pilot_xds_streams', 'Open.').set(streams);
    meter.gauge('pilot_xds_recv_max', 'Largest.').set(largest);
    meter.histogram('seconds', 'Time.', [1, 2]).observe(1.5);
    return meter;
  };
  const [one, two] = [worker(2, 100), worker(5, 50)];
  absorbed.take(1, one.take());
  absorbed.take(2, two.take());
  absorbed.take(1, one.take());
  const value = async (name: string) => sumOf(await root.render(), name, {});
  expect(await value('pilot_xds_pushes')).toBe(6);
  expect(await value('pilot_xds_streams')).toBe(7);
  expect(await value('pilot_xds_recv_max')).toBe(100);
  expect(await value('seconds_count')).toBe(2);
  absorbed.forget(1);
  expect([await value('pilot_xds_pushes'), await value('pilot_xds_streams')]).toEqual([6, 5]);
});

it('auto leaves a core for translation, and makes no worker where there are few', () => {
  expect([1, 2, 3, 4, 5, 9, 64].map(workersFor)).toEqual([1, 1, 1, 3, 4, 8, 8]);
  const cores = (files: Readonly<Record<string, string>>) => coresGiven((file) => files[file]);
  const all = cores({});
  expect(all).toBeGreaterThanOrEqual(1);
  expect(cores({ '/sys/fs/cgroup/cpu.max': '100000 100000\n' })).toBe(1);
  expect(cores({ '/sys/fs/cgroup/cpu.max': '50000 100000\n' })).toBe(1);
  expect(cores({ '/sys/fs/cgroup/cpu.max': 'max 100000\n' })).toBe(all);
  const v1 = (quota: string) => ({
    '/sys/fs/cgroup/cpu/cpu.cfs_quota_us': quota,
    '/sys/fs/cgroup/cpu/cpu.cfs_period_us': '100000\n',
  });
  expect([cores(v1('-1\n')), cores(v1('100000\n'))]).toEqual([all, 1]);
});

it.each(['none', '0', '65', '2.5', '-1'])(
  '--workers %s is told to be wrong before anything is started',
  async (text) => {
    const { code, err } = await commandLine('serve', '--configDir', '/nonexistent', `--workers=${text}`);
    expect([code, err.trim()]).toEqual([64, `meltemi: --workers ${text}: expected auto, or a number from 1 to 64`]);
  },
);
