// The versions that a dump's bootstrap tells. The control plane doesn't know a proxy's bootstrap: files only.

import type { Dump } from './dump.ts';
import { at, isJson, numberAt, textAt } from './json.ts';

/** Versions of the agent and of Envoy; empty when the dump holds no bootstrap. */
export function versionTable(dump: Dump): readonly (readonly string[])[] {
  const section = dump.configs.find((config) =>
    textAt(config, '@type').endsWith('/envoy.admin.v3.BootstrapConfigDump'),
  );
  const node = at(section, 'bootstrap', 'node');
  if (!isJson(node)) return [];
  const rows = [
    ['Istio Version:', textAt(node, 'metadata', 'ISTIO_VERSION')],
    ['Istio Proxy Version:', textAt(node, 'metadata', 'ISTIO_PROXY_SHA').replace(/^[^:]*:/, '')],
    ['Envoy Version:', envoyVersion(node)],
  ];
  return rows.filter(([, version]) => version !== '');
}

function envoyVersion(node: unknown): string {
  const build = at(node, 'userAgentBuildVersion');
  const number = ['majorNumber', 'minorNumber', 'patch'].map((part) => numberAt(build, 'version', part)).join('.');
  const label = textAt(build, 'metadata', 'build.label');
  const more = ['revision.status', 'build.type', 'ssl.version'].map((key) => textAt(build, 'metadata', key));
  return [label === '' ? number : `${number}-${label}`, ...more.filter((part) => part !== '')].join('/');
}
