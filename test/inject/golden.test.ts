// A case is a folder: `in.yaml` (a pod, or what holds one), perhaps `settings.yaml`, and `out.yaml`. `npm run golden`
// rewrites every `out.yaml`; the diff is the review.

import { existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { parse, stringify } from 'yaml';
import { templateFunctions } from '../../src/inject/functions.ts';
import { jsonPatch } from '../../src/inject/json-patch.ts';
import { injectWorkload } from '../../src/inject/workload.ts';
import { applyPatch, configOf, inject, injected, meshOf, parsedPod, type Settings, YAML } from './support.ts';

const ROOT = join(import.meta.dirname, 'golden');

function settingsOf(folder: string): Settings {
  const file = join(folder, 'settings.yaml');
  return existsSync(file) ? ((parse(readFileSync(file, 'utf8')) ?? {}) as Settings) : {};
}

function resultOf(raw: { readonly kind?: string }, settings: Settings): unknown {
  if (raw.kind === 'Pod') {
    const result = inject(parsedPod(raw), settings);
    return result.kind === 'denied' ? { denied: result.problems } : result.pod;
  }
  const result = injectWorkload(raw, {
    config: configOf(settings),
    mesh: meshOf(settings),
    yaml: YAML,
    namespace: settings.namespace ?? 'shop',
    revision: settings.revision ?? '',
    nativeSidecars: settings.native ?? false,
    version: '1.2.3',
    functions: templateFunctions(YAML),
  });
  if (result.kind === 'injected') return result.object;
  return result.kind === 'denied' ? { denied: result.problems } : { unchanged: result.notes };
}

describe.each(readdirSync(ROOT))('%s', (name) => {
  const folder = join(ROOT, name);
  const raw = parse(readFileSync(join(folder, 'in.yaml'), 'utf8')) as { readonly kind?: string };
  const settings = settingsOf(folder);

  it('is injected as recorded', () => {
    const file = join(folder, 'out.yaml');
    const text = stringify(resultOf(raw, settings), { lineWidth: 120, aliasDuplicateObjects: false });
    if (process.env['UPDATE_GOLDEN'] === '1') writeFileSync(file, text);
    expect(existsSync(file), `${file} is missing: npm run golden`).toBe(true);
    expect(text).toBe(readFileSync(file, 'utf8'));
  });

  it('gives a patch that leads there, and the same again when it is injected again', () => {
    const pod = raw.kind === 'Pod' ? parsedPod(raw) : undefined;
    if (pod === undefined || inject(pod, settings).kind === 'denied') return;
    const once = injected(pod, settings);
    expect(applyPatch(pod, jsonPatch(pod, once))).toEqual(once);
    expect(injected(once, settings)).toEqual(once);
  });
});
