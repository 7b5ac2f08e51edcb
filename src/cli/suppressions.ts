// `analyze --suppress CODE=KIND NAME[.NAMESPACE]`, with `*` for any part of a word.

import type { Finding } from '../config/object.ts';
import { UsageError } from './program.ts';

export interface Suppression {
  readonly code: RegExp;
  readonly object: RegExp;
}

export function parseSuppressions(texts: readonly string[]): readonly Suppression[] {
  return texts.map((text) => {
    const equals = text.indexOf('=');
    if (equals < 1 || equals === text.length - 1)
      throw new UsageError(
        `--suppress ${JSON.stringify(text)}: expected CODE=KIND NAME.NAMESPACE, such as "IST0103=Pod web.*"`,
        64,
      );
    return { code: glob(text.slice(0, equals)), object: glob(text.slice(equals + 1)) };
  });
}

export function suppresses(suppressions: readonly Suppression[], { code, ref }: Finding): boolean {
  const object = ref === undefined ? '' : `${ref.kind} ${ref.name}${ref.namespace === '' ? '' : `.${ref.namespace}`}`;
  return suppressions.some((each) => each.code.test(code) && each.object.test(object));
}

function glob(text: string): RegExp {
  const parts = text.split('*').map((part) => part.replace(/[.*+?^${}()|[\]\\]/g, '\\$&'));
  return new RegExp(`^${parts.join('.*')}$`);
}
