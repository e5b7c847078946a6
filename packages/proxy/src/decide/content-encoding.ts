/** Encodings that responses can be compressed with, by their names in HTTP. */
export type ContentEncoding = 'br' | 'gzip' | 'zstd';

interface Wish {
  readonly name: string;
  readonly quality: number;
}

/**
 * Chooses the encoding of a response: the one that the client likes best, of equals the one that it names first.
 *
 * @param acceptEncoding The header `accept-encoding`; absent, the client takes what is not encoded.
 * @param available Not empty; the first of them answers to `*`.
 * @returns `undefined` when the response goes as it is.
 * @see RFC 9110, section 12.5.3
 */
export function chooseContentEncoding(
  acceptEncoding: string | undefined,
  available: readonly ContentEncoding[],
): ContentEncoding | undefined {
  const wishes = (acceptEncoding ?? '').split(',').map(parseWish);
  const unnamed = available.filter((encoding) => wishes.every(({ name }) => name !== encoding));
  const identity = wishes.find(({ name }) => name === 'identity')?.quality ?? 0;
  let best: ContentEncoding | undefined;
  let bestQuality = 0;
  for (const { name, quality } of wishes) {
    const encoding = name === '*' ? unnamed[0] : available.find((each) => each === name);
    if (encoding === undefined || quality <= bestQuality || quality < identity) continue;
    best = encoding;
    bestQuality = quality;
  }
  return best;
}

function parseWish(text: string): Wish {
  const [name = '', ...parameters] = text.split(';').map((part) => part.trim().toLowerCase());
  const quality = parameters.find((parameter) => parameter.startsWith('q='))?.slice(2);
  return { name, quality: quality === undefined ? 1 : Number(quality) || 0 };
}
