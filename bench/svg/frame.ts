// What every chart has: a page that is legible on light and on dark, a title, axes with units, a legend.
// A picture in a page can't see the page's theme, only the reader's: so it brings its own ground for both.

import { type Scale, tickText } from './scale.ts';

export const WIDTH = 720;
export const PLOT = { left: 72, right: 700, top: 64, bottom: 330 } as const;
export const COLOURS = 6;

const STYLE = `
.page{fill:#fff}.ink{fill:#1f2328}.dim{fill:#59636e}.rule{stroke:#d1d9e0;stroke-width:1}.axis{stroke:#59636e;stroke-width:1}
text{font:12px system-ui,sans-serif}.title{font-size:15px;font-weight:600}.line{fill:none;stroke-width:2}
.f0{fill:#0969da}.f1{fill:#bc4c00}.f2{fill:#1a7f37}.f3{fill:#8250df}.f4{fill:#bf3989}.f5{fill:#7d6608}
.s0{stroke:#0969da}.s1{stroke:#bc4c00}.s2{stroke:#1a7f37}.s3{stroke:#8250df}.s4{stroke:#bf3989}.s5{stroke:#7d6608}
@media(prefers-color-scheme:dark){
.page{fill:#0d1117}.ink{fill:#f0f6fc}.dim{fill:#9198a1}.rule{stroke:#3d444d}.axis{stroke:#9198a1}
.f0{fill:#58a6ff}.f1{fill:#f0883e}.f2{fill:#3fb950}.f3{fill:#bc8cff}.f4{fill:#f778ba}.f5{fill:#d8b838}
.s0{stroke:#58a6ff}.s1{stroke:#f0883e}.s2{stroke:#3fb950}.s3{stroke:#bc8cff}.s4{stroke:#f778ba}.s5{stroke:#d8b838}
}`.replaceAll('\n', '');

export interface Frame {
  readonly title: string;
  /** With its unit. */
  readonly xLabel: string;
  readonly yLabel: string;
  readonly legend: readonly string[];
}

/** The whole document around what is drawn in the plot. */
export function page({ title, xLabel, yLabel, legend }: Frame, y: Scale, drawn: readonly string[]): string {
  const height = PLOT.bottom + 72;
  const middle = (PLOT.left + PLOT.right) / 2;
  const centre = (PLOT.top + PLOT.bottom) / 2;
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${WIDTH} ${height}" role="img" aria-label="${escape(title)}">`,
    `<style>${STYLE}</style>`,
    `<rect class="page" width="${WIDTH}" height="${height}" rx="6"/>`,
    text(PLOT.left, 24, title, 'ink title'),
    ...legendParts(legend),
    ...y.ticks.flatMap((tick) => [
      segment(PLOT.left, yAt(y, tick), PLOT.right, yAt(y, tick), 'rule'),
      text(PLOT.left - 8, yAt(y, tick) + 4, tickText(tick), 'dim', 'end'),
    ]),
    ...drawn,
    segment(PLOT.left, PLOT.bottom, PLOT.right, PLOT.bottom, 'axis'),
    text(middle, height - 16, xLabel, 'dim', 'middle'),
    `<g transform="translate(18 ${centre}) rotate(-90)">${text(0, 0, yLabel, 'dim', 'middle')}</g>`,
    '</svg>\n',
  ].join('\n');
}

function legendParts(names: readonly string[]): readonly string[] {
  let x: number = PLOT.left;
  return names.flatMap((name, index) => {
    const from = x;
    x += 28 + name.length * 6.8;
    return [
      `<rect class="f${index % COLOURS}" x="${fixed(from)}" y="38" width="12" height="12" rx="2"/>`,
      text(from + 17, 48, name, 'ink'),
    ];
  });
}

export function yAt(scale: Scale, value: number): number {
  return PLOT.bottom - scale.at(value) * (PLOT.bottom - PLOT.top);
}

export function text(x: number, y: number, content: string, style: string, anchor = 'start'): string {
  return `<text class="${style}" x="${fixed(x)}" y="${fixed(y)}" text-anchor="${anchor}">${escape(content)}</text>`;
}

export function segment(x1: number, y1: number, x2: number, y2: number, style: string): string {
  return `<line class="${style}" x1="${fixed(x1)}" y1="${fixed(y1)}" x2="${fixed(x2)}" y2="${fixed(y2)}"/>`;
}

/** A tenth of a pixel is enough, and keeps files small. */
export function fixed(value: number): string {
  return String(Math.round(value * 10) / 10);
}

function escape(content: string): string {
  return content.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;').replaceAll('"', '&quot;');
}
