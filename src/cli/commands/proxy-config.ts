// `meltemi proxy-config`: what a proxy was given, from the control plane or from a dump in a file.

import { readFile } from 'node:fs/promises';
import { text as readAll } from 'node:stream/consumers';
import { booleanFlag, outputFormat, portFlag, structured, textTable } from '../output.ts';
import { type CommandContext, UsageError } from '../program.ts';
import { versionTable } from '../proxy-config/bootstrap.ts';
import { clusterTable, clusters } from '../proxy-config/clusters.ts';
import { type Dump, dumpOfResources, dumpOfText, entries } from '../proxy-config/dump.ts';
import { assignments, assignmentTable, endpointTable, fittingStatuses } from '../proxy-config/endpoints.ts';
import { extensions, extensionTable } from '../proxy-config/extensions.ts';
import { listeners, listenerTable } from '../proxy-config/listeners.ts';
import { routes, routeTable } from '../proxy-config/routes.ts';
import { secretSection, secretTable } from '../proxy-config/secrets.ts';

export type ProxyConfigType = 'cluster' | 'listener' | 'route' | 'endpoint' | 'eds' | 'secret' | 'ecds' | 'all';

export interface ProxyConfigFlags {
  readonly xdsAddress: string;
  readonly output: string;
  readonly namespace?: string;
  readonly file?: string;
  readonly fqdn?: string;
  readonly port?: string;
  readonly subset?: string;
  readonly direction?: string;
  readonly address?: string;
  readonly type?: string;
  readonly name?: string;
  readonly cluster?: string;
  readonly status?: string;
  readonly verbose?: string | boolean;
  readonly withHeaders?: boolean;
}

/** Prints one kind of configuration, or all. */
export async function proxyConfig(
  type: ProxyConfigType,
  proxy: string | undefined,
  flags: ProxyConfigFlags,
  context: CommandContext,
): Promise<number> {
  if ((proxy === undefined) === (flags.file === undefined))
    throw new UsageError(`proxy-config ${type} needs the name of a proxy or --file`, 64);
  const format = outputFormat(flags.output, ['short', 'json', 'yaml']);
  const how = howOf(flags);
  const dump = proxy === undefined ? await readDump(flags.file ?? '-') : await fetchDump(proxy, flags);
  if (format !== 'short') context.out(await structured(messagesOf(type, dump, how), format));
  else context.out(type === 'all' ? allTables(dump, how) : tableOf(type, dump, how));
  return 0;
}

interface How {
  readonly fqdn: string;
  readonly port: number;
  readonly subset: string;
  readonly direction: string;
  readonly address: string;
  readonly type: string;
  readonly name: string;
  readonly cluster: string;
  readonly status: string;
  readonly verbose: boolean;
  readonly withHeaders: boolean;
}

function howOf(flags: ProxyConfigFlags): How {
  return {
    fqdn: flags.fqdn ?? '',
    port: portFlag(flags.port),
    subset: flags.subset ?? '',
    direction: flags.direction ?? '',
    address: flags.address ?? '',
    type: flags.type ?? '',
    name: flags.name ?? '',
    cluster: flags.cluster ?? '',
    status: flags.status ?? '',
    verbose: booleanFlag('verbose', flags.verbose ?? true),
    withHeaders: flags.withHeaders === true,
  };
}

async function readDump(file: string): Promise<Dump> {
  let content: string;
  try {
    content = file === '-' ? await readAll(process.stdin) : await readFile(file, 'utf8');
  } catch (error) {
    throw new UsageError(`${file} can not be read: ${error instanceof Error ? error.message : String(error)}`);
  }
  return dumpOfText(content, file);
}

async function fetchDump(proxy: string, { xdsAddress: address, namespace }: ProxyConfigFlags): Promise<Dump> {
  const { askDebug, DUMP_TYPE } = await import('../xds-debug.ts');
  const { proxyId } = await import('../debug-page.ts');
  const id = await proxyId(proxy, namespace, address);
  const { resources } = await askDebug({ address, typeUrl: DUMP_TYPE, names: [id] });
  if (resources.length === 0) throw new UsageError(`proxy ${id} is not connected to ${address}`);
  return dumpOfResources(resources);
}

function messagesOf(type: ProxyConfigType, dump: Dump, how: How): unknown {
  switch (type) {
    case 'cluster':
      return clusters(dump, how);
    case 'listener':
      return listeners(dump, how);
    case 'route':
      return routes(dump, how.name);
    case 'endpoint':
      return dump.clusterStatuses === undefined ? assignments(dump, how) : fittingStatuses(dump.clusterStatuses, how);
    case 'eds':
      return assignments(dump, how);
    case 'secret':
      return secretSection(dump);
    case 'ecds':
      return { ecdsFilters: entries(dump, 'EcdsConfigDump', 'ecdsFilters') };
    case 'all':
      return { configs: dump.configs };
  }
}

/** Listeners stand closer together than the others: their last columns are long. */
const GAP = 5;
const LISTENER_GAP = 1;

function tableOf(type: Exclude<ProxyConfigType, 'all'>, dump: Dump, how: How): string {
  const now = Date.now();
  const prefix = false;
  switch (type) {
    case 'cluster':
      return textTable(clusterTable(clusters(dump, how), prefix), GAP);
    case 'listener':
      return textTable(listenerTable(listeners(dump, how), { prefix, verbose: how.verbose }), LISTENER_GAP);
    case 'route':
      return textTable(routeTable(routes(dump, how.name), { prefix, verbose: how.verbose }), GAP);
    case 'endpoint':
      return textTable(endpointTable(dump, how), GAP);
    case 'eds':
      return textTable(assignmentTable(assignments(dump, how), prefix), GAP);
    case 'secret':
      return secretText(dump, prefix, now);
    case 'ecds':
      return textTable(extensionTable(extensions(dump)), GAP);
  }
}

function secretText(dump: Dump, prefix: boolean, now: number): string {
  const table = secretTable(dump, { prefix, now });
  return table === undefined ? 'No active or warming secrets found.\n' : textTable(table, GAP);
}

function allTables(dump: Dump, how: How): string {
  const { verbose } = how;
  const prefix = true;
  const parts: readonly (readonly [string, string])[] = [
    ['BOOTSTRAP', textTable(versionTable(dump), LISTENER_GAP)],
    ['CLUSTER', textTable(clusterTable(clusters(dump, how), prefix), GAP)],
    ['LISTENER', textTable(listenerTable(listeners(dump, how), { prefix, verbose }), LISTENER_GAP)],
    ['ROUTE', textTable(routeTable(routes(dump, how.name), { prefix, verbose }), GAP)],
    ['SECRET', secretText(dump, prefix, Date.now())],
    ['ENDPOINTS', textTable(assignmentTable(assignments(dump, how), prefix), GAP)],
  ];
  return parts
    .filter(([, table]) => table !== '')
    .map(([name, table]) => (how.withHeaders ? `------ ${name} INFO ------\n\n${table}` : table))
    .join('\n');
}
