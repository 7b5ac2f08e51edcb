// `meltemi diff`: what objects would change, proxy by proxy, before they are applied.
// In: files; a folder, a running server or both. Out: a report and an exit status: 0 nothing changes, 1 something does,
// 2 it can't be told.

import { readFile } from 'node:fs/promises';
import type { Finding } from '../../config/object.ts';
import type { DescribedChange, PreviewGroup, PreviewReport } from '../../console/preview.ts';
import type { PreviewRequest } from '../../console/port.ts';
import { previewOf } from '../../server/preview.ts';
import { placedIn, readManifests } from '../../sources/manifests.ts';
import { postPage, type ServerFlags, getPage } from '../debug-http.ts';
import { findingLine } from '../finding-text.ts';
import { outputFormat, structured } from '../output.ts';
import { meshOfManifests, type OfflineFlags } from '../offline.ts';
import { type CommandContext, UsageError } from '../program.ts';
import { nodesOf, nodesOfPods } from '../proxies.ts';

export interface DiffFlags extends ServerFlags, OfflineFlags {
  readonly filename: readonly string[];
  readonly proxy?: string;
  readonly delete?: boolean;
  readonly configDir?: string;
  readonly proxies?: string;
  readonly server?: string;
  readonly output: string;
}

export const CHANGES = 1;
export const FAILED = 2;

export async function diff(flags: DiffFlags, context: CommandContext): Promise<number> {
  const format = outputFormat(flags.output, ['text', 'json', 'yaml']);
  if (flags.configDir === undefined && flags.server === undefined)
    throw new UsageError('nothing to compare with: give --configDir or --server', 64);
  if (flags.filename.length === 0)
    throw new UsageError('nothing to compare: give -f FILE, a folder, or - for standard input', 64);
  const report = await reported(flags, context).catch((error: unknown) => {
    throw error instanceof UsageError ? new UsageError(error.message, FAILED) : error;
  });
  context.out(format === 'text' ? reportText(report) : await structured(report, format));
  if (report.findings.some((finding) => finding.severity === 'error')) return FAILED;
  return report.groups.length > 0 ? CHANGES : 0;
}

async function reported(flags: DiffFlags, context: CommandContext): Promise<PreviewReport> {
  const { documents, findings } = await readManifests(flags.filename, process.stdin);
  const request: PreviewRequest = {
    documents: documents.map(({ value, origin }) => ({ value, origin })),
    ...(flags.delete === true ? { delete: true } : {}),
    ...(flags.proxy === undefined ? {} : { proxy: flags.proxy }),
  };
  const report =
    flags.configDir === undefined
      ? ((await postPage(flags.server ?? '', 'preview', request, flags)) as PreviewReport)
      : await ofFolder(flags.configDir, flags, request, context);
  if (report.considered === 0)
    throw new UsageError(flags.proxy === undefined ? NO_PROXIES : `there is no proxy ${flags.proxy}`);
  const own = (list: readonly Finding[]): readonly Finding[] => placedIn(documents, list);
  return { ...report, findings: [...findings, ...own(report.findings)], appearing: own(report.appearing) };
}

const NO_PROXIES = 'there are no proxies to compare for: give --proxies, or Pods in the folder';

async function ofFolder(
  folder: string,
  flags: DiffFlags,
  request: PreviewRequest,
  context: CommandContext,
): Promise<PreviewReport> {
  const { documents } = await readManifests([folder], process.stdin);
  const mesh = await meshOfManifests(documents, flags, context);
  try {
    const nodes = await nodesFor(flags);
    await connected(() => mesh.connect(nodes ?? nodesOfPods(mesh.store.state(), flags.domain, flags.clusterID)));
    return await previewOf(mesh.preview, request);
  } finally {
    mesh.stop();
  }
}

/** Those of a file, or those that are connected to a server; undefined: those of the folder's Pods. */
async function nodesFor(flags: DiffFlags): Promise<readonly object[] | undefined> {
  if (flags.proxies !== undefined) {
    const text = await readFile(flags.proxies, 'utf8').catch((error: unknown) => {
      throw new UsageError(
        `${flags.proxies} can not be read: ${error instanceof Error ? error.message : String(error)}`,
      );
    });
    return nodesOf(text, flags.proxies);
  }
  return flags.server === undefined ? undefined : ((await getPage(flags.server, 'proxyz', flags)) as readonly object[]);
}

async function connected(connect: () => Promise<void>): Promise<void> {
  try {
    await connect();
  } catch (error) {
    throw new UsageError(error instanceof Error ? error.message : String(error));
  }
}

const SIGNS: Readonly<Record<DescribedChange['change'], string>> = { added: '+', removed: '-', changed: '~' };
const SHOWN_PROXIES = 5;

/** For people: what is wrong, then the changes of each group of proxies, then a sum. */
export function reportText(report: PreviewReport): string {
  const lines = [
    ...report.findings.map(findingLine),
    ...report.appearing.map((finding) => `new: ${findingLine(finding)}`),
    ...report.settled.map((finding) => `gone: ${findingLine(finding)}`),
  ];
  for (const group of report.groups) lines.push(...(lines.length > 0 ? [''] : []), ...groupLines(group));
  const changed = report.groups.reduce((sum, { proxies }) => sum + proxies.length, 0);
  if (lines.length > 0) lines.push('');
  lines.push(`${changed} of ${report.considered} proxies would change.`);
  return lines.join('\n');
}

function groupLines({ proxies, changes }: PreviewGroup): readonly string[] {
  const names = proxies.slice(0, SHOWN_PROXIES).join(', ');
  const more = proxies.length > SHOWN_PROXIES ? ` and ${proxies.length - SHOWN_PROXIES} more` : '';
  return [`${names}${more}:`, ...changes.flatMap(changeLines)];
}

function changeLines({ type, name, change, fields }: DescribedChange): readonly string[] {
  const head = `  ${SIGNS[change]} ${type} ${name}`;
  if (change === 'changed' && fields.length === 0) return [`${head} (its value is not shown)`];
  return [head, ...fields.map(({ path, before, after }) => `      ${path}: ${shown(before)} -> ${shown(after)}`)];
}

const MAX_SHOWN = 200;

function shown(value: unknown): string {
  if (value === undefined) return '(none)';
  const text = JSON.stringify(value);
  return text.length > MAX_SHOWN ? `${text.slice(0, MAX_SHOWN - 1)}…` : text;
}
