// Values that the schema takes and nobody means, in every field of every example, before a mesh that is served: the object
// is refused with a path and a reason, or what it does stays with resources that it has a part in. Nothing fails.

import { describe, expect, it } from 'vitest';
import { TABLED } from '../../scripts/compatibility.ts';
import type { ConfigObject, Kind } from '../../src/config/object.ts';
import { parseDocument } from '../../src/config/parse/index.ts';
import { istioSchema } from '../../src/config/parse/istio.ts';
import type { Schema } from '../../src/config/schema/schema.ts';
import { createValidator } from '../../src/config/validate/index.ts';
import { TYPE_URL } from '../../src/ir/draft.ts';
import { formatPath } from '../../src/lib/field-path.ts';
import { resourceOrigins } from '../../src/plane/explain.ts';
import type { ResourceChange } from '../../src/plane/preview.ts';
import type { PlaneSession } from '../../src/plane/proxy-session.ts';
import type { OfflineMesh } from '../../src/server/offline.ts';
import { re2Checker } from '../../src/store/re2.ts';
import { type PresentField, presentFields, withValue } from './fields.ts';
import { type Example, exampleMesh, FEW_NODES, exampleObject, examplesOf } from './flip.ts';

const validate = createValidator({ regex: re2Checker() });

function senseless({ type, enum: listed, minimum, maximum }: Schema): readonly unknown[] {
  if (type === 'string') return listed === undefined ? ['', '!! not: a [host'] : [];
  if (type === 'array') return [[]];
  if (type === 'object') return [{}];
  if (type !== 'integer' && type !== 'number') return [];
  return [-1, 4_294_967_295].filter((each) => each >= (minimum ?? each) && each <= (maximum ?? each));
}

/** What is wrong with how the value is taken; undefined where all is well. */
async function problemOf(
  kind: Kind,
  mesh: OfflineMesh,
  { spec }: Example,
  { steps }: PresentField,
  value: unknown,
): Promise<string | undefined> {
  const told = `${formatPath(['spec', ...steps])} = ${JSON.stringify(value).slice(0, 40)}`;
  const raw = exampleObject(kind, withValue(spec, steps, value));
  const [parsed] = parseDocument(raw, { unknownFields: 'error' });
  if (parsed === undefined || parsed.kind === 'ignored') return `${told} is ignored`;
  const object = parsed.kind === 'object' ? parsed.object : undefined;
  const findings = parsed.kind === 'object' ? validate(parsed.object) : parsed.findings;
  if (findings.some(({ code }) => code === 'MEL0013')) return `${told} makes a validator fail`;
  const errors = findings.filter(({ severity }) => severity === 'error');
  if (errors.length > 0 || object === undefined) {
    const vague = errors.find((each) => each.path === undefined || each.message === '' || each.ref === undefined);
    return vague === undefined ? undefined : `${told} is refused without place or reason`;
  }
  const preview = await mesh.plane.preview({ upserts: [object], deletes: [] }).catch((error: unknown) => String(error));
  if (typeof preview === 'string') return `${told} makes translation fail: ${preview}`;
  const { proxies } = preview;
  const stray = proxies.flatMap(({ session, changes }) =>
    changes.filter((change) => {
      // A rule that comes into view shapes the endpoints of the clusters that it shapes.
      const cluster = changes.find(({ typeUrl, name }) => typeUrl === TYPE_URL.cluster && name === change.name);
      return ![change, cluster ?? change].some((each) => hasPart(object, mesh, session, each));
    }),
  );
  return stray.length === 0 ? undefined : `${told} changes ${stray.map(({ name }) => name).join(', ')}`;
}

/** Objects that say what a proxy sees have a part in all of it. */
const EVERYWHERE: ReadonlySet<Kind> = new Set([
  'Sidecar',
  'ProxyConfig',
  'PeerAuthentication',
  'WorkloadEntry',
  'ServiceEntry',
]);

/** By what `explain` says of the resource as it is, and what the draft itself says of how it would be. */
function hasPart(
  object: ConfigObject,
  mesh: OfflineMesh,
  session: PlaneSession,
  { before, after }: ResourceChange,
): boolean {
  if (EVERYWHERE.has(object.kind)) return true;
  const { snapshot } = mesh.plane;
  const { byKind } = mesh.store.state();
  const known =
    before === undefined || snapshot === undefined
      ? []
      : resourceOrigins(session, before, snapshot, (kind) => byKind[kind]);
  const origins = [...known, ...(after?.origins ?? [])];
  return origins.some(
    ({ kind, namespace, name }) => kind === object.kind && namespace === object.namespace && name === object.name,
  );
}

describe('values that nobody means', () => {
  it.each(TABLED)(
    'are refused or contained, in every field of %s',
    async (kind) => {
      const schema = istioSchema(kind) ?? {};
      const problems: string[] = [];
      const seen = new Set<string>();
      for (const example of examplesOf(kind)) {
        const mesh = await exampleMesh(kind, example, FEW_NODES());
        for (const present of presentFields(schema, example.spec)) {
          if (seen.has(present.field)) continue;
          seen.add(present.field);
          for (const value of senseless(present.schema)) {
            const problem = await problemOf(kind, mesh, example, present, value);
            if (problem !== undefined) problems.push(problem);
          }
        }
        mesh.stop();
      }
      expect(problems).toEqual([]);
    },
    120_000,
  );
});
