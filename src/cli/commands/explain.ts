// `meltemi explain`: the objects behind what a proxy was given, and those that lost a conflict over it.

import { EXPLAINED_TYPES, type Explanation, isExplainedType } from '../../console/explain.ts';
import type { Origin } from '../../ir/draft.ts';
import { askPage, proxyId } from '../debug-page.ts';
import { outputFormat, structured, textTable } from '../output.ts';
import { type CommandContext, UsageError } from '../program.ts';

export interface ExplainFlags {
  readonly xdsAddress: string;
  readonly output: string;
  readonly namespace?: string;
}

const GAP = 5;

export async function explain(
  proxy: string,
  type: string | undefined,
  name: string | undefined,
  flags: ExplainFlags,
  { out }: CommandContext,
): Promise<number> {
  const format = outputFormat(flags.output, ['table', 'json', 'yaml']);
  const wanted = type === undefined ? undefined : typeOf(type);
  const id = await proxyId(proxy, flags.namespace, flags.xdsAddress);
  const page = await askPage(flags.xdsAddress, 'explain', { proxyID: id, type: wanted, name });
  const explanation = page as Explanation;
  if (name !== undefined && explanation.resources.length === 0)
    throw new UsageError(`proxy ${id} has no ${wanted} ${name}`);
  out(format === 'table' ? textTable(explanationTable(explanation), GAP) : await structured(explanation, format));
  return 0;
}

/** Singular, plural, or the name of the discovery service. */
function typeOf(text: string): string {
  const singular = ALIASES[text] ?? text.replace(/s$/, '');
  if (!isExplainedType(singular)) throw new UsageError(`${text}: expected one of ${EXPLAINED_TYPES.join(', ')}`, 64);
  return singular;
}

const ALIASES: Readonly<Record<string, string>> = {
  cds: 'cluster',
  lds: 'listener',
  rds: 'route',
  eds: 'endpoint',
  ecds: 'extension',
  sds: 'secret',
};

/** A row for each resource and object; resources that come from no object have one row. */
export function explanationTable({ proxy, shapedBy, resources }: Explanation): readonly (readonly string[])[] {
  const rows = resources.flatMap(({ type, name, origins }) =>
    origins.length === 0
      ? [[type, name, '-', '-', '-', 'mesh configuration alone']]
      : origins.map((origin) => [type, name, ...cellsOf(origin)]),
  );
  const whole = shapedBy.map((origin) => ['proxy', proxy, ...cellsOf(origin)]);
  return [['TYPE', 'NAME', 'OBJECT', 'FIELD', 'GENERATION', 'NOTE'], ...whole, ...rows];
}

function cellsOf({ kind, namespace, name, generation, field, lost }: Origin): readonly string[] {
  const object = `${kind}/${namespace === '' ? name : `${name}.${namespace}`}`;
  return [object, field ?? '-', generation === 0 ? '-' : String(generation), lost === undefined ? '' : `lost: ${lost}`];
}
