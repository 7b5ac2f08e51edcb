// Labels as objects may have them: keys and values of Kubernetes' form. What has another form fits nothing that exists.

import { member } from './common.ts';
import type { Report } from './report.ts';

const NAME = /^[A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?$/;
const PREFIX = /^[A-Za-z0-9]([-A-Za-z0-9]*[A-Za-z0-9])?(\.[A-Za-z0-9]([-A-Za-z0-9]*[A-Za-z0-9])?)*$/;

export function checkLabels(report: Report, path: string, labels: Readonly<Record<string, string>> | undefined): void {
  for (const [key, value] of Object.entries(labels ?? {})) {
    const at = member(path, key);
    if (!isKey(key)) report.strict(at, `${JSON.stringify(key)} is no key of a label`, '[PREFIX/]NAME');
    if (value !== '' && (value.length > 63 || !NAME.test(value)))
      report.strict(at, `${JSON.stringify(value)} is no value of a label`, 'up to 63 letters, digits, -, _ and .');
  }
}

function isKey(key: string): boolean {
  const slash = key.indexOf('/');
  const name = key.slice(slash + 1);
  const prefix = key.slice(0, Math.max(slash, 0));
  if (slash >= 0 && (prefix.length > 253 || !PREFIX.test(prefix))) return false;
  return name.length <= 63 && NAME.test(name);
}
