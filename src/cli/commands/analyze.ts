// `meltemi analyze`: everything that can be found wrong with objects, from files or on a server, before it hurts.
// In: files, folders, a server. Out: findings as istioctl writes them, and an exit status: 79 when one reaches the failure
// threshold, 65 when a file can't be read, else 0.

import { ANALYZERS, analysisOf, analyze, type WrittenDocument } from '../../analyze/index.ts';
import { findingLine, levelOf, placeOf } from '../finding-text.ts';
import type { Finding, Severity } from '../../config/object.ts';
import { type PreviewReport } from '../../console/preview.ts';
import type { AnalysisReport } from '../../console/port.ts';
import { suppressedByAnnotation } from '../../server/analysis.ts';
import { type Manifest, placedIn, readManifests } from '../../sources/manifests.ts';
import { getPage, postPage, type ServerFlags } from '../debug-http.ts';
import { outputFormat, structured } from '../output.ts';
import { meshOfManifests, type OfflineFlags } from '../offline.ts';
import { type CommandContext, UsageError } from '../program.ts';
import { nodesOfPods } from '../proxies.ts';
import { parseSuppressions, type Suppression, suppresses } from '../suppressions.ts';

export interface AnalyzeFlags extends ServerFlags, OfflineFlags {
  readonly server?: string;
  readonly namespace?: string;
  readonly allNamespaces?: boolean;
  readonly analyzer: readonly string[];
  readonly listAnalyzers?: boolean;
  readonly suppress: readonly string[];
  readonly failureThreshold: string;
  readonly outputThreshold: string;
  readonly ignoreUnknown?: boolean;
  readonly output: string;
}

const REACHED = 79;
const UNREADABLE = 65;

export async function analyzeCommand(
  paths: readonly string[],
  flags: AnalyzeFlags,
  context: CommandContext,
): Promise<number> {
  if (flags.listAnalyzers === true) {
    context.out(Object.keys(ANALYZERS).join('\n'));
    return 0;
  }
  const format = outputFormat(flags.output, ['log', 'json', 'yaml']);
  const failure = threshold('failure-threshold', flags.failureThreshold);
  const output = threshold('output-threshold', flags.outputThreshold);
  const suppressions = parseSuppressions(flags.suppress);
  if (paths.length === 0 && flags.server === undefined)
    throw new UsageError('nothing to analyze: give files, folders or --server', 64);
  for (const name of flags.analyzer)
    if (!Object.hasOwn(ANALYZERS, name)) throw new UsageError(`--analyzer ${name}: see --list-analyzers`, 64);
  const { findings, unreadable } = await found(paths, flags, context);
  const told = findings.filter((finding) => counts(finding, flags, suppressions));
  const shown = told.filter((finding) => rankOf(finding.severity) >= output);
  context.out(format === 'log' ? shown.map(findingLine).join('\n') : await structured(shown.map(message), format));
  const bad = told.filter((finding) => rankOf(finding.severity) >= failure).length;
  context.err(bad > 0 ? `Error: ${bad} findings reach the failure threshold.` : `Analyzed: ${told.length} findings.`);
  if (unreadable && flags.ignoreUnknown !== true) return UNREADABLE;
  return bad > 0 ? REACHED : 0;
}

interface Found {
  readonly findings: readonly Finding[];
  readonly unreadable: boolean;
}

async function found(paths: readonly string[], flags: AnalyzeFlags, context: CommandContext): Promise<Found> {
  const { documents, findings: unread } = await readManifests(paths, process.stdin);
  const unreadable = unread.length > 0;
  if (flags.server === undefined)
    return { findings: [...unread, ...(await offline(documents, flags, context))], unreadable };
  const { findings } = (await getPage(flags.server, 'analyze', flags)) as AnalysisReport;
  if (documents.length === 0) return { findings: [...unread, ...findings], unreadable };
  const request = { documents: documents.map(({ value, origin }) => ({ value, origin })) };
  const report = (await postPage(flags.server, 'preview', request, flags)) as PreviewReport;
  const gone = new Set(report.settled.map((finding) => JSON.stringify(finding)));
  const left = findings.filter((finding) => !gone.has(JSON.stringify(finding)));
  const about = placedIn(documents, [...report.findings, ...report.appearing]);
  return { findings: [...unread, ...left, ...about], unreadable };
}

async function offline(
  documents: readonly Manifest[],
  flags: AnalyzeFlags,
  context: CommandContext,
): Promise<readonly Finding[]> {
  const mesh = await meshOfManifests(documents, flags, context);
  try {
    const { plane, store } = mesh;
    await mesh.connect(nodesOfPods(store.state(), flags.domain, flags.clusterID));
    const { snapshot } = plane;
    const { byKind } = store.state();
    if (snapshot === undefined) return mesh.findings();
    const analysis = analysisOf(snapshot, (kind) => byKind[kind], documents.flatMap(written));
    const names = flags.analyzer.length === 0 ? undefined : flags.analyzer;
    const known = names === undefined ? mesh.findings() : [];
    return analyze(analysis, known, names).filter((finding) => !suppressedByAnnotation(finding, store.state()));
  } finally {
    mesh.stop();
  }
}

function written({ value, origin }: Manifest): readonly WrittenDocument[] {
  const { kind, metadata } = (value ?? {}) as {
    readonly kind?: unknown;
    readonly metadata?: { readonly name?: unknown; readonly namespace?: unknown };
  };
  const name = metadata?.name;
  if (typeof kind !== 'string' || typeof name !== 'string') return [];
  const namespace = typeof metadata?.namespace === 'string' ? metadata.namespace : 'default';
  return [{ kind, namespace, name, value: value as Readonly<Record<string, unknown>>, origin }];
}

const RANKS: Readonly<Record<Severity, number>> = { info: 0, warning: 1, error: 2 };

function rankOf(severity: Severity): number {
  return RANKS[severity];
}

function threshold(flag: string, text: string): number {
  const severity = text.toLowerCase();
  if (severity !== 'info' && severity !== 'warning' && severity !== 'error')
    throw new UsageError(`--${flag} ${text}: expected Info, Warning or Error`, 64);
  return RANKS[severity];
}

/** Kinds that mean nothing here are no mistake of anybody's. */
const SILENT = 'MEL0005';

function counts(finding: Finding, flags: AnalyzeFlags, suppressions: readonly Suppression[]): boolean {
  if (finding.code === SILENT || suppresses(suppressions, finding)) return false;
  if (flags.namespace === undefined || flags.allNamespaces === true) return true;
  const { ref } = finding;
  return (
    ref === undefined || ref.namespace === flags.namespace || (ref.kind === 'Namespace' && ref.name === flags.namespace)
  );
}

/** As `istioctl analyze -o json` has them. */
function message(finding: Finding): object {
  const { code, origin, path, expected } = finding;
  return {
    code,
    level: levelOf(finding),
    origin: placeOf({ ...finding, origin: undefined }),
    ...(origin === undefined ? {} : { reference: origin }),
    ...(path === undefined ? {} : { path }),
    message: finding.message,
    ...(expected === undefined ? {} : { expected }),
  };
}
