// Loads every proto that Meltemi speaks into one protobufjs root.
// In: Envoy's v3 API, xds, udpa and googleapis as the package @grpc/grpc-js-xds carries them, and our own proto/ folder.
// Out: a resolved root; messages of proto/additions are merged into the package's messages of the same name.
// Called by scripts/generate.ts and by the codec's tests.
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import protobuf from 'protobufjs';

const OWN = fileURLToPath(new URL('../../proto', import.meta.url));
const DEPS = join(dirname(createRequire(import.meta.url).resolve('@grpc/grpc-js-xds/package.json')), 'deps');
const PACKAGED = ['envoy-api', 'xds', 'googleapis'].map((name) => join(DEPS, name));

/** Imports that only carry options, which nothing here reads. */
const OPTIONS_ONLY =
  /^(validate\/|udpa\/annotations\/|xds\/annotations\/|envoy\/annotations\/|google\/api\/annotations|google\/protobuf\/descriptor)/;
/** Imports that the package lacks; the files that need them belong to services that Meltemi does not serve. */
const ABSENT = /^(opencensus\/|io\/prometheus\/)/;

interface Source {
  readonly text: string;
  readonly imports: readonly string[];
}

function protosBelow(root: string, folder: string): string[] {
  const path = join(root, folder);
  if (!existsSync(path)) return [];
  return readdirSync(path, { recursive: true, encoding: 'utf8' })
    .filter((name) => name.endsWith('.proto'))
    .map((name) => `${folder}/${name.split('\\').join('/')}`)
    .sort();
}

function importsOf(text: string): string[] {
  return [...text.matchAll(/^import\s+(?:public\s+|weak\s+)?"([^"]+)"/gm)].map((found) => found[1] ?? '');
}

function read(name: string): Source | undefined {
  for (const root of [OWN, ...PACKAGED]) {
    const path = join(root, name);
    if (existsSync(path)) {
      const text = readFileSync(path, 'utf8');
      return { text, imports: importsOf(text) };
    }
  }
  return undefined;
}

/** Every file to load, with what it imports, in a fixed order. */
function collect(): Map<string, Source> {
  const packaged = [
    ...protosBelow(PACKAGED[0] ?? '', 'envoy').filter((name) => /\/v3[a-z0-9]*\//.test(name)),
    ...protosBelow(PACKAGED[1] ?? '', 'xds'),
    ...protosBelow(PACKAGED[1] ?? '', 'udpa'),
  ];
  const own = ['envoy', 'istio', 'opentelemetry'].flatMap((folder) => protosBelow(OWN, folder));
  const queue = [...packaged, ...own].filter((name) => !OPTIONS_ONLY.test(name));
  const sources = new Map<string, Source>();
  for (let name = queue.shift(); name !== undefined; name = queue.shift()) {
    if (sources.has(name) || protobuf.common.get(name) !== null) continue;
    const source = read(name);
    if (source === undefined) throw new Error(`no proto file ${name}`);
    if (source.imports.some((imported) => ABSENT.test(imported))) continue;
    sources.set(name, source);
    queue.push(...source.imports.filter((imported) => !OPTIONS_ONLY.test(imported)));
  }
  return sources;
}

function mergeType(target: protobuf.Type, extra: protobuf.Type): void {
  for (const field of extra.fieldsArray) {
    const taken = target.fieldsById[field.id];
    if (taken !== undefined) throw new Error(`${target.fullName}: field ${field.id} is taken by ${taken.name}`);
    target.add(new protobuf.Field(field.name, field.id, field.type, field.repeated ? 'repeated' : undefined));
  }
  mergeInto(target, extra);
}

function mergeInto(target: protobuf.NamespaceBase, extra: protobuf.NamespaceBase): void {
  for (const object of extra.nestedArray) {
    const known = target.get(object.name);
    if (known instanceof protobuf.Type && object instanceof protobuf.Type) mergeType(known, object);
    else if (known instanceof protobuf.Namespace && object instanceof protobuf.Namespace) mergeInto(known, object);
    else if (known !== null) throw new Error(`${object.fullName} already exists`);
    else {
      extra.remove(object);
      target.add(object);
    }
  }
}

/** One resolved root with every message, enum and service. */
export function loadProtos(): protobuf.Root {
  const root = new protobuf.Root();
  for (const name of ['any', 'duration', 'empty', 'field_mask', 'struct', 'timestamp', 'wrappers']) {
    const common = protobuf.common.get(`google/protobuf/${name}.proto`);
    if (common?.nested !== undefined) root.addJSON(common.nested);
  }
  for (const [name, source] of collect()) {
    Object.assign(protobuf.parse, { filename: name });
    protobuf.parse(source.text, root, { keepCase: true });
  }
  const additions = new protobuf.Root();
  for (const name of protosBelow(OWN, 'additions')) {
    Object.assign(protobuf.parse, { filename: name });
    protobuf.parse(readFileSync(join(OWN, name), 'utf8'), additions, { keepCase: true });
  }
  mergeInto(root, additions);
  root.resolveAll();
  return root;
}
