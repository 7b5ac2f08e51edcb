// The injection config: keys `config` and `values` of the ConfigMap istio-sidecar-injector, or the files of those names.
// In: their text. Out: an InjectionConfig whose templates are parsed, and findings. Called by whoever watches the texts.
// A template that can't be parsed is kept as its problem: it denies the pods that ask for it, and no others.

import type { Finding } from '../config/object.ts';
import { DEFAULT_VALUES } from './defaults.ts';
import { TEMPLATES } from './generated/templates.ts';
import { isJson, type Json } from './pod.ts';
import type { LabelSelector } from '../lib/label-selector.ts';
import { merged } from './template/collection-functions.ts';
import { TemplateError } from './template/error.ts';
import { parseTemplate, type Template } from './template/parse.ts';
import type { DecisionSettings } from './decision.ts';
import { deepFreeze } from '../lib/equal.ts';

/** YAML comes in as a function. */
export interface YamlPort {
  parse(text: string): YamlResult;
  format(value: unknown): string;
}

export type YamlResult =
  | { readonly kind: 'value'; readonly value: unknown }
  | { readonly kind: 'problem'; readonly message: string; readonly at: { readonly line: number } };

export type LoadedTemplate = Template | { readonly problem: string };

export interface InjectionConfig extends DecisionSettings {
  readonly defaultTemplates: readonly string[];
  readonly templates: ReadonlyMap<string, LoadedTemplate>;
  readonly aliases: Readonly<Record<string, readonly string[]>>;
  readonly injectedAnnotations: Readonly<Record<string, string>>;
  /** Over the defaults; frozen. */
  readonly values: Json;
}

export type LoadedConfig =
  | { readonly kind: 'config'; readonly config: InjectionConfig; readonly findings: readonly Finding[] }
  | { readonly kind: 'failed'; readonly findings: readonly Finding[] };

export interface ConfigTexts {
  /** Without it the built-in templates. */
  readonly config?: string | undefined;
  readonly values?: string | undefined;
  /** Of the control plane: what the values take it for where they don't say. */
  readonly namespace?: string | undefined;
  /** Where they come from, for findings. */
  readonly origin?: string | undefined;
}

/** Reads both texts. Fails only when one of them is no YAML map: then what was in force stays so. */
export function loadConfig({ config, values, namespace, origin }: ConfigTexts, yaml: YamlPort): LoadedConfig {
  const problems: string[] = [];
  const settings = config === undefined ? BUILT_IN : mapOf(config, 'config', yaml, problems);
  const given = values === undefined ? {} : mapOf(values, 'values', yaml, problems);
  if (settings === undefined || given === undefined) return { kind: 'failed', findings: findingsOf(problems, origin) };
  const templates = new Map<string, LoadedTemplate>();
  for (const [name, text] of Object.entries(recordOf(settings['templates']))) {
    const loaded = templateOf(name, text);
    if ('problem' in loaded) problems.push(loaded.problem);
    templates.set(name, loaded);
  }
  const policy = settings['policy'] ?? 'enabled';
  if (policy !== 'enabled' && policy !== 'disabled') {
    problems.push(`policy: ${JSON.stringify(policy)} is not known, nothing is injected: expected enabled or disabled`);
  }
  return {
    kind: 'config',
    config: {
      policy: typeof policy === 'string' ? policy : 'disabled',
      defaultTemplates: textsOf(settings['defaultTemplates'], ['sidecar']),
      templates,
      aliases: Object.fromEntries(
        Object.entries({ ...ALIASES, ...recordOf(settings['aliases']) }).map(([name, list]) => [
          name,
          textsOf(list, []),
        ]),
      ),
      neverInjectSelector: selectorsOf(settings, 'neverInjectSelector', problems),
      alwaysInjectSelector: selectorsOf(settings, 'alwaysInjectSelector', problems),
      injectedAnnotations: Object.fromEntries(
        Object.entries(recordOf(settings['injectedAnnotations'])).map(([key, value]) => [key, String(value)]),
      ),
      values: deepFreeze(merged(merged(DEFAULT_VALUES, placed(namespace)), given) as Json),
    },
    findings: findingsOf(problems, origin),
  };
}

/** Names that stand for several templates, where the config does not give them another meaning. */
const ALIASES: Json = { agentless: ['sidecar', 'without-agent'], 'gateway-agentless': ['gateway', 'without-agent'] };

const BUILT_IN: Json = { policy: 'enabled', defaultTemplates: ['sidecar'], templates: TEMPLATES };

function placed(namespace: string | undefined): Json {
  return namespace === undefined ? {} : { global: { istioNamespace: namespace } };
}

function mapOf(text: string, key: string, yaml: YamlPort, problems: string[]): Json | undefined {
  const parsed = yaml.parse(text);
  if (parsed.kind === 'problem') problems.push(`${key}, line ${parsed.at.line}: ${parsed.message}`);
  else if (parsed.value === null || parsed.value === undefined) return {};
  else if (isJson(parsed.value)) return parsed.value;
  else problems.push(`${key} is no map`);
  return undefined;
}

function templateOf(name: string, text: unknown): LoadedTemplate {
  if (typeof text !== 'string') return { problem: `template ${name} is no text` };
  try {
    return parseTemplate(name, text);
  } catch (error) {
    if (error instanceof TemplateError) return { problem: error.message };
    throw error;
  }
}

function recordOf(value: unknown): Json {
  return isJson(value) ? value : {};
}

function textsOf(value: unknown, fallback: readonly string[]): readonly string[] {
  return Array.isArray(value) && value.length > 0 ? value.map(String) : fallback;
}

const OPERATORS = ['In', 'NotIn', 'Exists', 'DoesNotExist'];

/** A selector that can't be read is left out, so that it neither adds proxies nor takes them away. */
function selectorsOf(settings: Json, key: string, problems: string[]): readonly LabelSelector[] {
  const list = settings[key];
  if (!Array.isArray(list)) return [];
  return list.flatMap((selector, index) => {
    const expressions = isJson(selector) ? (selector['matchExpressions'] ?? []) : undefined;
    const isWrong =
      !Array.isArray(expressions) ||
      expressions.some((each) => !isJson(each) || !OPERATORS.includes(String(each['operator'])));
    if (isWrong) problems.push(`${key}[${index}] is no label selector and is ignored`);
    return isWrong ? [] : [selector as LabelSelector];
  });
}

function findingsOf(problems: readonly string[], origin: string | undefined): readonly Finding[] {
  return problems.map((message) => ({
    severity: 'error',
    code: 'MEL0070',
    message,
    ...(origin === undefined ? {} : { origin }),
  }));
}
