// What the registry has to say about objects. Findings are collected per host, so that one change looks at one host.

import type { ConfigObject, Finding, Severity } from '../config/object.ts';
import { compareStrings } from '../lib/order.ts';
import { type Table, tableEntries } from '../lib/table.ts';

/** Codes of this folder, with their usual severity. */
export const REGISTRY_CODES = {
  MEL0100: { severity: 'info', summary: 'An endpoint is held back until its Pod is known.' },
  MEL0101: { severity: 'error', summary: 'The address of an endpoint is not one that the service can use.' },
  MEL0102: { severity: 'warning', summary: 'A named target port is no container port of a selected workload.' },
  MEL0103: {
    severity: 'warning',
    summary: 'A ServiceEntry names the host of a Kubernetes Service of its namespace; the Service is in force.',
  },
  MEL0104: {
    severity: 'warning',
    summary: 'ServiceEntries of one host and namespace differ in more than ports; the oldest is in force.',
  },
  MEL0105: { severity: 'warning', summary: 'A port is defined twice for one host; the first is in force.' },
  MEL0106: { severity: 'warning', summary: 'Several hosts claim the same address and port; the oldest is in force.' },
  MEL0107: { severity: 'error', summary: 'An address of a ServiceEntry is neither an IP address nor a prefix.' },
  MEL0108: { severity: 'warning', summary: 'No virtual address is left to allocate.' },
  MEL0109: {
    severity: 'warning',
    summary: 'An address in the status of a ServiceEntry belongs to an older one; another was allocated.',
  },
  MEL0110: { severity: 'warning', summary: 'ExternalName services refer to each other in a loop.' },
  MEL0111: { severity: 'warning', summary: 'Resolution DNS_ROUND_ROBIN takes one endpoint; further ones are ignored.' },
  MEL0112: { severity: 'warning', summary: 'A wildcard host has no name that DNS could resolve.' },
  MEL0113: { severity: 'warning', summary: 'A gateway of a network has no usable address.' },
} as const satisfies Readonly<Record<string, { readonly severity: Severity; readonly summary: string }>>;

export type RegistryCode = keyof typeof REGISTRY_CODES;

/** Where findings go while one host is built. */
export interface Findings {
  add(code: RegistryCode, object: ConfigObject, path: string | undefined, message: string): void;
}

export interface FindingList extends Findings {
  /** In order of discovery, each once. */
  readonly list: readonly Finding[];
}

export function newFindings(): FindingList {
  const list: Finding[] = [];
  const seen = new Set<string>();
  return {
    list,
    add(code, object, path, message) {
      const { kind, namespace, name, origin } = object;
      const key = `${code} ${kind}/${namespace}/${name} ${path ?? ''} ${message}`;
      if (seen.has(key)) return;
      seen.add(key);
      list.push({
        severity: REGISTRY_CODES[code].severity,
        code,
        ref: { kind, namespace, name },
        message,
        ...(path === undefined ? {} : { path }),
        ...(origin === undefined ? {} : { origin }),
      });
    },
  };
}

/** All findings of several tables, in the order of their keys. */
export function flattenFindings(tables: readonly Table<readonly Finding[]>[]): readonly Finding[] {
  return tables.flatMap((table) =>
    [...tableEntries(table)].sort((a, b) => compareStrings(a[0], b[0])).flatMap((entry) => entry[1]),
  );
}
