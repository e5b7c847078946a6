import { define, type TemplateFunction } from '../functions.ts';
import { quoteGo } from '../printf.ts';
import { ValueError } from '../template-error.ts';
import { formatValue, type TemplateValue } from '../values.ts';

type Functions = readonly (readonly [string, TemplateFunction])[];

/** A value as sprig's functions make text of it: `nil` is nothing to them. */
export function toText(value: TemplateValue): string {
  return value === null || value === undefined ? '' : formatValue(value);
}

function indent(spaces: bigint, text: string, maxLength: number): string {
  const width = Number(spaces);
  if (width < 0) throw new ValueError(`indent: negative count ${width}`);
  if (width * text.split('\n').length > maxLength)
    throw new ValueError(`the text is longer than ${maxLength} characters`);
  const padding = ' '.repeat(width);
  return padding + text.replaceAll('\n', `\n${padding}`);
}

function trimAll(cutset: string, text: string, ends: 'both' | 'left' | 'right' = 'both'): string {
  const characters = Array.from(text);
  let start = 0;
  let end = characters.length;
  while (ends !== 'right' && start < end && cutset.includes(characters[start] ?? '')) start++;
  while (ends !== 'left' && end > start && cutset.includes(characters[end - 1] ?? '')) end--;
  return characters.slice(start, end).join('');
}

/** Positive lengths keep the beginning, negative ones the end. */
function truncate(length: bigint, text: string): string {
  const count = Number(length);
  if (count < 0) return text.length + count > 0 ? text.slice(count) : text;
  return text.slice(0, count);
}

function repeat(count: bigint, text: string, maxLength: number): string {
  if (count < 0n) throw new ValueError('repeat: negative count');
  if (Number(count) * text.length > maxLength) throw new ValueError(`the text is longer than ${maxLength} characters`);
  return text.repeat(Number(count));
}

function quoteAll(values: readonly TemplateValue[], quote: (text: string) => string): string {
  return values
    .filter((value) => value !== null && value !== undefined)
    .map((value) => quote(formatValue(value)))
    .join(' ');
}

function substring(start: bigint, end: bigint, text: string): string {
  if (start < 0n) return text.slice(0, Number(end));
  return end < 0n || Number(end) > text.length ? text.slice(Number(start)) : text.slice(Number(start), Number(end));
}

const upperFirst = (text: string): string => text.replace(/^./u, (letter) => letter.toUpperCase());

function words(text: string): readonly string[] {
  return text
    .replaceAll(/([\p{Ll}\d])(\p{Lu})/gu, '$1 $2')
    .replaceAll(/(\p{Lu}+)(\p{Lu}\p{Ll})/gu, '$1 $2')
    .split(/[\s_.-]+/)
    .filter((word) => word !== '');
}

/** Text functions of sprig; names and orders of arguments are its. */
export const TEXT_FUNCTIONS: Functions = [
  ['quote', define('...any', (_context, ...values: TemplateValue[]) => quoteAll(values, quoteGo))],
  ['squote', define('...any', (_context, ...values: TemplateValue[]) => quoteAll(values, (text) => `'${text}'`))],
  ['toString', define('any', (_context, value: TemplateValue) => (value === null ? '<nil>' : formatValue(value)))],
  ['upper', define('string', (_context, text: string) => text.toUpperCase())],
  ['lower', define('string', (_context, text: string) => text.toLowerCase())],
  [
    'title',
    define('string', (_context, text: string) =>
      text.replaceAll(/(?<![\p{L}\p{N}_'])\p{L}/gu, (letter) => letter.toUpperCase()),
    ),
  ],
  [
    'untitle',
    define('string', (_context, text: string) =>
      text.replaceAll(/(?<![\p{L}\p{N}_'])\p{L}/gu, (letter) => letter.toLowerCase()),
    ),
  ],
  ['trim', define('string', (_context, text: string) => text.trim())],
  ['trimAll', define('string string', (_context, cutset: string, text: string) => trimAll(cutset, text))],
  [
    'trimSuffix',
    define('string string', (_context, suffix: string, text: string) =>
      suffix !== '' && text.endsWith(suffix) ? text.slice(0, -suffix.length) : text,
    ),
  ],
  [
    'trimPrefix',
    define('string string', (_context, prefix: string, text: string) =>
      text.startsWith(prefix) ? text.slice(prefix.length) : text,
    ),
  ],
  ['trunc', define('int string', (_context, length: bigint, text: string) => truncate(length, text))],
  [
    'substr',
    define('int int string', (_context, start: bigint, end: bigint, text: string) => substring(start, end, text)),
  ],
  ['indent', define('int string', ({ maxLength }, spaces: bigint, text: string) => indent(spaces, text, maxLength))],
  [
    'nindent',
    define('int string', ({ maxLength }, spaces: bigint, text: string) => `\n${indent(spaces, text, maxLength)}`),
  ],
  ['repeat', define('int string', ({ maxLength }, count: bigint, text: string) => repeat(count, text, maxLength))],
  [
    'replace',
    define('string string string', (_context, old: string, fresh: string, text: string) =>
      text.replaceAll(old, () => fresh),
    ),
  ],
  ['contains', define('string string', (_context, part: string, text: string) => text.includes(part))],
  ['hasPrefix', define('string string', (_context, prefix: string, text: string) => text.startsWith(prefix))],
  ['hasSuffix', define('string string', (_context, suffix: string, text: string) => text.endsWith(suffix))],
  ['nospace', define('string', (_context, text: string) => text.replaceAll(/\s/g, ''))],
  [
    'cat',
    define('...any', (_context, ...values: TemplateValue[]) =>
      values
        .filter((value) => value !== null)
        .map(toText)
        .join(' '),
    ),
  ],
  [
    'camelcase',
    define('string', (_context, text: string) =>
      words(text)
        .map((word) => upperFirst(word.toLowerCase()))
        .join(''),
    ),
  ],
  ['snakecase', define('string', (_context, text: string) => words(text).join('_').toLowerCase())],
  ['kebabcase', define('string', (_context, text: string) => words(text).join('-').toLowerCase())],
  ['b64enc', define('string', (_context, text: string) => encodeBase64(text))],
  ['b64dec', define('string', (_context, text: string) => decodeBase64(text))],
  [
    'ternary',
    define('any any bool', (_context, yes: TemplateValue, no: TemplateValue, value: boolean) => (value ? yes : no)),
  ],
];

function encodeBase64(text: string): string {
  return btoa(String.fromCharCode(...new TextEncoder().encode(text)));
}

/** As in sprig, what is wrong becomes the result. */
function decodeBase64(text: string): string {
  try {
    return new TextDecoder().decode(Uint8Array.from(atob(text), (char) => char.charCodeAt(0)));
  } catch {
    return 'illegal base64 data';
  }
}
