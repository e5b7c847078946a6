const BLOCK = /-----BEGIN ([A-Z0-9 ]+)-----[\s\S]*?-----END \1-----/g;

/** One PEM block of DER bytes, with a line end after its last line. */
export function encodePem(label: string, der: Uint8Array): string {
  const lines =
    Buffer.from(der)
      .toString('base64')
      .match(/.{1,64}/g) ?? [];
  return `-----BEGIN ${label}-----\n${lines.join('\n')}\n-----END ${label}-----\n`;
}

/** The DER bytes of the first block with this label, or `undefined`. */
export function decodePem(label: string, text: string): Uint8Array | undefined {
  for (const match of text.matchAll(BLOCK)) {
    if (match[1] === label) return decodeBlock(match[0]);
  }
  return undefined;
}

/** The certificates of a bundle in order, each its own PEM text with one trailing newline; anything else is left out. */
export function splitCertificates(bundle: string): readonly string[] {
  return splitPem('CERTIFICATE', bundle);
}

/** The blocks with this label in order, each its own PEM text with one trailing newline; anything else is left out. */
export function splitPem(label: string, bundle: string): readonly string[] {
  const blocks: string[] = [];
  for (const match of bundle.matchAll(BLOCK)) {
    if (match[1] === label) blocks.push(`${match[0].replaceAll('\r', '')}\n`);
  }
  return blocks;
}

function decodeBlock(block: string): Uint8Array {
  return Buffer.from(block.split('\n').slice(1, -1).join(''), 'base64');
}
