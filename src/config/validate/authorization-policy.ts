import type { AuthorizationPolicySpec, Condition, Operation, Rule, Source } from '../generated/types.ts';
import { isIpOrCidr } from './addresses.ts';
import { checkTargets } from './common.ts';
import type { KindValidator, Report } from './report.ts';

const DRY_RUN = 'istio.io/dry-run';

/** Action and provider, then every rule. */
export const validateAuthorizationPolicy: KindValidator<AuthorizationPolicySpec> = ({ spec, annotations }, report) => {
  checkTargets(report, spec);
  const action = spec.action ?? 'ALLOW';
  if (action === 'CUSTOM') {
    if ((spec.provider?.name ?? '') === '')
      report.error('spec.provider.name', 'is missing', 'an extension provider of the mesh');
  } else if (spec.provider !== undefined) report.error('spec.provider', `has no place with ${action}`, 'action CUSTOM');
  if ((action === 'DENY' || action === 'CUSTOM') && spec.rules === undefined) {
    report.strict('spec.rules', `${action} without rules never applies`, 'rules: [{}] for every request');
  }
  checkDryRun(report, annotations[DRY_RUN], action);
  for (const [index, rule] of (spec.rules ?? []).entries()) {
    const path = `spec.rules[${index}]`;
    checkRule(report, path, rule);
    if (action === 'CUSTOM') checkCustomRule(report, path, rule);
    if (action === 'DENY') warnHttpOnly(report, path, rule);
  }
};

function checkDryRun(report: Report, value: string | undefined, action: string): void {
  if (value === undefined) return;
  const path = `metadata.annotations[${JSON.stringify(DRY_RUN)}]`;
  if (value !== 'true' && value !== 'false')
    report.error(path, `${JSON.stringify(value)} is no boolean`, 'true or false');
  if (action === 'CUSTOM' || action === 'AUDIT') report.error(path, `is not supported with ${action}`, 'ALLOW or DENY');
}

function checkRule(report: Report, path: string, rule: Rule): void {
  if (rule.from?.length === 0) report.strict(`${path}.from`, 'is empty', 'at least one source, or no from');
  for (const [index, from] of (rule.from ?? []).entries()) {
    const at = `${path}.from[${index}].source`;
    if (from.source === undefined) report.error(at, 'is missing', 'a source');
    else checkSource(report, at, from.source);
  }
  if (rule.to?.length === 0) report.strict(`${path}.to`, 'is empty', 'at least one operation, or no to');
  for (const [index, to] of (rule.to ?? []).entries()) {
    const at = `${path}.to[${index}].operation`;
    if (to.operation === undefined) report.error(at, 'is missing', 'an operation');
    else checkOperation(report, at, to.operation);
  }
  for (const [index, condition] of (rule.when ?? []).entries())
    checkCondition(report, `${path}.when[${index}]`, condition);
}

function checkLists(
  report: Report,
  path: string,
  lists: Readonly<Record<string, readonly string[] | undefined>>,
): void {
  let values = 0;
  for (const [field, list] of Object.entries(lists)) {
    values += list?.length ?? 0;
    for (const [index, value] of (list ?? []).entries()) {
      if (value === '') report.error(`${path}.${field}[${index}]`, 'is empty', 'a value');
    }
  }
  if (values === 0) report.strict(path, 'is empty', 'at least one field with a value');
}

const IP_FIELDS = ['ipBlocks', 'notIpBlocks', 'remoteIpBlocks', 'notRemoteIpBlocks'] as const;

function checkSource(report: Report, path: string, source: Source): void {
  checkLists(report, path, { ...source });
  for (const field of IP_FIELDS) {
    for (const [index, block] of (source[field] ?? []).entries()) {
      if (block !== '' && !isIpOrCidr(block))
        report.error(`${path}.${field}[${index}]`, `${JSON.stringify(block)} is no address`, 'an IP address or CIDR');
    }
  }
  for (const field of ['serviceAccounts', 'notServiceAccounts'] as const) {
    for (const [index, account] of (source[field] ?? []).entries()) {
      if (account.split('/').length > 2)
        report.error(
          `${path}.${field}[${index}]`,
          `${JSON.stringify(account)} is no service account`,
          'NAME or NAMESPACE/NAME',
        );
      else if (account.includes('*'))
        report.error(`${path}.${field}[${index}]`, 'wildcards are not supported here', 'an exact name');
    }
  }
  const accounts = (source.serviceAccounts ?? []).length + (source.notServiceAccounts ?? []).length;
  const others = [source.principals, source.notPrincipals, source.namespaces, source.notNamespaces];
  if (accounts > 0 && others.some((list) => (list ?? []).length > 0)) {
    report.error(path, 'has service accounts beside principals or namespaces', 'one way to name the caller');
  }
}

function checkOperation(report: Report, path: string, operation: Operation): void {
  checkLists(report, path, { ...operation });
  for (const field of ['ports', 'notPorts'] as const) {
    for (const [index, port] of (operation[field] ?? []).entries()) {
      if (port !== '' && !isPortText(port))
        report.error(`${path}.${field}[${index}]`, `${JSON.stringify(port)} is no port`, '1 to 65535');
    }
  }
  for (const field of ['paths', 'notPaths'] as const) {
    for (const [index, text] of (operation[field] ?? []).entries()) {
      const problem = templateProblem(text);
      if (problem !== undefined)
        report.error(`${path}.${field}[${index}]`, problem, '{*} or {**} as a whole path segment, {**} last');
    }
  }
}

function isPortText(text: string): boolean {
  return /^\d{1,5}$/.test(text) && Number(text) >= 1 && Number(text) <= 65535;
}

/** Path templates of Envoy's uri_template matcher: `{*}` is one segment, `{**}` any number. */
function templateProblem(path: string): string | undefined {
  if (!path.includes('{*}') && !path.includes('{**}')) {
    return /[{}]/.test(path) ? `${JSON.stringify(path)} has braces that form no template` : undefined;
  }
  const segments = path.replace(/^\//, '').split('/');
  let rest = false;
  for (const segment of segments) {
    if (segment === '{**}') {
      if (rest) return `${JSON.stringify(path)} has {**} more than once`;
      rest = true;
    } else if (segment === '{*}') {
      if (rest) return `${JSON.stringify(path)} has {*} behind {**}`;
    } else if (/[{}*]/.test(segment)) return `${JSON.stringify(path)} mixes a template with other text in one segment`;
  }
  return undefined;
}

type ValueCheck = (value: string) => boolean;

const anyValue: ValueCheck = () => true;

/** Attributes without parameter. */
const ATTRIBUTES: Readonly<Record<string, ValueCheck>> = {
  'source.ip': isIpOrCidr,
  'remote.ip': isIpOrCidr,
  'source.namespace': anyValue,
  'source.principal': anyValue,
  'source.serviceAccount': anyValue,
  'source.trustDomain': anyValue,
  'request.auth.principal': anyValue,
  'request.auth.audiences': anyValue,
  'request.auth.presenter': anyValue,
  'destination.ip': isIpOrCidr,
  'destination.port': isPortText,
  'connection.sni': anyValue,
};

/** Attributes with a name in brackets. */
const KEYED_ATTRIBUTES: readonly RegExp[] = [
  /^request\.headers\[[^\]]+\]$/,
  /^request\.auth\.claims(?:\[[^\]]+\])+$/,
  /^experimental\.envoy\.filters\.[^[]+\[.+\]$/,
];

function checkCondition(report: Report, path: string, condition: Condition): void {
  const key = condition.key ?? '';
  if (key === '') return report.error(`${path}.key`, 'is missing', 'an attribute');
  const check = ATTRIBUTES[key] ?? (KEYED_ATTRIBUTES.some((form) => form.test(key)) ? anyValue : undefined);
  if (check === undefined) {
    const known = [...Object.keys(ATTRIBUTES), 'request.headers[NAME]', 'request.auth.claims[NAME]'];
    return report.error(`${path}.key`, `${JSON.stringify(key)} is no attribute`, `one of ${known.join(', ')}`);
  }
  if ((condition.values ?? []).length === 0 && (condition.notValues ?? []).length === 0) {
    report.error(path, 'has no values', 'values or notValues');
  }
  for (const field of ['values', 'notValues'] as const) {
    for (const [index, value] of (condition[field] ?? []).entries()) {
      if (!check(value))
        report.error(
          `${path}.${field}[${index}]`,
          `${JSON.stringify(value)} does not fit ${key}`,
          'a value of the right form',
        );
    }
  }
}

const IDENTITY_FIELDS = [
  'namespaces',
  'notNamespaces',
  'serviceAccounts',
  'notServiceAccounts',
  'trustDomains',
  'notTrustDomains',
  'principals',
  'notPrincipals',
  'requestPrincipals',
  'notRequestPrincipals',
] as const;

const IDENTITY_KEYS = /^(?:source\.(?:namespace|serviceAccount|trustDomain|principal)$|request\.auth\.)/;

/** The external authorizer is asked before tokens and identities are known to the filter that triggers it. */
function checkCustomRule(report: Report, path: string, rule: Rule): void {
  for (const [index, from] of (rule.from ?? []).entries()) {
    for (const field of IDENTITY_FIELDS) {
      if ((from.source?.[field] ?? []).length > 0)
        report.error(
          `${path}.from[${index}].source.${field}`,
          'is not supported with CUSTOM',
          'ipBlocks or remoteIpBlocks',
        );
    }
  }
  for (const [index, condition] of (rule.when ?? []).entries()) {
    if (IDENTITY_KEYS.test(condition.key ?? ''))
      report.error(
        `${path}.when[${index}].key`,
        `${condition.key ?? ''} is not supported with CUSTOM`,
        'another attribute',
      );
  }
}

const L4_SOURCE = [
  'principals',
  'notPrincipals',
  'ipBlocks',
  'notIpBlocks',
  'namespaces',
  'notNamespaces',
  'remoteIpBlocks',
  'notRemoteIpBlocks',
  'serviceAccounts',
  'notServiceAccounts',
] as const;

/** On a TCP port HTTP fields can't be evaluated, so that a DENY rule with nothing else denies everything. */
function warnHttpOnly(report: Report, path: string, rule: Rule): void {
  const from = (rule.from ?? []).flatMap((each) => (each.source === undefined ? [] : [each.source]));
  const to = (rule.to ?? []).flatMap((each) => (each.operation === undefined ? [] : [each.operation]));
  const l4From = from.some((source) => L4_SOURCE.some((field) => source[field] !== undefined));
  const l4To = to.some((operation) => operation.ports !== undefined || operation.notPorts !== undefined);
  if ((from.length > 0 && to.length === 0 && !l4From) || (to.length > 0 && !l4To)) {
    report.warn(path, 'has only HTTP fields: on TCP ports it denies all traffic', 'operation.ports');
  }
}
