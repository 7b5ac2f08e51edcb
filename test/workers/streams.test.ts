// The tests of streams once more, with a worker between them and their views: what proxies see is the same.
import { afterAll, expect } from 'vitest';
import { between } from '../xds/support.ts';
import { loopbackBetween } from './loopback.ts';

const errors = loopbackBetween();
between.scale = 0.1;

await import('../xds/conformance.test.ts');
await import('../xds/ordering.test.ts');
await import('../xds/stream.test.ts');
await import('../xds/model.test.ts');

// One of them has a session throw.
afterAll(() => expect(errors).toMatchObject([{ error: { message: 'bug' } }]));
