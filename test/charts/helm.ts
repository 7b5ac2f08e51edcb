// The charts, rendered by a real Helm. Tests that need it skip with one line where there is none; with CI=true they fail.
import { execFile, execFileSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { parseAllDocuments } from 'yaml';

const CHARTS = fileURLToPath(new URL('../../charts/', import.meta.url));
/** What a Helm that knows no cluster renders for. */
const KUBE_VERSION = '1.34.0';

export const hasHelm = ((): boolean => {
  try {
    execFileSync('helm', ['version'], { stdio: 'ignore' });
    return true;
  } catch {
    if (process.env['CI'] === 'true') throw new Error('helm is not on PATH: the charts can not be tested');
    console.log('test/charts is skipped in part: helm is not on PATH');
    return false;
  }
})();

export interface Rendered {
  readonly apiVersion: string;
  readonly kind: string;
  readonly metadata: {
    readonly name: string;
    readonly namespace?: string;
    readonly labels?: Readonly<Record<string, string>>;
    readonly annotations?: Readonly<Record<string, string>>;
  };
  // Whatever the kind has; tests look into it with matchers.
  readonly [field: string]: unknown;
}

/** The objects of `helm template`; values as `a.b=c`. Rejects with Helm's message. */
export function render(chart: string, ...values: string[]): Promise<readonly Rendered[]> {
  const sets = values.flatMap((value) => ['--set', value]);
  const args = ['template', 'istiod', CHARTS + chart, '--kube-version', KUBE_VERSION, '-n', 'istio-system', ...sets];
  return new Promise((resolve, reject) => {
    execFile('helm', args, { maxBuffer: 32 << 20 }, (error, stdout, stderr) => {
      if (error !== null) reject(new Error(stderr));
      else
        resolve(
          parseAllDocuments(stdout)
            .map((document) => document.toJS() as Rendered | null)
            .filter((object) => object !== null),
        );
    });
  });
}

export function lint(chart: string): Promise<string> {
  return new Promise((resolve, reject) => {
    execFile('helm', ['lint', '--strict', CHARTS + chart], (error, stdout, stderr) => {
      if (error === null) resolve(stdout);
      else reject(new Error(stdout + stderr));
    });
  });
}

export function named(objects: readonly Rendered[], kind: string, name?: string): Rendered {
  const found = objects.filter((each) => each.kind === kind && (name === undefined || each.metadata.name === name));
  const [first] = found;
  if (first === undefined || found.length > 1)
    throw new Error(
      `${found.length} of ${kind} ${name ?? ''} among ${objects.map((each) => `${each.kind} ${each.metadata.name}`).join(', ')}`,
    );
  return first;
}
