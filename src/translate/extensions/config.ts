// Extension configurations (ECDS): what the filters run that listeners name only. In: the scope of a class. Out: drafts
// by name: Wasm modules of WasmPlugins and TrafficExtensions, and whatever EnvoyFilters add. Called by ../index.ts.

import type { WasmExtension } from '../../config/generated/types.ts';
import { type Draft, originOf } from '../../ir/draft.ts';
import type { Scope } from '../../ir/snapshot.ts';
import { memo } from '../../lib/memo.ts';
import { draftOf, lazyDraftOf } from '../draft.ts';
import { typed } from '../envoy.ts';
import { textOf } from '../envoyfilter/fields.ts';
import { extensionPatches } from '../envoyfilter/index.ts';
import type { Patch } from '../envoyfilter/patch.ts';
import { EXTENSION_PREFIX, type Extension, extensionsOf } from './extension.ts';
import { pluginConfig } from './wasm.ts';

const EXTENSION_CONFIG = 'envoy.config.core.v3.TypedExtensionConfig';

/** One for each name; of several the one that comes last in the order of EnvoyFilters. */
export function extensionConfigs(scope: Scope): readonly Draft[] {
  const { wasmPlugins, trafficExtensions } = scope.policies;
  const patches = extensionPatches(scope);
  if (wasmPlugins.length + trafficExtensions.length + patches.length === 0) return NONE;
  const drafts = new Map<string, Draft>();
  for (const extension of extensionsOf(wasmPlugins, trafficExtensions)) {
    if (extension.code.kind !== 'wasm') continue;
    drafts.set(EXTENSION_PREFIX + extension.name, moduleDraft(extension, extension.code.module, ''));
  }
  for (const patch of patches) {
    const name = textOf(patch.value, 'name');
    if (patch.operation === 'ADD' && name !== '') drafts.set(name, addedDraft(patch));
  }
  return [...drafts.values()];
}

const NONE: readonly Draft[] = [];

/** A module that is pulled with a credential. */
export interface PrivateModule {
  /** `NAMESPACE/NAME` */
  readonly secret: string;
  /** The extension's configuration with the content of the secret. */
  readonly draft: (content: string) => Draft;
}

/** Those of a class. */
export function privateModules({ policies }: Scope): readonly PrivateModule[] {
  const { wasmPlugins, trafficExtensions } = policies;
  if (wasmPlugins.length + trafficExtensions.length === 0) return NO_MODULES;
  return extensionsOf(wasmPlugins, trafficExtensions).flatMap((extension) => privateModule(extension) ?? []);
}

const NO_MODULES: readonly PrivateModule[] = [];

/** The secret has to be in the extension's own namespace, whatever its name says. */
const privateModule = memo((extension: Extension): PrivateModule | undefined => {
  const { code, object } = extension;
  const name = code.kind === 'wasm' ? (code.module.imagePullSecret ?? '') : '';
  if (code.kind !== 'wasm' || name === '') return undefined;
  return {
    secret: `${object.namespace}/${name.slice(name.lastIndexOf('/') + 1)}`,
    draft: (content) => moduleDraft(extension, code.module, content),
  };
});

/** `pullSecret`: empty for proxies that may not have it. */
const moduleDraft = memo((extension: Extension, module: WasmExtension, pullSecret: string): Draft => {
  const { object, name, level } = extension;
  const config = pluginConfig(object, name, module, pullSecret);
  const settings =
    level === 'network'
      ? typed('envoy.extensions.filters.network.wasm.v3.Wasm', { config })
      : typed('envoy.extensions.filters.http.wasm.v3.Wasm', { config });
  const message = { name: EXTENSION_PREFIX + name, typedConfig: settings };
  return draftOf(EXTENSION_CONFIG, message.name, message, [originOf(object)]);
});

const addedDraft = memo(
  (patch: Patch): Draft =>
    lazyDraftOf(EXTENSION_CONFIG, textOf(patch.value, 'name'), patch.encoded.bytes, () => [patch.origin]),
);
