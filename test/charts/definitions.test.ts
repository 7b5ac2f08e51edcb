// The definitions that are committed are those that the schemas make, and say what users rely on.
import { readdirSync, readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';
import { parse } from 'yaml';
import { crdFiles } from '../../scripts/crds.ts';
import { KINDS, OWN_GROUPS } from '../../src/config/kinds.ts';

const FOLDER = fileURLToPath(new URL('../../charts/base/files/crds/', import.meta.url));

interface Schema {
  readonly type?: string;
  readonly properties?: Readonly<Record<string, Schema>>;
  readonly items?: Schema;
  readonly additionalProperties?: Schema;
  readonly [extension: `x-${string}`]: unknown;
}

interface Definition {
  readonly metadata: { readonly name: string };
  readonly spec: {
    readonly names: { readonly kind: string; readonly shortNames?: readonly string[] };
    readonly versions: readonly {
      readonly name: string;
      readonly storage: boolean;
      readonly subresources: object;
      readonly additionalPrinterColumns: readonly { readonly name: string }[];
      readonly schema: { readonly openAPIV3Schema: Schema };
    }[];
  };
}

const files = Object.fromEntries(readdirSync(FOLDER).map((name) => [name, readFileSync(FOLDER + name, 'utf8')]));
const definitions = Object.values(files).map((text) => parse(text) as Definition);

describe('charts/base/files/crds', () => {
  it('is what `npm run crds` writes', () => {
    expect(files).toEqual(crdFiles());
  });

  it('has every kind of ours', () => {
    const kinds = KINDS.filter(({ group }) => OWN_GROUPS.includes(group)).map(
      ({ plural, group }) => `${plural}.${group}`,
    );
    expect(definitions.map(({ metadata }) => metadata.name).sort()).toEqual(kinds.sort());
  });

  it('stores one version of each, with a status of its own', () => {
    for (const { metadata, spec } of definitions) {
      expect(
        spec.versions.filter(({ storage }) => storage),
        metadata.name,
      ).toHaveLength(1);
      for (const { subresources } of spec.versions) expect(subresources).toEqual({ status: {} });
    }
  });

  it('has short names and columns that users know', () => {
    const byKind = new Map(definitions.map((definition) => [definition.spec.names.kind, definition.spec]));
    expect(byKind.get('VirtualService')?.names.shortNames).toEqual(['vs']);
    const columns = byKind.get('VirtualService')?.versions[0]?.additionalPrinterColumns.map(({ name }) => name);
    expect(columns).toEqual(['Gateways', 'Hosts', 'Age']);
  });

  it('is structural: every field has a type, or is an integer or a string', () => {
    const walk = (schema: Schema, path: string): void => {
      expect(schema.type !== undefined || schema['x-kubernetes-int-or-string'] === true, path).toBe(true);
      for (const [name, property] of Object.entries(schema.properties ?? {})) walk(property, `${path}.${name}`);
      if (schema.items !== undefined) walk(schema.items, `${path}[]`);
      if (schema.additionalProperties !== undefined) walk(schema.additionalProperties, `${path}{}`);
    };
    for (const { spec } of definitions)
      for (const { schema } of spec.versions) walk(schema.openAPIV3Schema, spec.names.kind);
  });
});
