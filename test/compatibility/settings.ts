// Fields of the files that set up a mesh: which there are, and which of them do anything. In: the name of a file's message.
// Out: fields, and what each did when it was taken away or changed in a mesh that stands still otherwise.

import { parseMeshConfig, parseMeshNetworks } from '../../src/config/mesh.ts';
import { meshNetworksSchema } from '../../src/config/mesh-networks.ts';
import { meshConfigSchema } from '../../src/config/mesh-schema.ts';
import type { Schema } from '../../src/config/schema/schema.ts';
import { TYPE_URL } from '../../src/ir/draft.ts';
import type { LinkInputs } from '../../src/plane/linkage.ts';
import { viewResources } from '../../src/resources/view.ts';
import { Lab, objectsOf } from '../plane/lab.ts';
import { fieldsOf, presentFields, withValue } from './fields.ts';
import { baseObjects, type Effect, examplesOf, FAR_NODES, others, raise, raiseAround } from './flip.ts';

export const SETTINGS = ['MeshConfig', 'MeshNetworks'] as const;
export type Settings = (typeof SETTINGS)[number];

const SCHEMAS: Readonly<Record<Settings, Schema>> = { MeshConfig: meshConfigSchema, MeshNetworks: meshNetworksSchema };

/** Messages of DestinationRule and of TLS clients are listed there, field by field. */
const LISTED_ELSEWHERE = /^(.*(?:tlsSettings|outboundTrafficPolicy\.tls|readinessProbe|tcpKeepalive))\..+$/;

/** Sentences that say so. */
export const SETTING_FOLDS: Readonly<Record<string, readonly string[]>> = {
  MeshConfig: [
    'Settings of TLS clients, TCP keepalives and readiness probes have the fields that DestinationRule and WorkloadGroup give them; they are not listed again',
  ],
};

export function settingField(field: string): string {
  return field.replace(LISTED_ELSEWHERE, '$1');
}

export function settingFields(of: Settings): readonly string[] {
  return [...new Set([...fieldsOf(SCHEMAS[of], '')].map(settingField))];
}

/** Undefined where a value is wrong. */
function settingsFrom(of: Settings, spec: unknown): Partial<Pick<LinkInputs, 'mesh' | 'meshNetworks'>> | undefined {
  if (of === 'MeshConfig') {
    const { mesh, findings } = parseMeshConfig(spec);
    return findings.some(({ severity }) => severity === 'error') ? undefined : { mesh };
  }
  const { networks: meshNetworks, findings } = parseMeshNetworks(spec);
  return findings.length > 0 ? undefined : { meshNetworks };
}

/** Types that every proxy asks for. */
const TYPES = [TYPE_URL.cluster, TYPE_URL.endpoint, TYPE_URL.listener, TYPE_URL.route, TYPE_URL.extension];

/** Everything that the proxies have, by version. */
function held(lab: Lab): string {
  return [...lab.plane.sessions]
    .flatMap((session) =>
      TYPES.flatMap((typeUrl) => {
        const view = session.view(typeUrl);
        const resources = view === undefined ? [] : [...viewResources(view)];
        return resources.map(({ name, version }) => `${session.id} ${typeUrl} ${name} ${version}`).sort();
      }),
    )
    .join('\n');
}

/** `wanted`: fields that are looked at; every look is a mesh translated anew. */
export async function settingEffects(
  of: Settings,
  wanted: (field: string) => boolean = () => true,
): Promise<ReadonlyMap<string, Effect>> {
  const effects = new Map<string, Effect>();
  for (const { spec, with: more = [] } of examplesOf(of)) {
    const lab = new Lab({ mode: 'files' }).apply(objectsOf([...baseObjects(), ...more]));
    const under = async (value: unknown): Promise<string | undefined> => {
      const settings = settingsFrom(of, value);
      if (settings === undefined) return undefined;
      lab.set(settings);
      lab.plane.signal();
      await lab.plane.settle();
      return held(lab);
    };
    await lab.settle();
    for (const node of FAR_NODES()) lab.connect(node);
    const base = await under(spec);
    if (base === undefined) throw new Error(`an example of ${of} is refused: ${JSON.stringify(spec)}`);
    const present = [...presentFields(SCHEMAS[of], spec)];
    for (const { field, steps, schema } of present) {
      const listed = settingField(field);
      // What holds others is known by them.
      if (
        present.some(
          (other) => /^(?:\[\]|\{\})?\./.test(other.field.slice(field.length)) && other.field.startsWith(field),
        )
      )
        continue;
      const before = steps.reduce(
        (at: unknown, step) => (at as Readonly<Record<string | number, unknown>>)[step],
        spec,
      );
      for (const next of [undefined, ...others(schema, before)]) {
        if (effects.get(listed) === 'resource' || !wanted(listed)) break;
        const then = await under(withValue(spec, steps, next));
        raise(effects, listed, then === undefined ? 'refused' : then === base ? 'none' : 'resource');
      }
    }
  }
  raiseAround(effects);
  return effects;
}
