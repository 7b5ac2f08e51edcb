// `meltemi validate`: files judged as the validation webhook would judge them.

import type { Finding } from '../../config/object.ts';
import { parseDocument } from '../../config/parse/index.ts';
import { createValidator, type Validator } from '../../config/validate/index.ts';
import { locator, splitDocuments } from '../../sources/documents.ts';
import { parseYaml } from '../../sources/yaml.ts';
import { re2Checker } from '../../store/re2.ts';
import { patchValueProblems } from '../../translate/envoyfilter/patch.ts';
import type { CommandContext } from '../program.ts';
import { type Input, readInputs } from '../read-input.ts';

export interface ValidateFlags {
  readonly filename: readonly string[];
  readonly namespace?: string;
}

/** Prints a line for each finding; exit status 1 when one of them is an error. */
export async function validate(flags: ValidateFlags, { out, err }: CommandContext): Promise<number> {
  const validator = createValidator({ regex: re2Checker(), decodePatch: patchValueProblems, admission: true });
  const inputs = await readInputs(flags.filename, process.stdin);
  let failed = false;
  for (const input of inputs) {
    const findings = findingsOf(input, flags.namespace ?? 'default', validator);
    for (const finding of findings) err(formatFinding(finding));
    const isWrong = findings.some(({ severity }) => severity === 'error');
    if (!isWrong) out(`${input.name === '-' ? 'standard input' : input.name} is valid`);
    failed ||= isWrong;
  }
  return failed ? 1 : 0;
}

function findingsOf({ name, text }: Input, namespace: string, validator: Validator): readonly Finding[] {
  return splitDocuments(text).flatMap((chunk): readonly Finding[] => {
    const parsed = parseYaml(chunk.text);
    if (parsed.kind === 'problem') {
      const origin = `${name}:${parsed.at.line + chunk.line - 1}:${parsed.at.column}`;
      return [{ severity: 'error', code: 'MEL0002', origin, message: parsed.message }];
    }
    const options = { unknownFields: 'error', defaultNamespace: namespace, origin: name } as const;
    return parseDocument(parsed.value, options).flatMap((each) => {
      if (each.kind === 'ignored') return [];
      const findings = each.kind === 'invalid' ? each.findings : [...each.warnings, ...validator(each.object)];
      // Paths of findings without an object lead from the document's beginning.
      const locate = (finding: Finding) => locator(chunk, name, finding.ref === undefined ? [] : each.root);
      return findings.map((finding) => ({
        ...finding,
        origin: locate(finding)(finding.path ?? '') ?? finding.origin ?? name,
      }));
    });
  });
}

/** `FILE:LINE:COLUMN: error: VirtualService shop/web: spec.http[0]: … (IST0106)` */
function formatFinding({ severity, code, ref, origin, path, message, expected }: Finding): string {
  const object = ref === undefined ? '' : `${ref.kind} ${ref.namespace === '' ? '' : `${ref.namespace}/`}${ref.name}: `;
  const at = path === undefined || path === '' ? '' : `${path}: `;
  const right = expected === undefined ? '' : `: expected ${expected}`;
  return `${origin ?? ''}: ${severity}: ${object}${at}${message}${right} (${code})`;
}
