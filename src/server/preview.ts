// Objects that somebody thinks of applying, to a preview of what they would do. In: documents as they were written. Out: a
// report. Called by the debug pages and by `meltemi diff` over a folder. The documents are judged as a webhook judges them.

import { type ParseOptions, parseDocument } from '../config/parse/index.ts';
import { type ConfigObject, type Finding, type ObjectRef, refKey } from '../config/object.ts';
import type { Validator } from '../config/validate/index.ts';
import { type PreviewReport, previewReport } from '../console/preview.ts';
import type { PreviewRequest } from '../console/port.ts';
import { inSlices, type Slicing } from '../lib/slices.ts';
import type { Plane } from '../plane/plane.ts';
import { type Preview, without, type World } from '../plane/preview.ts';
import { analysisFindings } from './analysis.ts';

export interface PreviewParts {
  readonly plane: Plane;
  readonly validate: Validator;
  readonly slicing: Slicing;
  /** What an object is created at that says nothing of it, ms since the epoch. */
  readonly created: () => number;
}

export async function previewOf(parts: PreviewParts, request: PreviewRequest): Promise<PreviewReport> {
  const { upserts, refs, findings } = proposedObjects(parts, request);
  const change = request.delete === true ? { upserts: [], deletes: refs } : { upserts, deletes: [] };
  const { proxy } = request;
  const preview = await parts.plane.preview(change, (session) => proxy === undefined || isNamed(session, proxy));
  return inSlices(previewReport({ ...preview, ...analysedToo(preview) }, findings), parts.slicing);
}

/** Findings of linking and translation, and those of the analyzers. */
function analysedToo({ appearing, settled, worlds }: Preview): Pick<Preview, 'appearing' | 'settled'> {
  const [now, then] = worlds;
  if (now.snapshot === then.snapshot) return { appearing, settled };
  const [before, after] = [analysisIn(now), analysisIn(then)];
  return {
    appearing: without([...appearing, ...without(after, before)], []),
    settled: without([...settled, ...without(before, after)], []),
  };
}

function analysisIn({ snapshot, tables }: World): readonly Finding[] {
  return analysisFindings(snapshot, (kind) => tables.table(kind));
}

function isNamed(
  session: { readonly id: string; readonly proxy: { readonly instance: string; readonly id: string } },
  name: string,
): boolean {
  return session.proxy.instance === name || session.proxy.id === name || session.id === name;
}

interface Proposed {
  readonly upserts: readonly ConfigObject[];
  readonly refs: readonly ObjectRef[];
  readonly findings: readonly Finding[];
}

/** The last of several documents of one object counts, as when they are applied one after the other. */
function proposedObjects({ validate, created }: PreviewParts, { documents }: PreviewRequest): Proposed {
  const upserts = new Map<string, ConfigObject>();
  const refs = new Map<string, ObjectRef>();
  const findings: Finding[] = [];
  for (const { value, origin } of documents) {
    const options: ParseOptions = { unknownFields: 'error', ...(origin === undefined ? {} : { origin }) };
    for (const parsed of parseDocument(value, options)) {
      if (parsed.kind === 'ignored') findings.push(parsed.finding);
      else if (parsed.kind === 'invalid') {
        findings.push(...parsed.findings);
        if (parsed.ref !== undefined) refs.set(refKey(parsed.ref), parsed.ref);
      } else {
        const { object } = parsed;
        const found = [...parsed.warnings, ...validate(object)];
        findings.push(...found);
        refs.set(refKey(object), { kind: object.kind, namespace: object.namespace, name: object.name });
        if (found.some((finding) => finding.severity === 'error')) continue;
        upserts.set(refKey(object), object.created === 0 ? { ...object, created: created() } : object);
      }
    }
  }
  return { upserts: [...upserts.values()], refs: [...refs.values()], findings };
}
