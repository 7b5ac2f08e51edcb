// Annotations of the mesh: misspelled, in the wrong place, of a wrong form, out of date.

import type { Finding, Kind } from '../config/object.ts';
import { parseCidr } from '../lib/ip.ts';
import { type Analysis, on } from './analysis.ts';
import { ANNOTATIONS, type AnnotationEntry, type AnnotationForm } from './annotation-table.ts';

const KINDS: readonly Kind[] = [
  'Namespace',
  'Pod',
  'Service',
  'ServiceEntry',
  'VirtualService',
  'Gateway',
  'WorkloadEntry',
];
const OWN = /(?:^|\.)istio\.io\//;

export function* annotations(analysis: Analysis): Iterable<Finding> {
  for (const kind of KINDS) {
    for (const object of analysis.list(kind)) {
      for (const [name, value] of Object.entries(object.annotations)) {
        const path = `metadata.annotations[${JSON.stringify(name)}]`;
        const entry = ANNOTATIONS.get(name);
        if (entry === undefined) {
          if (OWN.test(name) && !name.startsWith('internal.'))
            yield on(object, 'IST0108', path, `there is no annotation ${name}`);
          continue;
        }
        if (entry.on !== 'any' && !entry.on.includes(kind))
          yield on(
            object,
            'IST0107',
            path,
            `${name} has no effect on a ${kind}`,
            `an object of kind ${entry.on.join(' or ')}`,
          );
        if (!hasForm(entry, value))
          yield on(
            object,
            'IST0125',
            path,
            `${JSON.stringify(value.slice(0, 80))} is no value of ${name}`,
            FORMS[entry.form],
          );
        if (entry.stage === 'deprecated') yield on(object, 'IST0135', path, `${name} is deprecated`);
        if (entry.stage === 'alpha') yield on(object, 'IST0136', path, `${name} is experimental and may go`);
      }
    }
  }
}

const FORMS: Readonly<Record<AnnotationForm, string>> = {
  text: 'text',
  boolean: 'true or false',
  number: 'a number',
  ports: 'ports with commas between them, or *',
  ranges: 'CIDRs with commas between them, or *',
};

function hasForm({ form }: AnnotationEntry, value: string): boolean {
  const all = (test: (part: string) => boolean): boolean =>
    value === '' || value === '*' || value.split(',').every((part) => test(part.trim()));
  switch (form) {
    case 'text':
      return true;
    case 'boolean':
      return /^(?:true|false|1|0|t|f)$/i.test(value);
    case 'number':
      return /^\d+(?:\.\d+)?$/.test(value);
    case 'ports':
      return all((part) => /^\d{1,5}$/.test(part) && Number(part) <= 65535);
    case 'ranges':
      return all((part) => part.includes('/') && parseCidr(part) !== undefined);
  }
}
