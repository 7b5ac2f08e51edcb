// One entry of a map, put around a message that is already encoded.

import fc from 'fast-check';
import { expect, it } from 'vitest';
import { encode, encodeEntry } from '../../src/codec/index.ts';

const RBAC = 'envoy.config.rbac.v3.RBAC';
/** `policies` of it. */
const POLICIES = 2;

it('is what encoding the whole map gives', () => {
  const key = fc.string({ unit: 'binary', maxLength: 300, size: 'max' });
  const paths = fc.array(fc.string({ maxLength: 100, size: 'max' }), { maxLength: 40, size: 'max' });
  fc.assert(
    fc.property(key, paths, (name, list) => {
      const permissions = list.map((exact) => ({ urlPath: { path: { exact } } }));
      const policy = { permissions, principals: [{ any: true }] };
      const policies = Object.fromEntries([[name, policy]]);
      const entry = encodeEntry(POLICIES, name, encode('envoy.config.rbac.v3.Policy', policy));
      expect(Buffer.from(entry)).toEqual(Buffer.from(encode(RBAC, { policies })));
    }),
  );
});
