// Puts capture rules in force in the network namespace of this process, or takes them away.
// In: settings. Out: what was done. Called by `meltemi iptables`. What is in force is read from `iptables-save`, so that
// rules of other settings, or of another version, are recognised as well.

import { spawn } from 'node:child_process';
import { type PresentTable, readSaved, replaceInput } from './present.ts';
import { captureRules, type Family, INBOUND_SOURCE_V6, type RuleTable } from './rules.ts';
import { type CaptureSettings, TPROXY_MARK, TPROXY_ROUTE_TABLE } from './settings.ts';

export type ApplyResult =
  | { readonly kind: 'applied' | 'unchanged' }
  | { readonly kind: 'conflict'; readonly message: string };

/**
 * Applies the rules for each family. Rules that are there already and equal are left alone; rules of other settings are
 * a conflict unless `reconcile` is set: then they are replaced, each table as a whole, so that no packet passes between
 * the old rules and the new. Rejects with what the tool printed when it fails.
 */
export async function applyCapture(settings: CaptureSettings, reconcile: boolean): Promise<ApplyResult> {
  let applied = false;
  for (const family of families(settings)) {
    if (family === 'v6') await addInboundSource();
    const wanted = captureRules(settings, family);
    const present = await presentTables(family);
    if (present.length > 0) {
      if (await inForce(family, wanted, present)) continue;
      if (!reconcile)
        return {
          kind: 'conflict',
          message: 'other capture rules are in force here; --reconcile replaces them, --cleanup-only removes them',
        };
    }
    if (settings.mode === 'TPROXY') await addTproxyRoute(family);
    await restore(family, replaceInput(present, wanted));
    if (settings.mode !== 'TPROXY' && hasTproxy(present)) await removeTproxyRoute(family);
    applied = true;
  }
  return { kind: applied ? 'applied' : 'unchanged' };
}

/** Removes every rule, chain and address of ours; nothing to remove is fine. */
export async function cleanupCapture(settings: CaptureSettings): Promise<void> {
  for (const family of families(settings)) {
    const present = await presentTables(family);
    if (present.length > 0) await restore(family, replaceInput(present, []));
    if (settings.mode === 'TPROXY' || hasTproxy(present)) await removeTproxyRoute(family);
    if (family === 'v6') await removeInboundSource();
  }
}

function families({ ipv6 }: CaptureSettings): readonly Family[] {
  return ipv6 ? ['v4', 'v6'] : ['v4'];
}

function tool(family: Family): string {
  return family === 'v4' ? 'iptables' : 'ip6tables';
}

async function presentTables(family: Family): Promise<readonly PresentTable[]> {
  return readSaved(await run(`${tool(family)}-save`, [], undefined));
}

/** Waits for others that are writing rules; only the older kind of iptables needs it. */
const LOCK_WAIT = '--wait=30';

async function restore(family: Family, input: string): Promise<void> {
  await run(`${tool(family)}-restore`, ['--noflush', LOCK_WAIT], input);
}

/** As many rules as are wanted, and each of them there in the kernel's own form: spelling doesn't count. */
async function inForce(
  family: Family,
  wanted: readonly RuleTable[],
  present: readonly PresentTable[],
): Promise<boolean> {
  for (const { name, rules } of wanted) {
    const there = present.find((table) => table.name === name)?.rules ?? [];
    if (there.length !== rules.length) return false;
    for (const rule of rules) if (!(await exists(family, name, rule))) return false;
  }
  return present.every(({ name }) => wanted.some((table) => table.name === name));
}

function exists(family: Family, table: string, rule: string): Promise<boolean> {
  const [, chain = '', ...rest] = rule.replace(/^(-I \S+) \d+/, '$1').split(' ');
  return run(tool(family), [LOCK_WAIT, '-t', table, '-C', chain, ...rest], undefined).then(
    () => true,
    () => false,
  );
}

function hasTproxy(present: readonly PresentTable[]): boolean {
  return present.some(({ chains }) => chains.includes('ISTIO_TPROXY'));
}

/** Packets that TPROXY marked have to arrive at this machine although their address is not its own. */
async function addTproxyRoute(family: Family): Promise<void> {
  await removeTproxyRoute(family);
  await run('ip', [...ruleOf(family, 'add')], undefined);
  await run('ip', [...routeOf(family, 'replace')], undefined);
}

/** All of 127.0.0.0/8 is the loopback's, but of IPv6 only `::1`: nothing could be sent from this without having it. */
async function addInboundSource(): Promise<void> {
  await run('ip', ['-6', 'addr', 'replace', INBOUND_SOURCE_V6, 'dev', 'lo'], undefined);
}

async function removeInboundSource(): Promise<void> {
  await run('ip', ['-6', 'addr', 'del', INBOUND_SOURCE_V6, 'dev', 'lo'], undefined).catch(() => undefined);
}

/** What isn't there needs no removing. */
async function removeTproxyRoute(family: Family): Promise<void> {
  await run('ip', [...ruleOf(family, 'del')], undefined).catch(() => undefined);
  await run('ip', [...routeOf(family, 'del')], undefined).catch(() => undefined);
}

function ruleOf(family: Family, action: 'add' | 'del'): readonly string[] {
  return [flag(family), 'rule', action, 'fwmark', TPROXY_MARK, 'lookup', TPROXY_ROUTE_TABLE];
}

function routeOf(family: Family, action: 'replace' | 'del'): readonly string[] {
  const anywhere = family === 'v4' ? '0.0.0.0/0' : '::/0';
  return [flag(family), 'route', action, 'local', anywhere, 'dev', 'lo', 'table', TPROXY_ROUTE_TABLE];
}

function flag(family: Family): string {
  return family === 'v4' ? '-4' : '-6';
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
    // A tool that refuses its input may be gone before it has read it all.
    child.stdin.on('error', () => undefined);
    child.stdin.end(input ?? '');
  });
}
