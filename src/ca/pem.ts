const BLOCK = /-----BEGIN ([A-Z0-9 ]+)-----\r?\n([A-Za-z0-9+/=\r\n\t ]*?)-----END \1-----/g;

export interface PemBlock {
  readonly label: string;
  readonly der: Buffer;
}

/** All PEM blocks of a text, in order; text around them is a comment (RFC 7468 section 2). */
export function readPem(text: string): PemBlock[] {
  const blocks: PemBlock[] = [];
  for (const match of text.matchAll(BLOCK)) {
    const body = (match[2] ?? '').replaceAll(/\s/g, '');
    blocks.push({ label: match[1] ?? '', der: Buffer.from(body, 'base64') });
  }
  return blocks;
}

/** One PEM block, 64 columns, ending in a newline. */
export function writePem(label: string, der: Uint8Array): string {
  const lines =
    Buffer.from(der)
      .toString('base64')
      .match(/.{1,64}/g) ?? [];
  return `-----BEGIN ${label}-----\n${lines.join('\n')}\n-----END ${label}-----\n`;
}

/** The certificates of a text, each as a PEM of its own. */
export function splitCertificates(text: string): string[] {
  const certificates = readPem(text).filter((block) => block.label === 'CERTIFICATE');
  return certificates.map((block) => writePem('CERTIFICATE', block.der));
}

/** The certificates of several texts as one bundle: every certificate once, in order of first appearance. */
export function bundleOf(...texts: readonly string[]): string {
  return [...new Set(texts.flatMap(splitCertificates))].join('');
}
