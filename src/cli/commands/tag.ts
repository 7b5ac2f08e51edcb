// `meltemi tag`: names for revisions, so that namespaces can stay as they are while the revision behind a name changes.

import { createInterface } from 'node:readline/promises';
import { KubeError } from '../../sources/kube-api.ts';
import { type Cluster, type ClusterFlags, withCluster } from '../cluster/cluster.ts';
import {
  defaultRevision,
  defaultValidator,
  installedRevisions,
  readRevisions,
  type Revisions,
  tagsOf,
} from '../cluster/revisions.ts';
import { switchUnnamed, tagObjects, tagProblem, type TagRequest, validatorFor } from '../cluster/tag-objects.ts';
import { DEFAULT, MUTATING_PATH, type WebhookConfiguration, revisionOf, VALIDATING_PATH } from '../cluster/webhooks.ts';
import { outputFormat, structured, textTable } from '../output.ts';
import { type CommandContext, UsageError } from '../program.ts';

export interface SetTagFlags extends ClusterFlags {
  readonly revision: string;
  readonly overwrite?: boolean;
  readonly webhookName?: string;
  readonly autoInjectNamespaces?: boolean;
}

/** `tag generate`: the tag's own objects as YAML, for whoever applies them. */
export async function generateTag(tag: string, flags: SetTagFlags, { out, err }: CommandContext): Promise<number> {
  const revisions = await withCluster(flags, readRevisions);
  const request = requestOf(tag, flags);
  refuse(tagProblem(request, revisions, true));
  const { configuration, service } = tagObjects(request, revisions);
  out(`${await structured(configuration, 'yaml')}---\n${await structured(service, 'yaml')}`);
  if (tag === DEFAULT && switchUnnamed(revisions, false) !== undefined)
    err(
      'The control plane without revision injects too; `meltemi tag set default` turns that off, these objects do not.',
    );
  return 0;
}

/** `tag set`: makes a tag, or moves it. Pods keep their proxies until they are restarted. */
export function setTag(tag: string, flags: SetTagFlags, context: CommandContext): Promise<number> {
  return withCluster(flags, (cluster) => setTagIn(cluster, tag, flags, context));
}

export async function setTagIn(
  cluster: Cluster,
  tag: string,
  flags: SetTagFlags,
  context: CommandContext,
): Promise<number> {
  const revisions = await readRevisions(cluster);
  const request = requestOf(tag, flags);
  refuse(tagProblem(request, revisions, flags.overwrite === true));
  const before = tagsOf(revisions).find((each) => each.tag === tag);
  const { configuration, service } = tagObjects(request, revisions);
  warnOfRelease(revisions, configuration, context);
  await put(cluster, MUTATING_PATH, configuration, KEEP);
  await put(cluster, `/api/v1/namespaces/${flags.istioNamespace}/services`, service, KEEP);
  if (tag === DEFAULT) await makeDefault(cluster, flags, revisions, context);
  const names = before?.namespaces ?? tagsOf(await readRevisions(cluster)).find((each) => each.tag === tag)?.namespaces;
  context.out(
    `Tag ${tag} stands for revision ${flags.revision}${before === undefined ? '' : `, before ${before.revision}`}.`,
  );
  if (names !== undefined && names.length > 0)
    context.out(`Restart the workloads of these namespaces to move them: ${names.join(', ')}`);
  return 0;
}

async function makeDefault(
  cluster: Cluster,
  { revision, istioNamespace }: SetTagFlags,
  revisions: Revisions,
  { out }: CommandContext,
): Promise<void> {
  const off = switchUnnamed(revisions, false);
  if (off !== undefined) {
    await put(cluster, MUTATING_PATH, off);
    out(`${off.metadata?.name ?? ''} injects nothing from now on: the tag does in its place.`);
  }
  const validator = validatorFor(revision, istioNamespace, revisions);
  if (validator === undefined) return;
  await put(cluster, VALIDATING_PATH, validator);
  out(`${validator.metadata?.name ?? ''} asks revision ${revision} from now on.`);
}

/** Helm would put the tag back with its next upgrade, or delete it when the chart's value no longer has it. */
function warnOfRelease({ injectors }: Revisions, { metadata }: WebhookConfiguration, { err }: CommandContext): void {
  const present = injectors.find((each) => each.metadata?.name === metadata?.name);
  const release = present?.metadata?.annotations?.['meta.helm.sh/release-name'];
  if (release === undefined) return;
  err(
    `Tag ${metadata?.labels?.['istio.io/tag'] ?? ''} was made by the Helm release ${release}: take it out of that release's revisionTags, or its next upgrade moves the tag back. Helm was told to keep the objects.`,
  );
}

export interface ListTagFlags extends ClusterFlags {
  readonly output: string;
}

/** `tag list`: tags, the revisions behind them, the namespaces that use them, and who answers for what names none. */
export async function listTags(flags: ListTagFlags, { out }: CommandContext): Promise<number> {
  const format = outputFormat(flags.output, ['table', 'json', 'yaml']);
  const revisions = await withCluster(flags, readRevisions);
  const tags = tagsOf(revisions);
  if (format !== 'table') {
    out(await structured(tags, format));
    return 0;
  }
  if (tags.length === 0) out('There are no tags.');
  else {
    const rows = tags.map(({ tag, revision, namespaces }) => [tag, revision, namespaces.join(',')]);
    out(textTable([['TAG', 'REVISION', 'NAMESPACES'], ...rows], 3));
  }
  const installed = installedRevisions(revisions);
  const validator = defaultValidator(revisions);
  out(`Revisions: ${installed.length === 0 ? 'none' : installed.join(', ')}`);
  out(
    `Objects that name none: ${defaultRevision(revisions) ?? 'owned by nobody'}; checked by ${validator === undefined ? 'nobody' : revisionOf(validator)}`,
  );
  return 0;
}

export interface RemoveTagFlags extends ClusterFlags {
  readonly skipConfirmation?: boolean;
}

/** `tag remove`: pods that were injected by it stay as they are; new ones are not injected. */
export function removeTag(tag: string, flags: RemoveTagFlags, context: CommandContext): Promise<number> {
  return withCluster(flags, (cluster) => removeTagIn(cluster, tag, flags, context));
}

export async function removeTagIn(
  cluster: Cluster,
  tag: string,
  flags: RemoveTagFlags,
  context: CommandContext,
): Promise<number> {
  const revisions = await readRevisions(cluster);
  const found = tagsOf(revisions).find((each) => each.tag === tag);
  if (found === undefined) throw new UsageError(`there is no tag ${tag}`);
  if (found.namespaces.length > 0) {
    context.err(`These namespaces use it: ${found.namespaces.join(', ')}. Their new pods will not be injected.`);
    if (flags.skipConfirmation !== true && !(await confirmed('Remove it all the same?'))) {
      context.err('Nothing was changed.');
      return 1;
    }
  }
  const configurations = revisions.injectors.filter(({ metadata }) => metadata?.labels?.['istio.io/tag'] === tag);
  for (const { metadata } of configurations) await remove(cluster, `${MUTATING_PATH}/${metadata?.name ?? ''}`);
  const services = revisions.services.filter(({ metadata }) => metadata?.labels?.['istio.io/tag'] === tag);
  for (const { metadata } of services)
    await remove(cluster, `/api/v1/namespaces/${metadata?.namespace ?? ''}/services/${metadata?.name ?? ''}`);
  if (tag === DEFAULT) await unmakeDefault(cluster, flags, revisions, context);
  context.out(`Tag ${tag} is gone.`);
  return 0;
}

/** Back to the control plane without revision where there is one; otherwise nobody answers for unnamed objects. */
async function unmakeDefault(
  cluster: Cluster,
  { istioNamespace }: ClusterFlags,
  revisions: Revisions,
  { out }: CommandContext,
): Promise<void> {
  const name = defaultValidator(revisions)?.metadata?.name;
  if (installedRevisions(revisions).includes(DEFAULT)) {
    const on = switchUnnamed(revisions, true);
    if (on !== undefined) await put(cluster, MUTATING_PATH, on);
    const validator = validatorFor(DEFAULT, istioNamespace, revisions);
    if (validator !== undefined) await put(cluster, VALIDATING_PATH, validator);
    out('The control plane without revision answers for what names none.');
  } else if (name !== undefined) {
    await remove(cluster, `${VALIDATING_PATH}/${name}`);
    out('Nobody answers for objects that name no revision now.');
  }
}

function requestOf(tag: string, flags: SetTagFlags): TagRequest {
  return {
    tag,
    revision: flags.revision,
    webhookName: flags.webhookName,
    autoInject: flags.autoInjectNamespaces === true,
    systemNamespace: flags.istioNamespace,
  };
}

function refuse(problem: string | undefined): void {
  if (problem !== undefined) throw new UsageError(problem);
}

async function confirmed(question: string): Promise<boolean> {
  if (!process.stdin.isTTY) throw new UsageError('nobody to ask: give --skip-confirmation');
  const terminal = createInterface({ input: process.stdin, output: process.stderr });
  try {
    return /^y(es)?$/i.test((await terminal.question(`${question} [y/N] `)).trim());
  } finally {
    terminal.close();
  }
}

type Annotations = Readonly<Record<string, string>>;

interface Named {
  readonly metadata?: { readonly name?: string; readonly labels?: Annotations; readonly annotations?: Annotations };
}

type Present = NonNullable<Named['metadata']> & { readonly resourceVersion: string };

/** Marks for objects of a Helm release: it must not delete them when its values no longer ask for them. */
const KEEP = { 'helm.sh/resource-policy': 'keep' };
const ATTEMPTS = 3;

/** Makes the object, or replaces what is there of it; annotations that are there stay. */
async function put(cluster: Cluster, folder: string, object: Named, forHelm: Annotations = {}): Promise<void> {
  const path = `${folder}/${object.metadata?.name ?? ''}`;
  for (let attempt = 1; ; attempt++) {
    const present = await cluster.get<{ readonly metadata: Present }>(path);
    try {
      if (present === undefined) await cluster.send({ method: 'POST', path: folder, body: object });
      else await cluster.send({ method: 'PUT', path, body: replacing(object, present.metadata, forHelm) });
      return;
    } catch (error) {
      if (!(error instanceof KubeError) || error.status !== 409 || attempt === ATTEMPTS) throw error;
    }
  }
}

function replacing(object: Named, present: Present, forHelm: Annotations): Named {
  const ofHelm = present.annotations?.['meta.helm.sh/release-name'] !== undefined;
  const labels = { ...(ofHelm ? present.labels : {}), ...object.metadata?.labels };
  const annotations = { ...present.annotations, ...(ofHelm ? forHelm : {}) };
  const metadata: Present = {
    ...object.metadata,
    resourceVersion: present.resourceVersion,
    labels,
    annotations,
  };
  return { ...object, metadata };
}

async function remove(cluster: Cluster, path: string): Promise<void> {
  try {
    await cluster.send({ method: 'DELETE', path });
  } catch (error) {
    if (!(error instanceof KubeError) || error.status !== 404) throw error;
  }
}
