// WasmPlugin, TrafficExtension, Telemetry and ProxyConfig.

import type {
  CustomTag,
  ProviderRef,
  ProxyConfigSpec,
  TelemetrySpec,
  TrafficExtensionSpec,
  TrafficSelector,
  VmConfig,
  WasmPluginSpec,
} from '../generated/types.ts';
import {
  checkDuration,
  checkPercent,
  checkPort,
  checkSelectorLabels,
  checkTargets,
  duplicates,
  member,
} from './common.ts';
import type { KindValidator, Report } from './report.ts';

interface Module {
  readonly url?: string | undefined;
  readonly sha256?: string | undefined;
  readonly imagePullSecret?: string | undefined;
  readonly pluginName?: string | undefined;
  readonly vmConfig?: VmConfig | undefined;
}

export const validateWasmPlugin: KindValidator<WasmPluginSpec> = ({ spec }, report) => {
  checkTargets(report, spec);
  checkModule(report, 'spec', spec);
  checkTrafficSelectors(report, spec.match ?? []);
};

export const validateTrafficExtension: KindValidator<TrafficExtensionSpec> = ({ spec }, report) => {
  checkTargets(report, spec);
  if ((spec.wasm === undefined) === (spec.lua === undefined))
    report.error('spec', spec.wasm === undefined ? 'has no filter' : 'has two filters', 'exactly one of wasm, lua');
  if (spec.wasm !== undefined) checkModule(report, 'spec.wasm', spec.wasm);
  if (spec.lua !== undefined && (spec.lua.inlineCode ?? '') === '')
    report.error('spec.lua.inlineCode', 'is missing', 'Lua source');
  checkTrafficSelectors(report, spec.match ?? []);
};

const SCHEMES = ['file', 'http', 'https', 'oci'];

function checkModule(report: Report, path: string, module: Module): void {
  const url = module.url ?? '';
  const scheme = /^([a-zA-Z][a-zA-Z0-9+.-]*):\/\//.exec(url)?.[1];
  if (url === '') report.error(`${path}.url`, 'is missing', 'file://, http(s):// or an OCI image');
  else if (scheme !== undefined && !SCHEMES.includes(scheme))
    report.error(`${path}.url`, `${JSON.stringify(scheme)} is not supported`, SCHEMES.join(', '));
  else if (/\s/.test(url)) report.error(`${path}.url`, 'has white space', 'a URL');
  const sha = module.sha256 ?? '';
  if (sha !== '' && !/^[a-f0-9]{64}$/.test(sha))
    report.error(`${path}.sha256`, 'is no SHA-256 digest', '64 lower-case hexadecimal digits');
  if ((module.imagePullSecret ?? '').length > 253)
    report.error(`${path}.imagePullSecret`, 'is too long', 'at most 253 characters');
  if ((module.pluginName ?? '').length > 256)
    report.error(`${path}.pluginName`, 'is too long', 'at most 256 characters');
  const env = module.vmConfig?.env ?? [];
  for (const [index, variable] of env.entries()) {
    const at = `${path}.vmConfig.env[${index}]`;
    if ((variable.name ?? '') === '' || (variable.name ?? '').length > 256)
      report.error(`${at}.name`, 'is empty or too long', '1 to 256 characters');
    if (variable.valueFrom === 'HOST' && (variable.value ?? '') !== '')
      report.error(`${at}.value`, 'stands beside valueFrom HOST', 'no value');
  }
  for (const [index] of duplicates(env, (variable) => variable.name))
    report.strict(`${path}.vmConfig.env[${index}].name`, 'is set twice', 'each variable once');
}

function checkTrafficSelectors(report: Report, selectors: readonly TrafficSelector[]): void {
  for (const [index, selector] of selectors.entries()) {
    for (const [at, port] of (selector.ports ?? []).entries())
      checkPort(report, `spec.match[${index}].ports[${at}].number`, port.number);
  }
}

export const validateTelemetry: KindValidator<TelemetrySpec> = ({ spec }, report) => {
  checkTargets(report, spec);
  for (const [index, logging] of (spec.accessLogging ?? []).entries()) {
    const path = `spec.accessLogging[${index}]`;
    checkProviders(report, path, logging.providers);
    if (logging.filter !== undefined && (logging.filter.expression ?? '') === '') {
      report.error(`${path}.filter.expression`, 'is missing', 'a CEL expression');
    }
  }
  if ((spec.tracing ?? []).length > 1) report.warn('spec.tracing', 'only the first entry is used', 'one entry');
  for (const [index, tracing] of (spec.tracing ?? []).entries()) {
    const path = `spec.tracing[${index}]`;
    checkProviders(report, path, tracing.providers);
    if ((tracing.providers ?? []).length > 1)
      report.warn(`${path}.providers`, 'only the first provider is used', 'one provider');
    checkPercent(report, `${path}.randomSamplingPercentage`, tracing.randomSamplingPercentage);
    for (const [name, tag] of Object.entries(tracing.customTags ?? {}))
      checkTag(report, member(`${path}.customTags`, name), name, tag);
  }
  checkMetrics(report, spec);
};

function checkProviders(report: Report, path: string, providers: readonly ProviderRef[] | undefined): void {
  for (const [index, provider] of (providers ?? []).entries()) {
    if ((provider.name ?? '') === '')
      report.error(`${path}.providers[${index}].name`, 'is missing', 'an extension provider of the mesh');
  }
}

function checkTag(report: Report, path: string, name: string, tag: CustomTag): void {
  if (name === '') report.error(path, 'has an empty name', 'the name of the tag');
  if (tag.literal !== undefined && (tag.literal.value ?? '') === '')
    report.error(`${path}.literal.value`, 'is missing', 'a value');
  if (tag.header !== undefined && (tag.header.name ?? '') === '')
    report.error(`${path}.header.name`, 'is missing', 'a header name');
  if (tag.environment !== undefined && (tag.environment.name ?? '') === '')
    report.error(`${path}.environment.name`, 'is missing', 'a variable');
  if (tag.formatter !== undefined && (tag.formatter.value ?? '') === '')
    report.error(`${path}.formatter.value`, 'is missing', 'a format');
}

function checkMetrics(report: Report, spec: TelemetrySpec): void {
  for (const [index, metrics] of (spec.metrics ?? []).entries()) {
    const path = `spec.metrics[${index}]`;
    checkProviders(report, path, metrics.providers);
    checkDuration(report, `${path}.reportingInterval`, metrics.reportingInterval);
    for (const [at, override] of (metrics.overrides ?? []).entries()) {
      for (const [name, tag] of Object.entries(override.tagOverrides ?? {})) {
        const here = member(`${path}.overrides[${at}].tagOverrides`, name);
        const value = (tag.value ?? '') !== '';
        if (tag.operation === 'REMOVE' && value) report.error(`${here}.value`, 'stands beside REMOVE', 'no value');
        if (tag.operation !== 'REMOVE' && !value) report.error(`${here}.value`, 'is missing', 'an expression');
      }
    }
  }
}

export const validateProxyConfig: KindValidator<ProxyConfigSpec> = ({ spec }, report) => {
  if (spec.selector !== undefined) checkSelectorLabels(report, 'spec.selector.matchLabels', spec.selector.matchLabels);
  if ((spec.concurrency ?? 0) < 0)
    report.error('spec.concurrency', `${spec.concurrency ?? 0} is negative`, '0 or more');
};
