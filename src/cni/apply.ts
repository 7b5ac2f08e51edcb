// Puts capture rules in force in the network namespace of this process, or takes them away.

import { spawn } from 'node:child_process';
import { captureRules, type Family, restoreInput, type RuleTable, type TableName } from './rules.ts';
import { type CaptureSettings, TPROXY_MARK, TPROXY_ROUTE_TABLE } from './settings.ts';

export type ApplyResult =
  | { readonly kind: 'applied' | 'unchanged' }
  | { readonly kind: 'conflict'; readonly message: string };

/** Chains that the rules of ours live in, whatever the settings. */
const OWN_CHAIN = /^ISTIO_/;

/**
 * Applies the rules for each family. Rules that are there already and equal are left alone; rules of other settings are
 * a conflict unless `reconcile` is set. Rejects with what the tool printed when it fails.
 */
export async function applyCapture(settings: CaptureSettings, reconcile: boolean): Promise<ApplyResult> {
  let applied = false;
  for (const family of families(settings)) {
    const wanted = captureRules(settings, family);
    const present = await ownRules(family);
    if (present.length > 0) {
      if (present.length === countRules(wanted) && !(await differs(family, wanted))) continue;
      if (!reconcile)
        return {
          kind: 'conflict',
          message: 'other capture rules are in force here; --reconcile replaces them, --cleanup-only removes them',
        };
      await cleanupFamily(family);
    }
    await run(`${tool(family)}-restore`, ['--noflush'], restoreInput(wanted));
    if (settings.mode === 'TPROXY') await tproxyRoute(family, 'add');
    applied = true;
  }
  return { kind: applied ? 'applied' : 'unchanged' };
}

/** Removes every rule and chain of ours; nothing to remove is fine. */
export async function cleanupCapture(settings: CaptureSettings): Promise<void> {
  for (const family of families(settings)) {
    await cleanupFamily(family);
    if (settings.mode === 'TPROXY') await tproxyRoute(family, 'del').catch(() => undefined);
  }
}

function families({ ipv6 }: CaptureSettings): readonly Family[] {
  return ipv6 ? ['v4', 'v6'] : ['v4'];
}

function tool(family: Family): string {
  return family === 'v4' ? 'iptables' : 'ip6tables';
}

interface PresentRule {
  readonly table: TableName;
  /** As `iptables-save` prints it: `-A CHAIN …`. */
  readonly text: string;
}

async function ownRules(family: Family): Promise<readonly PresentRule[]> {
  const saved = await run(`${tool(family)}-save`, [], undefined);
  const rules: PresentRule[] = [];
  let table: TableName = 'nat';
  for (const line of saved.split('\n')) {
    if (line.startsWith('*')) table = line.slice(1).trim() as TableName;
    if (line.startsWith('-A ') && isOwn(line)) rules.push({ table, text: line });
  }
  return rules;
}

function isOwn(line: string): boolean {
  const words = line.split(' ');
  const target = words[words.indexOf('-j') + 1] ?? '';
  return OWN_CHAIN.test(words[1] ?? '') || OWN_CHAIN.test(target);
}

function countRules(tables: readonly RuleTable[]): number {
  return tables.flatMap((table) => table.rules).filter(isOwn).length;
}

/** `-C` asks the kernel's own form of each rule, so that differences of spelling don't count. */
async function differs(family: Family, tables: readonly RuleTable[]): Promise<boolean> {
  for (const { name, rules } of tables) {
    for (const rule of rules) {
      const [, chain = '', ...rest] = rule.startsWith('-I')
        ? rule.replace(/^(-I \S+) \d+/, '$1').split(' ')
        : rule.split(' ');
      const found = await run(tool(family), ['-t', name, '-C', chain, ...rest], undefined).then(
        () => true,
        () => false,
      );
      if (!found) return true;
    }
  }
  return false;
}

async function cleanupFamily(family: Family): Promise<void> {
  const command = tool(family);
  for (const { table, text } of await ownRules(family))
    await run(command, ['-t', table, ...text.replace(/^-A/, '-D').split(' ')], undefined);
  for (const table of ['raw', 'mangle', 'nat'] as const) {
    const saved = await run(`${command}-save`, ['-t', table], undefined);
    for (const line of saved.split('\n')) {
      const chain = line.startsWith(':ISTIO_') ? line.slice(1).split(' ')[0] : undefined;
      if (chain !== undefined) await run(command, ['-t', table, '-X', chain], undefined);
    }
  }
}

async function tproxyRoute(family: Family, action: 'add' | 'del'): Promise<void> {
  const flag = family === 'v4' ? '-4' : '-6';
  const anywhere = family === 'v4' ? '0.0.0.0/0' : '::/0';
  await run('ip', [flag, 'rule', action, 'fwmark', TPROXY_MARK, 'lookup', TPROXY_ROUTE_TABLE], undefined);
  await run('ip', [flag, 'route', action, 'local', anywhere, 'dev', 'lo', 'table', TPROXY_ROUTE_TABLE], undefined);
}

function run(command: string, args: readonly string[], input: string | undefined): Promise<string> {
  return new Promise((resolve, reject) => {
    const child = spawn(command, [...args], { stdio: ['pipe', 'pipe', 'pipe'] });
    let out = '';
    let err = '';
    child.stdout.on('data', (chunk: Buffer) => {
      out += chunk.toString();
    });
    child.stderr.on('data', (chunk: Buffer) => {
      err += chunk.toString();
    });
    child.on('error', (error) => reject(new Error(`${command}: ${error.message}`)));
    child.on('close', (code) =>
      code === 0 ? resolve(out) : reject(new Error(`${command} ${args.join(' ')}: ${err.trim()}`)),
    );
    child.stdin.end(input ?? '');
  });
}
