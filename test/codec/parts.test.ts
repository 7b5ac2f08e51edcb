import { expect, it } from 'vitest';
import { Encoded, encode, ofParts } from '../../src/codec/index.ts';
import type { Draft } from '../../src/ir/draft.ts';
import { TYPE_URL } from '../../src/ir/draft.ts';
import { resourceFor } from '../../src/resources/resource.ts';

const ROUTES = 'envoy.config.route.v3.RouteConfiguration';
const hosts = [0, 1, 60, 127, 128, 300, 20_000].map((size) =>
  encode('envoy.config.route.v3.VirtualHost', { name: 'x'.repeat(size) }),
);

/** A draft from virtual hosts that are encoded, in an order. */
function draftOf(...order: readonly number[]): Draft {
  const chosen = order.map((index) => hosts[index] as Uint8Array);
  const parts = [encode(ROUTES, { name: 'r' }), ...chosen, encode(ROUTES, { validateClusters: false })];
  return { typeUrl: TYPE_URL.route, name: 'r', bytes: ofParts(2, parts), parts, origins: [] };
}

it('parts one behind the other are what the writer gives', () => {
  const virtualHosts = hosts.map((bytes) => new Encoded(bytes));
  expect(draftOf(0, 1, 2, 3, 4, 5, 6).bytes).toEqual(
    encode(ROUTES, { name: 'r', virtualHosts, validateClusters: false }),
  );
  expect(ofParts(2, [])).toEqual(new Uint8Array(0));
});

it('versions of what is in parts follow the parts and their order', () => {
  const { version } = resourceFor(draftOf(0, 1, 2));
  expect(version).toMatch(/^[\w-]{16}$/);
  expect(resourceFor(draftOf(0, 1, 2)).version).toBe(version);
  for (const order of [
    [0, 2, 1],
    [0, 1],
    [0, 1, 2, 2],
    [0, 1, 3],
  ])
    expect(resourceFor(draftOf(...order)).version).not.toBe(version);
});
