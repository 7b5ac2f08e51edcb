// What would change for which proxies if objects were applied or taken away: the same code that serves, in a world of its
// own that begins with what is served now. In: the world, a change. Out: resources before and after, and findings that would
// come or go. Called by the plane. Nothing that is served is touched: snapshots and views are immutable, and the tables by
// which proxies share are forked.

import type { ConfigObject, Finding, ObjectRef } from '../config/object.ts';
import { refKey } from '../config/object.ts';
import type { Steps } from '../lib/steps.ts';
import { type Table, tableGet, tableWith } from '../lib/table.ts';
import type { Resource } from '../resources/resource.ts';
import { type View, viewDiff, viewGet } from '../resources/view.ts';
import type { LinkedSnapshot } from '../snapshot/index.ts';
import { sameContent } from '../store/claims.ts';
import { classFindings } from '../translate/index.ts';
import type { ClassState } from './class-state.ts';
import { type ClassViews, classViews } from './class-views.ts';
import type { Linkage, LinkInputs } from './linkage.ts';
import { ownViews } from './own-views.ts';
import type { PlaneSession } from './proxy-session.ts';
import { TablePool } from './table-pool.ts';

/** Objects that would be there, as they would be admitted, and objects that would not. */
export interface ProposedChange {
  readonly upserts: readonly ConfigObject[];
  readonly deletes: readonly ObjectRef[];
}

/** One resource of one proxy; before or after is missing where it comes or goes. */
export interface ResourceChange {
  readonly typeUrl: string;
  readonly name: string;
  readonly before: Resource | undefined;
  readonly after: Resource | undefined;
}

export interface ProxyPreview {
  readonly session: PlaneSession;
  /** Never empty. */
  readonly changes: readonly ResourceChange[];
}

export interface Preview {
  /** How many proxies were looked at. */
  readonly considered: number;
  readonly proxies: readonly ProxyPreview[];
  /** Findings between objects and for proxies, which there are not yet. */
  readonly appearing: readonly Finding[];
  /** Those that would be gone. */
  readonly settled: readonly Finding[];
  /** The mesh as it is, and as it would be. */
  readonly worlds: readonly [now: World, then: World];
}

export interface World {
  readonly snapshot: LinkedSnapshot;
  readonly tables: LinkInputs['tables'];
}

export interface PreviewWorld {
  /** A fork. */
  readonly linkage: Linkage<PlaneSession>;
  readonly snapshot: LinkedSnapshot;
  readonly inputs: LinkInputs;
  readonly sessions: readonly PlaneSession[];
  readonly classes: ReadonlyMap<string, ClassState>;
}

/** Translated classes of the proposed world, and what is wrong there. */
interface Proposed {
  readonly snapshot: LinkedSnapshot;
  readonly views: Map<string, ClassViews>;
  readonly findings: Finding[];
}

export function* previewSteps(world: PreviewWorld, change: ProposedChange): Steps<Preview> {
  const { linkage, snapshot, inputs, sessions } = world;
  const then = proposedInputs(inputs, change);
  const next = linkage.build(then, snapshot);
  yield;
  const proposed: Proposed = { snapshot: next, views: new Map(), findings: [...next.findings] };
  const before: Finding[] = [...snapshot.findings];
  const proxies: ProxyPreview[] = [];
  const classes = new Set<ClassState>();
  for (const session of sessions) {
    const { classState } = session;
    if (classState === undefined) continue;
    if (!classes.has(classState)) before.push(...classState.findings());
    classes.add(classState);
    before.push(...session.findings());
    const changes = next === snapshot ? NONE : yield* sessionChanges(world, proposed, session);
    if (changes.length > 0) proxies.push({ session, changes });
    yield;
  }
  const same = next === snapshot;
  return {
    considered: sessions.length,
    proxies,
    appearing: same ? [] : without(proposed.findings, before),
    settled: same ? [] : without(before, proposed.findings),
    worlds: [
      { snapshot, tables: inputs.tables },
      { snapshot: next, tables: then.tables },
    ],
  };
}

const NONE: readonly ResourceChange[] = [];

function* sessionChanges(
  { linkage, classes }: PreviewWorld,
  proposed: Proposed,
  session: PlaneSession,
): Steps<readonly ResourceChange[]> {
  const { snapshot } = proposed;
  const { proxyClass, workload } = linkage.link(session, session.proxy, snapshot);
  let views = proposed.views.get(proxyClass.key);
  if (views === undefined) {
    const live = classes.get(proxyClass.key)?.views;
    const scope = linkage.scopeOf(snapshot, proxyClass);
    views = yield* classViews(scope, live, undefined, new TablePool());
    proposed.views.set(proxyClass.key, views);
    proposed.findings.push(...scope.findings, ...classFindings(views.scope, views.resources));
  }
  proposed.findings.push(...ownViews(views, workload).findings());
  const changes: ResourceChange[] = [];
  for (const [typeUrl, view] of session.viewsUnder(views, workload, snapshot)) {
    changes.push(...changesOf(typeUrl, session.view(typeUrl), view));
    yield;
  }
  return changes;
}

function changesOf(typeUrl: string, before: View | undefined, after: View): readonly ResourceChange[] {
  const { changed, removed } = viewDiff(before, after);
  const old = (name: string): Resource | undefined => (before === undefined ? undefined : viewGet(before, name));
  return [
    ...changed.map((resource) => ({ typeUrl, name: resource.name, before: old(resource.name), after: resource })),
    ...removed.map((name) => ({ typeUrl, name, before: old(name), after: undefined })),
  ];
}

/** The tables with the change in them. Objects that would stay what they are keep their identity. */
function proposedInputs(inputs: LinkInputs, { upserts, deletes }: ProposedChange): LinkInputs {
  const entries = new Map<string, [string, ConfigObject | undefined][]>();
  const put = (ref: ObjectRef, object: ConfigObject | undefined): void => {
    const list = entries.get(ref.kind) ?? [];
    list.push([`${ref.namespace}/${ref.name}`, object]);
    entries.set(ref.kind, list);
  };
  for (const object of upserts) put(object, admitted(inputs, object));
  for (const ref of deletes) put(ref, undefined);
  const tables = new Map<string, Table<ConfigObject>>();
  return {
    ...inputs,
    tables: {
      table: (kind) => {
        const known = tables.get(kind);
        if (known !== undefined) return known;
        const table = tableWith(inputs.tables.table(kind), entries.get(kind) ?? []);
        tables.set(kind, table);
        return table;
      },
    },
  };
}

/** An object that exists already stays as old as it is: age decides conflicts. */
function admitted(inputs: LinkInputs, object: ConfigObject): ConfigObject {
  const before = tableGet(inputs.tables.table(object.kind), `${object.namespace}/${object.name}`);
  if (before === undefined) return object;
  const aged = { ...object, apiVersion: before.apiVersion, created: before.created };
  return sameContent(before, aged) ? before : { ...aged, generation: before.generation + 1, uid: before.uid };
}

/** Findings that are not among others, each once. */
export function without(findings: readonly Finding[], others: readonly Finding[]): readonly Finding[] {
  const known = new Set(others.map(findingKey));
  const found = new Map(findings.map((finding) => [findingKey(finding), finding]));
  return [...found].flatMap(([key, finding]) => (known.has(key) ? [] : [finding]));
}

function findingKey({ code, ref, path, message }: Finding): string {
  return `${code} ${ref === undefined ? '' : refKey(ref)} ${path ?? ''} ${message}`;
}
