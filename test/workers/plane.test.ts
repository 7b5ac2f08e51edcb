// On demand, and virtual hosts one by one, with a worker between streams and plane: views that follow what proxies name.
// Debug pages over xDS are such views too.
import { afterAll, expect } from 'vitest';
import { loopbackBetween } from './loopback.ts';

const errors = loopbackBetween();

await import('../plane/on-demand.test.ts');
await import('../plane/split-routes.test.ts');
await import('../console/debug-stream.test.ts');

afterAll(() => expect(errors).toEqual([]));
