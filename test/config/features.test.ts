import { expect, it } from 'vitest';
import { featuresOf, withFeatures } from '../../src/config/features.ts';
import { parseMeshConfig } from '../../src/config/mesh.ts';

const ALL = { PILOT_ENABLE_QUIC_LISTENERS: 'true', PILOT_ENABLE_PERSISTENT_SESSION_FILTER: '1' };

it('features are on where the environment says so in a word that Go takes for true', () => {
  expect(featuresOf({})).toEqual({ features: { quicListeners: false, persistentSessions: false }, unknown: [] });
  expect(featuresOf(ALL)).toEqual({ features: { quicListeners: true, persistentSessions: true }, unknown: [] });
  expect(featuresOf({ ...ALL, PILOT_ENABLE_QUIC_LISTENERS: 'yes' })).toEqual({
    features: { quicListeners: false, persistentSessions: true },
    unknown: ['PILOT_ENABLE_QUIC_LISTENERS'],
  });
});

it('features ride on the mesh: the same object for the same mesh, the mesh itself without any', () => {
  const { mesh } = parseMeshConfig({});
  const { features } = featuresOf(ALL);
  expect(withFeatures(mesh, undefined)).toBe(mesh);
  expect(withFeatures(mesh, featuresOf({}).features)).toBe(mesh);
  expect(withFeatures(mesh, features).features).toBe(features);
  expect(withFeatures(mesh, features)).toBe(withFeatures(mesh, features));
});
