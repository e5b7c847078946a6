import { ValueError } from './template-error.ts';
import { formatFloat, formatValue, isMap, sortedEntries, type TemplateValue, typeName } from './values.ts';

/** What stands between `%` and the verb. */
interface Directive {
  readonly flags: string;
  readonly width: number | undefined;
  readonly precision: number | undefined;
}

const DIRECTIVE = /%([+\-# 0]*)(\*|\d+)?(?:\.(\*|\d+)?)?([\s\S]?)/gu;

/**
 * Formats as Go's `fmt.Sprintf`. Mistakes show in the text, as they do there: `%!d(string=x)`.
 *
 * @param maxLength The longest result, and the widest column.
 * @throws ValueError when the result would be longer.
 */
export function formatPrintf(format: string, values: readonly TemplateValue[], maxLength: number): string {
  let next = 0;
  const takeNumber = (text: string | undefined): number | undefined => {
    if (text === undefined) return undefined;
    const number = text === '*' ? Number(values[next++] ?? 0) : Number(text);
    if (number > maxLength) throw new ValueError(`a column of ${number} characters is too wide`);
    return number;
  };
  const text = format.replaceAll(DIRECTIVE, (directive, flags: string, width, precision, verb: string) => {
    if (verb === '%') return '%';
    if (verb === '') return '%!(NOVERB)';
    const parsed = {
      flags,
      width: takeNumber(width),
      precision: directive.includes('.') ? (takeNumber(precision) ?? 0) : undefined,
    };
    if (next >= values.length) return `%!${verb}(MISSING)`;
    const value = values[next++];
    // Lists that are too large to be written are refused before a verb goes into them.
    if (typeof value === 'object') formatValue(value);
    return formatVerb(verb, value, parsed);
  });
  if (next >= values.length) return text;
  const extra = values
    .slice(next)
    .map((value) => (value === null ? '<nil>' : `${typeName(value)}=${formatValue(value)}`));
  return `${text}%!(EXTRA ${extra.join(', ')})`;
}

/** Go's `fmt.Sprint`: a space between two values neither of which is a string. */
export function joinPrinted(values: readonly TemplateValue[]): string {
  return values
    .map((value, index) => {
      const isSpaced = index > 0 && typeof value !== 'string' && typeof values[index - 1] !== 'string';
      return `${isSpaced ? ' ' : ''}${formatValue(value)}`;
    })
    .join('');
}

/** A value by a verb. Verbs reach into lists and maps, where nothing is written the same way whatever the verb. */
function formatVerb(verb: string, value: TemplateValue, directive: Directive): string {
  if (verb === 'T') return pad(value === null ? '<nil>' : typeName(value), directive);
  if (verb === 'v' && directive.flags.includes('#')) return pad(goSyntax(value), directive);
  const inner = (item: TemplateValue): string => (item === null ? '<nil>' : formatVerb(verb, item, directive));
  if (Array.isArray(value)) return `[${value.map(inner).join(' ')}]`;
  if (isMap(value)) {
    const entries = sortedEntries(value).map(([key, item]) => `${inner(key)}:${inner(item)}`);
    return `map[${entries.join(' ')}]`;
  }
  const text = formatOne(verb, value, directive);
  return text === undefined ? bad(verb, value, directive) : pad(text, directive);
}

/** A value that is no list and no map; `undefined` when the verb is not for its type. */
function formatOne(verb: string, value: TemplateValue, directive: Directive): string | undefined {
  switch (verb) {
    case 'v':
      return formatPlain(value, directive);
    case 's':
      return formatString(value, directive);
    case 'q':
      return formatQuoted(value, directive);
    case 'd':
      return formatInteger(value, 10, directive);
    case 'x':
    case 'X':
      return formatHex(value, verb, directive);
    case 'o':
      return formatInteger(value, 8, directive);
    case 'b':
      return formatInteger(value, 2, directive);
    case 'c':
      return typeof value === 'bigint' ? toCharacter(value) : undefined;
    case 'U':
      return typeof value === 'bigint' ? `U+${value.toString(16).toUpperCase().padStart(4, '0')}` : undefined;
    case 't':
      return typeof value === 'boolean' ? String(value) : undefined;
    case 'f':
    case 'F':
    case 'e':
    case 'E':
    case 'g':
    case 'G':
      return formatFloatVerb(value, verb, directive);
    default:
      return undefined;
  }
}

/** How Go says that a verb is not for a value. */
function bad(verb: string, value: TemplateValue, directive: Directive): string {
  return value === null || value === undefined
    ? `%!${verb}(<nil>)`
    : `%!${verb}(${typeName(value)}=${formatVerb('v', value, directive)})`;
}

function formatPlain(value: TemplateValue, directive: Directive): string {
  if (typeof value === 'number' && directive.precision !== undefined)
    return formatFloatVerb(value, 'g', directive) ?? '';
  if (typeof value === 'bigint') return formatInteger(value, 10, directive) ?? '';
  if (typeof value === 'string') return formatString(value, directive) ?? '';
  return formatValue(value);
}

function formatString(value: TemplateValue, { precision }: Directive): string | undefined {
  if (typeof value !== 'string') return undefined;
  return precision === undefined ? value : Array.from(value).slice(0, precision).join('');
}

function formatQuoted(value: TemplateValue, directive: Directive): string | undefined {
  if (typeof value === 'bigint') return quoteCharacter(toCharacter(value));
  const text = formatString(value, directive);
  if (text === undefined) return undefined;
  return directive.flags.includes('#') && !/[`\p{Cc}]/u.test(text.replaceAll('\t', '')) ? `\`${text}\`` : quoteGo(text);
}

/** What is no character becomes the one that stands for such. */
function toCharacter(code: bigint): string {
  const isSurrogate = code >= 0xd800n && code <= 0xdfffn;
  return code < 0n || code > 0x10ffffn || isSurrogate ? '\ufffd' : String.fromCodePoint(Number(code));
}

/** Between single quotes it is those that are escaped, and not the double ones. */
function quoteCharacter(character: string): string {
  if (character === "'") return String.raw`'\''`;
  return character === '"' ? `'"'` : `'${quoteGo(character).slice(1, -1)}'`;
}

const ESCAPES: Readonly<Record<string, string>> = {
  '"': '\\"',
  '\\': '\\\\',
  '\x07': '\\a',
  '\b': '\\b',
  '\f': '\\f',
  '\n': '\\n',
  '\r': '\\r',
  '\t': '\\t',
  '\v': '\\v',
};

/** A text as Go's `strconv.Quote` writes it. */
export function quoteGo(text: string): string {
  const escaped = text.replaceAll(/["\\]|[\p{Cc}\p{Cf}\p{Cs}\p{Co}\p{Cn}\p{Zl}\p{Zp}]|(?! )\p{Zs}/gu, (char) => {
    const code = char.codePointAt(0) ?? 0;
    const hex = code.toString(16);
    if (ESCAPES[char] !== undefined) return ESCAPES[char];
    if (code < 0x80) return `\\x${hex.padStart(2, '0')}`;
    return code > 0xffff ? `\\U${hex.padStart(8, '0')}` : `\\u${hex.padStart(4, '0')}`;
  });
  return `"${escaped}"`;
}

function formatInteger(value: TemplateValue, base: number, { flags, precision }: Directive): string | undefined {
  if (typeof value !== 'bigint') return undefined;
  const digits = (value < 0n ? -value : value).toString(base).padStart(precision ?? 0, '0');
  const prefix = flags.includes('#') ? (base === 16 ? '0x' : base === 8 ? '0' : base === 2 ? '0b' : '') : '';
  return `${signOf(value < 0n, flags)}${prefix}${digits}`;
}

function signOf(isNegative: boolean, flags: string): string {
  if (isNegative) return '-';
  return flags.includes('+') ? '+' : flags.includes(' ') ? ' ' : '';
}

function formatHex(value: TemplateValue, verb: string, directive: Directive): string | undefined {
  const text =
    typeof value === 'string'
      ? [...new TextEncoder().encode(value)].map((byte) => byte.toString(16).padStart(2, '0')).join('')
      : formatInteger(value, 16, directive);
  return verb === 'X' ? text?.toUpperCase() : text;
}

function formatFloatVerb(value: TemplateValue, verb: string, { flags, precision }: Directive): string | undefined {
  if (typeof value !== 'number') return undefined;
  if (!Number.isFinite(value)) return formatFloat(value);
  const sign = signOf(value < 0 || Object.is(value, -0), flags);
  const size = Math.abs(value);
  const isUpper = verb === 'E' || verb === 'G';
  const text = formatSize(size, verb.toLowerCase(), precision);
  return `${sign}${isUpper ? text.toUpperCase() : text}`;
}

function formatSize(size: number, verb: string, precision: number | undefined): string {
  if (verb === 'f') return toFixed(size, precision ?? 6);
  if (verb === 'e') return withGoExponent(size.toExponential(Math.min(precision ?? 6, MAX_PLACES)));
  const digits = precision === undefined ? undefined : Math.max(1, Math.min(precision, MAX_PLACES));
  const exact = digits === undefined ? size.toExponential() : size.toExponential(digits - 1);
  const exponent = Number(exact.split('e')[1]);
  if (exponent < -4 || exponent >= (digits ?? 6))
    return withGoExponent(exact.replace(/(\.\d*?)0+e/, '$1e').replace('.e', 'e'));
  return digits === undefined ? formatFloat(size) : formatFloat(Number(exact));
}

/** Places that `toFixed` and `toExponential` take at most. */
const MAX_PLACES = 100;

/** From 1e21 on JavaScript writes an exponent where Go does not. */
function toFixed(size: number, places: number): string {
  const plain = size.toFixed(Math.min(places, MAX_PLACES));
  return plain.includes('e') ? `${BigInt(size)}${places === 0 ? '' : `.${'0'.repeat(places)}`}` : plain;
}

function withGoExponent(text: string): string {
  return text.replace(/e([+-])(\d)$/, 'e$10$2');
}

/** Go's `%#v`, for the values that templates have. */
function goSyntax(value: TemplateValue): string {
  if (typeof value === 'string') return quoteGo(value);
  if (value === null) return '<nil>';
  if (Array.isArray(value)) return `[]interface {}{${value.map(goSyntax).join(', ')}}`;
  if (isMap(value)) {
    return `${typeName(value)}{${sortedEntries(value)
      .map(([key, item]) => `${quoteGo(key)}:${goSyntax(item)}`)
      .join(', ')}}`;
  }
  return formatValue(value);
}

function pad(text: string, { flags, width }: Directive): string {
  const missing = (width ?? 0) - Array.from(text).length;
  if (missing <= 0) return text;
  if (flags.includes('-')) return text + ' '.repeat(missing);
  const isNumber = /^[+\- ]?[\d.]/.test(text);
  if (!flags.includes('0')) return ' '.repeat(missing) + text;
  const sign = isNumber ? (/^[+\- ]/.exec(text)?.[0] ?? '') : '';
  return sign + '0'.repeat(missing) + text.slice(sign.length);
}
