// What one source says about its objects: the version accepted last, and what speaks against the newest one.
// Identity is made here: an object equal to the accepted one leaves that one in place, part by part where parts are equal.

import type { ConfigObject, Finding, Locate, ObjectEvent, ObjectRef } from '../config/object.ts';
import { refKey } from '../config/object.ts';
import { deepEqual } from '../lib/equal.ts';

export interface Claim {
  readonly ref: ObjectRef;
  /** The last valid version; undefined where there never was one. */
  readonly accepted: ConfigObject | undefined;
  /** Of the newest version, accepted or not; an accepted object keeps that of the version that it is made of. */
  readonly generation: number;
  /** Why the newest version is not the accepted one. */
  readonly refused: readonly Finding[];
  /** What is odd about the accepted version. */
  readonly warnings: readonly Finding[];
}

export type Validate = (object: ConfigObject) => readonly Finding[];

const NONE: readonly Finding[] = [];

/** The claim after an upsert. `before` is the claim of the same source about the same object. */
export function admit(
  before: Claim | undefined,
  event: Extract<ObjectEvent, { kind: 'upsert' }>,
  validate: Validate,
): Claim {
  const { object, locate } = event;
  const ref: ObjectRef = { kind: object.kind, namespace: object.namespace, name: object.name };
  const accepted = before?.accepted;
  const equal = accepted !== undefined && sameContent(accepted, object);
  // Findings carry line numbers, which move without the object changing: a claim with findings is judged again.
  if (equal && before !== undefined && before.refused.length === 0 && before.warnings.length === 0) {
    if ((event.warnings ?? NONE).length === 0)
      return before.generation === object.generation ? before : { ...before, generation: object.generation };
  }
  const found = validate(object).map((finding) => located(finding, object, locate));
  const errors = found.filter((finding) => finding.severity === 'error');
  const { generation } = object;
  if (errors.length > 0) return { ref, accepted, generation, refused: errors, warnings: before?.warnings ?? NONE };
  const warnings = [...(event.warnings ?? NONE), ...found];
  return {
    ref,
    generation,
    accepted: equal ? accepted : sharing(accepted, object),
    refused: NONE,
    warnings: warnings.length === 0 ? NONE : warnings,
  };
}

/** The claim after the source could not read the object. */
export function refuse(before: Claim | undefined, ref: ObjectRef, findings: readonly Finding[]): Claim {
  const { accepted, generation = 0, warnings = NONE } = before ?? {};
  return { ref, accepted, generation, refused: findings, warnings };
}

/** Origin, generation and uid tell where and how often an object was written, not what it says. */
export function sameContent(a: ConfigObject, b: ConfigObject): boolean {
  return (
    a.apiVersion === b.apiVersion &&
    a.created === b.created &&
    deepEqual(a.labels, b.labels) &&
    deepEqual(a.annotations, b.annotations) &&
    deepEqual(a.spec, b.spec) &&
    deepEqual(a.status, b.status)
  );
}

/** A changed object keeps the parts that did not change, so that what depends on these alone is not redone. */
function sharing(before: ConfigObject | undefined, object: ConfigObject): ConfigObject {
  if (before === undefined) return object;
  return {
    ...object,
    labels: deepEqual(before.labels, object.labels) ? before.labels : object.labels,
    annotations: deepEqual(before.annotations, object.annotations) ? before.annotations : object.annotations,
    spec: deepEqual(before.spec, object.spec) ? before.spec : object.spec,
    ...(object.status === undefined
      ? {}
      : { status: deepEqual(before.status, object.status) ? before.status : object.status }),
  };
}

function located(finding: Finding, object: ConfigObject, locate: Locate | undefined): Finding {
  const place = (finding.path === undefined ? undefined : locate?.(finding.path)) ?? finding.origin ?? object.origin;
  return place === undefined ? finding : { ...finding, origin: place };
}

/** Every invalid event of one batch, by object: they add up within a batch and replace those of earlier ones. */
export function refusalsOf(
  events: readonly ObjectEvent[],
): ReadonlyMap<string, { ref: ObjectRef; findings: Finding[] }> {
  const refusals = new Map<string, { ref: ObjectRef; findings: Finding[] }>();
  for (const event of events) {
    if (event.kind !== 'invalid' || event.ref === undefined) continue;
    const key = refKey(event.ref);
    const known = refusals.get(key);
    if (known === undefined) refusals.set(key, { ref: event.ref, findings: [event.finding] });
    else known.findings.push(event.finding);
  }
  return refusals;
}
