// The tests of streams once more, with a worker between them and their views: what proxies see is the same.
import { afterAll, expect } from 'vitest';
import type { Log } from '../../src/lib/ports.ts';
import { between, ManualTimers, silentLog } from '../xds/support.ts';
import { loopback } from './loopback.ts';

const errors: object[] = [];
const log: Log = { ...silentLog, error: (fields) => errors.push(fields), child: () => log };

between.runs = 40;
between.port = (world, defer) => loopback(world, { defer, timers: new ManualTimers(), log }).port;

await import('../xds/conformance.test.ts');
await import('../xds/ordering.test.ts');
await import('../xds/stream.test.ts');
await import('../xds/model.test.ts');

afterAll(() => {
  // One of them has a session throw.
  expect(errors).toMatchObject([{ error: { message: 'bug' } }]);
});
