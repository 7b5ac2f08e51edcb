// Capture rules as they are in force: read from what `iptables-save` prints, and replaced by others. Pure.

import type { RuleTable, TableName } from './rules.ts';

/** What a table holds of ours. */
export interface PresentTable {
  readonly name: TableName;
  readonly chains: readonly string[];
  /** As printed: `-A CHAIN …`. */
  readonly rules: readonly string[];
}

const TABLES: readonly TableName[] = ['raw', 'mangle', 'nat'];

const OWN_CHAIN = /^ISTIO_/;

/** The parts of ours of each table; tables that hold none are left out. */
export function readSaved(saved: string): readonly PresentTable[] {
  const found = new Map<string, { readonly chains: string[]; readonly rules: string[] }>();
  let table = '';
  for (const line of saved.split('\n')) {
    if (line.startsWith('*')) table = line.slice(1).trim();
    const entry = found.get(table) ?? { chains: [], rules: [] };
    found.set(table, entry);
    const chain = /^:(\S+)/.exec(line)?.[1];
    if (chain !== undefined && OWN_CHAIN.test(chain)) entry.chains.push(chain);
    if (line.startsWith('-A ')) entry.rules.push(line);
  }
  return TABLES.flatMap((name) => {
    const { chains, rules } = found.get(name) ?? { chains: [], rules: [] };
    const own = rules.filter((rule) => isOwnRule(name, rule));
    // Without a chain of ours the table is somebody else's, whatever its rules look like.
    return chains.length === 0 ? [] : [{ name, chains, rules: own }];
  });
}

/** Marks of TPROXY as the kernel prints them. */
const MARK = /\b0x53[9a]\b/;

/** A pass for one interface has no purpose but to spare it the rules that follow. */
const INTERFACE_PASS = /^-A (PREROUTING -i|OUTPUT -o) \S+ -j RETURN$/;

function isOwnRule(table: TableName, rule: string): boolean {
  const [, chain = ''] = rule.split(' ');
  const target = / -j (\S+)/.exec(rule)?.[1] ?? '';
  if (OWN_CHAIN.test(chain) || OWN_CHAIN.test(target)) return true;
  return table === 'nat' ? INTERFACE_PASS.test(rule) : table === 'mangle' && MARK.test(rule);
}

const EMPTY: Pick<PresentTable, 'chains' | 'rules'> = { chains: [], rules: [] };

/** Text for `iptables-restore --noflush` that takes away what is there and puts the wanted rules in its place. */
export function replaceInput(present: readonly PresentTable[], wanted: readonly RuleTable[]): string {
  const lines = TABLES.flatMap((name) => {
    const old = present.find((table) => table.name === name) ?? EMPTY;
    const next = wanted.find((table) => table.name === name) ?? EMPTY;
    if (old.chains.length === 0 && next.rules.length === 0) return [];
    const outside = old.rules.filter((rule) => !OWN_CHAIN.test(rule.split(' ')[1] ?? ''));
    return [
      `* ${name}`,
      ...outside.map((rule) => rule.replace(/^-A/, '-D')),
      ...old.chains.map((chain) => `-F ${chain}`),
      ...old.chains.filter((chain) => !next.chains.includes(chain)).map((chain) => `-X ${chain}`),
      ...next.chains.filter((chain) => !old.chains.includes(chain)).map((chain) => `-N ${chain}`),
      ...next.rules,
      'COMMIT',
    ];
  });
  return `${lines.join('\n')}\n`;
}
