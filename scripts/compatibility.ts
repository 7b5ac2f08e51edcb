// docs/compatibility-fields.md, from docs/compatibility-fields.yaml: each field of each kind, and what becomes of it.
// `tsx scripts/compatibility.ts` adds rows for fields that the schemas have and the file has not, takes away those that
// are gone, turns a row into `supported` where the field has come to have an effect, and writes the page. Why a field is
// not supported is for people to say.

import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { parse, stringify } from 'yaml';
import type { Kind } from '../src/config/object.ts';
import { folds, schemaFields } from '../test/compatibility/fields.ts';
import { type Effect, fieldEffects } from '../test/compatibility/flip.ts';
import { SETTING_FOLDS, SETTINGS, settingEffects, settingFields } from '../test/compatibility/settings.ts';

export const TABLED: readonly Kind[] = [
  'VirtualService',
  'DestinationRule',
  'Gateway',
  'ServiceEntry',
  'WorkloadEntry',
  'WorkloadGroup',
  'Sidecar',
  'PeerAuthentication',
  'RequestAuthentication',
  'AuthorizationPolicy',
  'EnvoyFilter',
  'WasmPlugin',
  'TrafficExtension',
  'Telemetry',
  'ProxyConfig',
];

/**
 * `supported`: it means what it means under istiod. `deviates`: it has an effect, another one. `elsewhere`: it shapes
 * nothing that is sent to proxies; something else reads it. `refused`: an object with it is not valid. `ignored`: no effect.
 */
export const STATUSES = ['supported', 'deviates', 'elsewhere', 'refused', 'ignored'] as const;
export type Status = (typeof STATUSES)[number];

export interface Row {
  readonly status: Status;
  readonly why?: string;
}

export type Rows = Readonly<Record<string, Readonly<Record<string, Row>>>>;

const DOCS = join(import.meta.dirname, '../docs');
export const ROWS_FILE = join(DOCS, 'compatibility-fields.yaml');
export const PAGE_FILE = join(DOCS, 'compatibility-fields.md');

type Written = Readonly<Record<string, Readonly<Record<string, Status | Row>>>>;

export function readRows(): Rows {
  const written = parse(readFileSync(ROWS_FILE, 'utf8')) as Written;
  const row = (value: Status | Row): Row => (typeof value === 'string' ? { status: value } : value);
  return Object.fromEntries(
    Object.entries(written).map(([kind, fields]) => [
      kind,
      Object.fromEntries(Object.entries(fields).map(([field, value]) => [field, row(value)])),
    ]),
  );
}

export function page(rows: Rows): string {
  const all = Object.values(rows).flatMap((fields) => Object.values(fields));
  const count = (status: Status): number => all.filter((row) => row.status === status).length;
  const lines = [
    '# Fields',
    '',
    'Written by `npm run compatibility`; the rows are in `compatibility-fields.yaml`. A test takes each supported field of an',
    'example away, or changes it, and sees that something a proxy is sent, or a finding, changes with it.',
    '',
    `${all.length} fields: ${STATUSES.map((status) => `${count(status)} ${status}`).join(', ')}.`,
    '',
    '- **supported**: it means what it means under istiod.',
    '- **deviates**: it has another effect.',
    '- **elsewhere**: it shapes nothing that proxies are sent; something else reads it.',
    '- **refused**: an object with it is not valid.',
    '- **ignored**: it has no effect.',
  ];
  for (const [kind, fields] of Object.entries(rows)) {
    lines.push(
      '',
      `## ${kind}`,
      '',
      ...[...folds(kind as Kind), ...(SETTING_FOLDS[kind] ?? [])].flatMap((fold) => [`${fold}.`, '']),
    );
    lines.push('| field | status | why |', '| --- | --- | --- |');
    for (const [field, { status, why }] of Object.entries(fields))
      lines.push(`| \`${field}\` | ${status} | ${why ?? ''} |`);
  }
  return `${lines.join('\n')}\n`;
}

async function brought(rows: Rows): Promise<Rows> {
  const next: Record<string, Record<string, Row>> = {};
  for (const kind of TABLED) next[kind] = fieldRows(rows[kind], schemaFields(kind), await fieldEffects(kind));
  for (const of of SETTINGS) next[of] = fieldRows(rows[of], settingFields(of), await settingEffects(of));
  return next;
}

function fieldRows(
  rows: Rows[string] | undefined,
  listed: readonly string[],
  effects: ReadonlyMap<string, Effect>,
): Record<string, Row> {
  const fields: Record<string, Row> = {};
  for (const field of listed) {
    const before = rows?.[field];
    const effective = effects.get(field) === 'resource';
    const stale = before?.status === 'ignored' || before?.status === 'elsewhere';
    if (before !== undefined && !(stale && effective)) fields[field] = before;
    else if (effective || effects.get(field) === 'refused') fields[field] = { status: 'supported' };
    else fields[field] = { status: 'ignored', why: 'TELL WHY' };
  }
  return fields;
}

function rowsText(rows: Rows): string {
  const short = Object.fromEntries(
    Object.entries(rows).map(([kind, fields]) => [
      kind,
      Object.fromEntries(
        Object.entries(fields).map(([field, row]) => [field, row.why === undefined ? row.status : row]),
      ),
    ]),
  );
  return `# Every field of every kind, and what becomes of it: see scripts/compatibility.ts.\n${stringify(short, { lineWidth: 0 })}`;
}

if (import.meta.url === pathToFileURL(process.argv[1] ?? '').href) {
  const rows = await brought(readRows());
  writeFileSync(ROWS_FILE, rowsText(rows));
  writeFileSync(PAGE_FILE, page(rows));
}
