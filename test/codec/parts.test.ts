import { expect, it } from 'vitest';
import { asField, Encoded, encode, joined } from '../../src/codec/index.ts';
import type { Draft } from '../../src/ir/draft.ts';
import { TYPE_URL } from '../../src/ir/draft.ts';
import { resourceFor } from '../../src/resources/resource.ts';

const ROUTES = 'envoy.config.route.v3.RouteConfiguration';
const hosts = [0, 1, 60, 127, 128, 300, 20_000].map((size) =>
  encode('envoy.config.route.v3.VirtualHost', { name: 'x'.repeat(size) }),
);

/** A draft of virtual hosts that are encoded, in an order, each a piece. */
function draftOf(...order: readonly number[]): Draft {
  const chosen = order.map((index) => asField(2, [hosts[index] as Uint8Array]));
  const pieces = [encode(ROUTES, { name: 'r' }), ...chosen, encode(ROUTES, { validateClusters: false })];
  return { typeUrl: TYPE_URL.route, name: 'r', bytes: joined(pieces), pieces, origins: [] };
}

it('messages of a field one behind the other are what the writer gives', () => {
  const virtualHosts = hosts.map((bytes) => new Encoded(bytes));
  expect(draftOf(0, 1, 2, 3, 4, 5, 6).bytes).toEqual(
    encode(ROUTES, { name: 'r', virtualHosts, validateClusters: false }),
  );
  expect(asField(2, hosts)).toEqual(joined(hosts.map((bytes) => asField(2, [bytes]))));
  expect(asField(2, [])).toEqual(new Uint8Array(0));
});

it('versions of what is in pieces follow the pieces and their order', () => {
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

it('resources have the bytes of their drafts, in pieces of which none is small beside another small one', () => {
  const { bytes, size, pieces = [], version } = resourceFor(draftOf(6, 0, 1, 6, 2));
  expect(joined(pieces)).toEqual(bytes);
  expect(size).toBe(bytes.length);
  const large = (piece: Uint8Array): boolean => piece.length >= 16 * 1024;
  expect(pieces.map(large)).toEqual([false, true, false, true, false]);
  expect(resourceFor({ ...draftOf(6, 0, 1, 6, 2), pieces: undefined })).toMatchObject({ size, pieces: undefined });
  expect(version).not.toBe(resourceFor({ ...draftOf(6, 0, 1, 6, 2), pieces: undefined }).version);
});
