// Admission webhooks of the running server: which injection config is in force, and what the webhooks see of the rest.
// In: files of a folder, or the ConfigMap istio-sidecar-injector[-REVISION] of the store. Out: a WebhookPort.
// A config that can't be read leaves the last good one in force.

import { join } from 'node:path';
import type { ConfigMapBody, NodeStatus } from '../config/core.ts';
import type { ProxyConfigSpec } from '../config/generated/types.ts';
import type { ConfigObject, Finding } from '../config/object.ts';
import { createValidator } from '../config/validate/index.ts';
import type { WebhookPort } from '../console/port.ts';
import { type ConfigTexts, type InjectionConfig, loadConfig } from '../inject/config.ts';
import { revisionFor } from '../inject/decision.ts';
import { injectionWebhook } from '../inject/injector.ts';
import { nativeSidecars } from '../inject/native.ts';
import { validationWebhook } from '../inject/validator.ts';
import { tableGet, tableValues } from '../lib/table.ts';
import type { ServerOptions, World } from '../server.ts';
import { textFiles } from '../sources/text-files.ts';
import { formatYaml, parseYaml } from '../sources/yaml.ts';
import { re2Checker } from '../store/re2.ts';
import { patchValueProblems } from '../translate/envoyfilter/patch.ts';
import type { ConfigSide } from './config.ts';

export interface Webhooks extends WebhookPort {
  /** About the injection config. */
  findings(): readonly Finding[];
  /** What is in force, for the debug page. */
  describe(): object;
  stop(): Promise<void>;
}

const YAML = { parse: parseYaml, format: formatYaml };

export async function startWebhooks(options: ServerOptions, world: World, config: ConfigSide): Promise<Webhooks> {
  const { log, clock } = world;
  const { meter } = world.metrics;
  const settings = await startInjectionConfig(options, world, config);
  const byKind = () => config.store.state().byKind;
  return {
    inject: injectionWebhook({
      config: settings.current,
      mesh: () => config.mesh(),
      proxyConfigs: () => tableValues(byKind().ProxyConfig) as Iterable<ConfigObject<ProxyConfigSpec>>,
      nativeSidecars: (nodeName) => {
        const nodes = [...tableValues(byKind().Node)].map(({ name, status }) => ({
          name,
          kubeletVersion: (status as NodeStatus | undefined)?.kubeletVersion,
        }));
        return nativeSidecars(options.nativeSidecars ?? 'auto', nodes, nodeName);
      },
      environment: (name) => options.environment?.[name],
      revision: options.revision,
      version: options.version,
      yaml: YAML,
      base64: (text) => Buffer.from(text).toString('base64'),
      log: log.child('inject'),
      meter,
      clock,
    }),
    validate: validationWebhook({
      validate: createValidator({ regex: re2Checker(), decodePatch: patchValueProblems, admission: true }),
      log: log.child('validate'),
      meter,
    }),
    findings: settings.findings,
    describe: () => ({ ...describeConfig(settings.current()), namespaces: namespaceRevisions(config) }),
    stop: settings.stop,
  };
}

function describeConfig(config: InjectionConfig | { readonly unavailable: string }): object {
  if ('unavailable' in config) return config;
  const { templates, ...rest } = config;
  const states = [...templates].map(([name, template]) => [name, 'problem' in template ? template.problem : 'ok']);
  return { ...rest, templates: Object.fromEntries(states) as object };
}

/** By which revision pods of a namespace are injected that say nothing themselves. */
function namespaceRevisions({ store }: ConfigSide): object {
  const rows = [...tableValues(store.state().byKind.Namespace)].map(({ name, labels }) => {
    const revision = revisionFor(labels, {});
    return [name, revision.kind === 'none' ? 'none' : revision.name];
  });
  return Object.fromEntries(rows) as object;
}

interface InjectionSettings {
  readonly current: () => InjectionConfig | { readonly unavailable: string };
  readonly findings: () => readonly Finding[];
  readonly stop: () => Promise<void>;
}

async function startInjectionConfig(
  options: ServerOptions,
  world: World,
  config: ConfigSide,
): Promise<InjectionSettings> {
  const log = world.log.child('inject');
  const directory = options.injectionDirectory;
  const paths =
    directory === undefined ? undefined : { config: join(directory, 'config'), values: join(directory, 'values') };
  let texts: ConfigTexts | undefined;
  let inForce: InjectionConfig | undefined;
  let findings: readonly Finding[] = [];
  const reload = (): void => {
    // What a ConfigMap says is not known before the store is; files are.
    const next =
      (paths === undefined ? undefined : fileTexts(paths)) ??
      (config.store.synced() ? mapTexts(options, config) : undefined);
    if (next === undefined || (texts !== undefined && next.config === texts.config && next.values === texts.values))
      return;
    texts = next;
    const loaded = loadConfig({ ...next, namespace: options.systemNamespace }, YAML);
    ({ findings } = loaded);
    if (loaded.kind === 'config') inForce = loaded.config;
    for (const { message } of findings) log.error({ origin: next.origin, problem: message }, 'injection configuration');
    log.info(
      { origin: next.origin, templates: [...(inForce?.templates.keys() ?? [])] },
      'injection configuration read',
    );
  };
  const files =
    paths === undefined
      ? undefined
      : textFiles({ files: Object.values(paths), log, timers: world.timers, onChange: () => reload() });
  const fileTexts = (of: { readonly config: string; readonly values: string }): ConfigTexts | undefined => {
    const text = files?.text(of.config);
    return text === undefined ? undefined : { config: text, values: files?.text(of.values), origin: directory };
  };
  await files?.start();
  const unfollow = config.store.onChange((state, before) => {
    if (state.byKind.ConfigMap !== before.byKind.ConfigMap || inForce === undefined) reload();
  });
  void config.ready().then(reload);
  reload();
  return {
    current: () =>
      inForce ?? {
        unavailable: findings[0]?.message ?? 'the injection configuration is still being read',
      },
    findings: () => findings,
    stop: async () => {
      unfollow();
      await files?.stop();
    },
  };
}

/** Without a ConfigMap the built-in templates and values count. */
function mapTexts({ revision, systemNamespace }: ServerOptions, { store }: ConfigSide): ConfigTexts {
  const suffix = revision === '' || revision === 'default' ? '' : `-${revision}`;
  const name = `istio-sidecar-injector${suffix}`;
  const object = tableGet(store.state().byKind.ConfigMap, `${systemNamespace}/${name}`);
  const { data } = (object?.spec ?? { data: {} }) as ConfigMapBody;
  return { config: data['config'], values: data['values'], origin: `ConfigMap ${systemNamespace}/${name}` };
}
