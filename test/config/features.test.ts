import { expect, it } from 'vitest';
import { DEFAULT_LABELS, featureLabels, featuresOf, isDualStack, withFeatures } from '../../src/config/features.ts';
import { parseMeshConfig } from '../../src/config/mesh.ts';

const ALL = { PILOT_ENABLE_QUIC_LISTENERS: 'true', PILOT_ENABLE_PERSISTENT_SESSION_FILTER: '1' };

it('features are on where the environment says so in a word that Go takes for true', () => {
  const off = {
    ...{ quicListeners: false, persistentSessions: false, internalNetworks: false, dualStack: false },
    labels: DEFAULT_LABELS,
  };
  expect(featuresOf({})).toEqual({ features: off, unknown: [] });
  expect(featuresOf(ALL)).toEqual({ features: { ...off, quicListeners: true, persistentSessions: true }, unknown: [] });
  expect(featuresOf({ ...ALL, PILOT_ENABLE_QUIC_LISTENERS: 'yes' })).toEqual({
    features: { ...off, persistentSessions: true },
    unknown: ['PILOT_ENABLE_QUIC_LISTENERS'],
  });
  expect(featuresOf({ ISTIO_DUAL_STACK: 'true', ENABLE_HCM_INTERNAL_NETWORKS: 't' }).features).toEqual({
    ...{ ...off, dualStack: true, internalNetworks: true },
  });
});

it('labels may have other names, or none', () => {
  const { features } = featuresOf({ PILOT_PERSISTENT_SESSION_LABEL: 'a/b', PILOT_DRAINING_LABEL: '' });
  expect(features.labels).toEqual({ ...DEFAULT_LABELS, sessionCookie: 'a/b', draining: '' });
  const { mesh } = parseMeshConfig({});
  expect(featureLabels(withFeatures(mesh, features))).toBe(features.labels);
  expect(featureLabels(mesh)).toBe(DEFAULT_LABELS);
});

it('a mesh is dual stack by the environment, or by what it tells its agents', () => {
  const { mesh } = parseMeshConfig({});
  expect(isDualStack(mesh)).toBe(false);
  expect(isDualStack(withFeatures(mesh, featuresOf({ ISTIO_DUAL_STACK: '1' }).features))).toBe(true);
  const told = parseMeshConfig({ defaultConfig: { proxyMetadata: { ISTIO_DUAL_STACK: 'true' } } }).mesh;
  expect(isDualStack(told)).toBe(true);
});

it('features ride on the mesh: the same object for the same mesh, the mesh itself without any', () => {
  const { mesh } = parseMeshConfig({});
  const { features } = featuresOf(ALL);
  expect(withFeatures(mesh, undefined)).toBe(mesh);
  expect(withFeatures(mesh, featuresOf({}).features)).toBe(mesh);
  expect(withFeatures(mesh, features).features).toBe(features);
  expect(withFeatures(mesh, features)).toBe(withFeatures(mesh, features));
});
