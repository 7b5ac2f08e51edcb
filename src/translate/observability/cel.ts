// Expressions that users write as values of metric labels (CEL), as far as Envoy's formatter takes them.
// Envoy refuses a whole listener for an expression that it can't compile, so what isn't known to compile stays out.

const TOKEN =
  /\s*(?:(?<number>\d+(?:\.\d+)?u?)|(?<text>"(?:[^"\\\n]|\\["\\nrt])*"|'(?:[^'\\\n]|\\['\\nrt])*')|(?<name>[A-Za-z_]\w*)|(?<sign>&&|\|\||[=!<>]=|[-+*/<>!?:.,()[\]]))/y;

/** Functions of Envoy's CEL environment; `string()` and the like are not switched on. */
const FUNCTIONS: ReadonlySet<string> = new Set(['has', 'size']);
const METHODS: ReadonlySet<string> = new Set(['startsWith', 'endsWith', 'contains', 'matches', 'size']);
const BINARY: ReadonlySet<string> = new Set(['||', '&&', '==', '!=', '<', '<=', '>', '>=', '+', '-', '*', '/', 'in']);

/** The expression for `%CEL()%`, or undefined where Envoy would refuse it. Values become text by themselves there. */
export function celForFormat(text: string): string | undefined {
  const whole = /^\s*string\s*\((.*)\)\s*$/s.exec(text)?.[1];
  const candidates = whole === undefined ? [text] : [whole, text];
  return candidates.find((each) => !each.includes('%') && compiles(each))?.trim();
}

function compiles(text: string): boolean {
  const tokens: string[] = [];
  TOKEN.lastIndex = 0;
  let end = 0;
  while (text.slice(end).trim() !== '') {
    const token = TOKEN.exec(text);
    if (token === null) return false;
    end = TOKEN.lastIndex;
    tokens.push(token[0].trim());
  }
  const reader = new Reader(tokens);
  return reader.expression() && reader.atEnd;
}

/** A recursive-descent reader that only says whether there is an expression. */
class Reader {
  readonly #tokens: readonly string[];
  #at = 0;

  constructor(tokens: readonly string[]) {
    this.#tokens = tokens;
  }

  get atEnd(): boolean {
    return this.#at === this.#tokens.length;
  }

  expression(): boolean {
    if (!this.#operand()) return false;
    while (BINARY.has(this.#next())) {
      this.#at++;
      if (!this.#operand()) return false;
    }
    return !this.#take('?') || (this.expression() && this.#take(':') && this.expression());
  }

  #next(): string {
    return this.#tokens[this.#at] ?? '';
  }

  #take(token: string): boolean {
    if (this.#next() !== token) return false;
    this.#at++;
    return true;
  }

  #operand(): boolean {
    while (this.#take('!') || this.#take('-')) {
      // Signs before a value.
    }
    if (!this.#primary()) return false;
    for (;;) {
      if (this.#take('.')) {
        const name = this.#name();
        if (name === undefined) return false;
        if (this.#take('(') && !(METHODS.has(name) && this.#list(')'))) return false;
      } else if (this.#take('[')) {
        if (!this.expression() || !this.#take(']')) return false;
      } else {
        return true;
      }
    }
  }

  #primary(): boolean {
    if (this.#take('(')) return this.expression() && this.#take(')');
    if (this.#take('[')) return this.#list(']');
    if (/^["'\d]/.test(this.#next())) {
      this.#at++;
      return true;
    }
    const name = this.#name();
    if (name === undefined || name === 'in') return false;
    return !this.#take('(') || (FUNCTIONS.has(name) && this.#list(')'));
  }

  #name(): string | undefined {
    const name = this.#next();
    if (!/^[A-Za-z_]/.test(name)) return undefined;
    this.#at++;
    return name;
  }

  /** Expressions up to the closing sign, which is taken too. */
  #list(close: string): boolean {
    if (this.#take(close)) return true;
    do {
      if (!this.expression()) return false;
    } while (this.#take(','));
    return this.#take(close);
  }
}
