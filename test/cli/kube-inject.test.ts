import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { parseAllDocuments } from 'yaml';
import { kubeInject } from '../../src/cli/commands/kube-inject.ts';
import { validate } from '../../src/cli/commands/validate.ts';

const SERVICE = `# Kept as it is.
apiVersion: v1
kind: Service
metadata: {name: web}
spec: {ports: [{port: 80}]}
`;
const DEPLOYMENT = `apiVersion: apps/v1
kind: Deployment
metadata: { name: web }
spec:
  selector: { matchLabels: { app: web } }
  template:
    metadata: { labels: { app: web } }
    spec:
      containers: [{ name: web, image: "web:1" }]
`;
const ON_HOST = `apiVersion: v1
kind: Pod
metadata: { name: on-host }
spec: { hostNetwork: true, containers: [{ name: x, image: "x:1" }] }
`;

type Template = { spec: { template: { spec: { containers: { name: string; image: string }[] } } } };

let folder: string;
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'meltemi-cli-'));
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

function file(name: string, text: string): string {
  const path = join(folder, name);
  writeFileSync(path, text);
  return path;
}

interface Run {
  readonly status: number;
  readonly out: string;
  readonly err: string;
}

async function running(
  command: (context: Parameters<typeof kubeInject>[1]) => Promise<number>,
  env: Record<string, string> = {},
): Promise<Run> {
  const out: string[] = [];
  const err: string[] = [];
  const status = await command({ env, out: (text) => out.push(text), err: (text) => err.push(text) });
  return { status, out: out.join('\n'), err: err.join('\n') };
}

describe('kube-inject', () => {
  it('injects workloads, and leaves the rest as it was written', async () => {
    const filename = file('all.yaml', `${SERVICE}---\n${DEPLOYMENT}---\n${ON_HOST}`);
    const { status, out, err } = await running((context) => kubeInject({ filename }, context));
    expect(status).toBe(0);
    const [service, deployment, pod] = out.split('---\n');
    expect([service, pod]).toEqual([SERVICE, ON_HOST]);
    const [injected] = parseAllDocuments(deployment ?? '').map((document) => document.toJS() as Template);
    expect(injected?.spec.template.spec.containers.map(({ name }) => name)).toEqual(['web', 'istio-proxy']);
    expect(err).toBe('note: Pod default/on-host is not injected: the pod is on the network of its host');
  });

  it('takes templates, values and mesh of files, and can write one', async () => {
    const flags = {
      filename: file('d.yaml', DEPLOYMENT),
      output: join(folder, 'out.yaml'),
      injectConfigFile: file(
        'config.yaml',
        'templates:\n  sidecar: |\n    spec:\n      containers:\n      - name: istio-proxy\n        image: "{{ .Values.global.hub }}/{{ .MeshConfig.TrustDomain }}/{{ .Revision }}"\n',
      ),
      valuesFile: file('values.json', '{"global":{"hub":"h"}}'),
      meshConfigFile: file('mesh.yaml', 'trustDomain: td\n'),
      revision: 'r1',
    };
    const { out } = await running((context) => kubeInject(flags, context));
    expect(out).toBe('');
    const again = await running((context) =>
      kubeInject({ ...flags, filename: flags.output, output: '/dev/null' }, context),
    );
    expect(again.status).toBe(0);
    const { out: twice } = await running((context) =>
      kubeInject(
        {
          filename: flags.output,
          injectConfigFile: flags.injectConfigFile,
          valuesFile: flags.valuesFile,
          meshConfigFile: flags.meshConfigFile,
          revision: 'r1',
        },
        context,
      ),
    );
    expect(twice).toContain('image: h/td/r1');
  });

  it('says where a file or a template is wrong', async () => {
    const broken = file('broken.yaml', 'a: 1\n---\nkind: [\n');
    await expect(running((context) => kubeInject({ filename: broken }, context))).rejects.toThrow(`${broken}:4:1: `);
    const flags = {
      filename: file('e.yaml', DEPLOYMENT),
      injectConfigFile: file('bad.yaml', 'templates: { sidecar: "x\\n{{ end }}" }'),
    };
    await expect(running((context) => kubeInject(flags, context))).rejects.toThrow(
      'Deployment default/web: template sidecar, line 2: unexpected {{end}}',
    );
    await expect(running((context) => kubeInject({ filename: join(folder, 'none') }, context))).rejects.toThrow(
      'no such file',
    );
  });
});

describe('validate', () => {
  const GOOD =
    'apiVersion: networking.istio.io/v1\nkind: DestinationRule\nmetadata: { name: a }\nspec: { host: web }\n';

  it('is content with what is right, other kinds included', async () => {
    const { status, out, err } = await running((context) =>
      validate({ filename: [file('good.yaml', `${GOOD}---\n${SERVICE}`)] }, context),
    );
    expect([status, err]).toEqual([0, '']);
    expect(out).toMatch(/good\.yaml is valid$/);
  });

  it('shows each mistake with its place, in all files of a folder', async () => {
    const sub = join(folder, 'sub', 'deep');
    mkdirSync(sub, { recursive: true });
    writeFileSync(
      join(sub, 'bad.yaml'),
      `${GOOD}---\napiVersion: networking.istio.io/v1\nkind: DestinationRule\nmetadata: { name: b }\nspec:\n  subsets:\n  - name: v1\n  more: 1\n`,
    );
    writeFileSync(join(folder, 'sub', 'broken.yml'), 'kind: [\n');
    writeFileSync(join(folder, 'sub', 'notes.txt'), 'nothing of ours');
    const { status, err } = await running((context) => validate({ filename: [join(folder, 'sub')] }, context));
    expect(status).toBe(1);
    expect(err).toMatch(/broken\.yml:2:1: error: .*\(MEL0002\)/);
    expect(err).toMatch(/bad\.yaml:12:3: error: DestinationRule default\/b: spec\.more: /);
  });
});
