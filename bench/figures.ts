// What a benchmark has to say: figures with a name, a unit and what was measured, one value a round.
// In: measurements of the suites. Out: reports, which are printed, stored, compared and drawn.

export interface Figure {
  readonly suite: string;
  /** Says with which sizes it was taken; unique in its suite. */
  readonly name: string;
  readonly unit: string;
  readonly values: readonly number[];
  /** What a change of it means. Nothing: it describes the work, not its cost. */
  readonly better?: 'less' | 'more' | undefined;
  /** Its place in a sweep or in a chart. */
  readonly at?: Place | undefined;
}

export interface Place {
  /** The chart or sweep. */
  readonly chart: string;
  /** One line or kind of bar in it. */
  readonly series: string;
  /** Position: a size, a moment, or the name of a group of bars. */
  readonly x: number | string;
}

export interface Report {
  readonly version: 1;
  readonly node: string;
  readonly machine: { readonly platform: string; readonly cpus: number; readonly model: string };
  /** As given on the command line. */
  readonly settings: Readonly<Record<string, string | number | boolean>>;
  readonly figures: readonly Figure[];
  /** What a reader must know of single figures: sizes left out, counters that grow. */
  readonly notes: readonly string[];
}

type FigureOptions = Pick<Figure, 'better' | 'at'>;

/** Takes the figures of one suite. */
export class Notebook {
  readonly figures: Figure[] = [];
  readonly notes: string[] = [];
  readonly suite: string;

  constructor(suite: string) {
    this.suite = suite;
  }

  /** Values that could not be read (no /proc) are left out; without any there is no figure. */
  note(name: string, unit: string, values: readonly (number | undefined)[], options: FigureOptions = {}): void {
    const known = values.filter((value) => value !== undefined);
    if (known.length > 0) this.figures.push({ suite: this.suite, name, unit, values: known, ...options });
  }

  /** A cost: the less of it the better. */
  cost(name: string, unit: string, values: readonly (number | undefined)[], at?: Place): void {
    this.note(name, unit, values, { better: 'less', at });
  }

  remark(text: string): void {
    this.notes.push(`${this.suite}: ${text}`);
  }
}
