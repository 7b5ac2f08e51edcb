/** What is wrong with a template, and where: `template sidecar, line 12: function "foo" is not defined`. */
export class TemplateError extends Error {
  readonly template: string;
  /** From 1. */
  readonly line: number;
  constructor(template: string, line: number, problem: string) {
    super(`template ${template}, line ${line}: ${problem}`);
    this.template = template;
    this.line = line;
  }
}
