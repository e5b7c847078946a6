import { type Locate, TemplateError } from './template-error.ts';

/** The kinds of tokens. `word` is a function's name or a keyword; `space` separates arguments. */
export type TokenKind =
  | 'text'
  | 'open'
  | 'close'
  | 'word'
  | 'field'
  | 'variable'
  | 'dot'
  | 'number'
  | 'string'
  | 'character'
  | 'pipe'
  | 'declare'
  | 'assign'
  | 'comma'
  | 'leftParen'
  | 'rightParen'
  | 'space'
  | 'end';

/** One token, with where it stands. */
export interface Token {
  readonly kind: TokenKind;
  /** For `text`, `string` and `character` what it means; for all others what is written. */
  readonly text: string;
  readonly start: number;
  readonly end: number;
}

/** What stands around actions. @default '{{' and '}}' */
export interface Delimiters {
  readonly left: string;
  readonly right: string;
}

const SPACES = ' \t\r\n';
const WORD_START = /[\p{L}_]/u;
const WORD_PART = /[\p{L}\p{Nd}_]/u;

const PUNCTUATION: readonly (readonly [string, TokenKind])[] = [
  [':=', 'declare'],
  ['=', 'assign'],
  ['|', 'pipe'],
  [',', 'comma'],
  ['(', 'leftParen'],
  [')', 'rightParen'],
];

/**
 * Splits the source of a template into text and the tokens of its actions.
 *
 * @throws TemplateError for text that is no token, and for what is not closed.
 * @see Go, src/text/template/parse/lex.go
 */
export function tokenize(source: string, delimiters: Delimiters, locate: Locate): readonly Token[] {
  return new Lexer(source, delimiters, locate).run();
}

class Lexer {
  readonly #source: string;
  readonly #delimiters: Delimiters;
  readonly #locate: Locate;
  readonly #tokens: Token[] = [];
  #offset = 0;
  #parenDepth = 0;

  constructor(source: string, delimiters: Delimiters, locate: Locate) {
    this.#source = source;
    this.#delimiters = delimiters;
    this.#locate = locate;
  }

  run(): readonly Token[] {
    while (this.#readText()) this.#readAction();
    this.#push('end', '', this.#source.length);
    return this.#tokens;
  }

  /** @returns Whether an action follows. */
  #readText(): boolean {
    const { left } = this.#delimiters;
    const start = this.#offset;
    const open = this.#source.indexOf(left, start);
    const end = open < 0 ? this.#source.length : open;
    const isTrimmed = open >= 0 && this.#isTrimMarker(open + left.length);
    const text = this.#source.slice(start, end);
    const kept = isTrimmed ? trimEnd(text) : text;
    if (kept !== '') this.#tokens.push({ kind: 'text', text: kept, start, end });
    this.#offset = end;
    return open >= 0;
  }

  #readAction(): void {
    const { left } = this.#delimiters;
    const start = this.#offset;
    this.#offset += left.length;
    if (this.#isTrimMarker(this.#offset)) this.#offset += 2;
    if (this.#readComment(start)) return;
    this.#push('open', left, start);
    this.#parenDepth = 0;
    while (!this.#readClose()) this.#readToken(start);
  }

  /** `{{- ` trims the text before it: the hyphen must be followed by a space. */
  #isTrimMarker(offset: number): boolean {
    return this.#source[offset] === '-' && SPACES.includes(this.#source[offset + 1] ?? 'x');
  }

  #readComment(start: number): boolean {
    if (!this.#source.startsWith('/*', this.#offset)) return false;
    const end = this.#source.indexOf('*/', this.#offset + 2);
    if (end < 0) throw this.#error('the comment is not closed', start);
    this.#offset = end + 2;
    if (!this.#skipRight()) throw this.#error('a comment ends before the closing delimiter', start);
    return true;
  }

  #readClose(): boolean {
    const start = this.#offset;
    if (!this.#skipRight()) return false;
    if (this.#parenDepth > 0) throw this.#error('a parenthesis is not closed', start);
    this.#push('close', this.#delimiters.right, start);
    return true;
  }

  /** Skips the closing delimiter, with the text that it trims. */
  #skipRight(): boolean {
    const { right } = this.#delimiters;
    const isTrimming =
      SPACES.includes(this.#source[this.#offset] ?? 'x') && this.#source.startsWith(`-${right}`, this.#offset + 1);
    if (!isTrimming && !this.#source.startsWith(right, this.#offset)) return false;
    this.#offset += right.length + (isTrimming ? 2 : 0);
    while (isTrimming && SPACES.includes(this.#source[this.#offset] ?? 'x')) this.#offset++;
    return true;
  }

  #readToken(actionStart: number): void {
    const start = this.#offset;
    const char = this.#source[start];
    if (char === undefined) throw this.#error('the action is not closed', actionStart);
    if (SPACES.includes(char)) return this.#readSpace();
    const punctuation = PUNCTUATION.find(([text]) => this.#source.startsWith(text, start));
    if (punctuation !== undefined) return this.#readPunctuation(punctuation);
    if (char === '"') return this.#readQuoted('string', '"');
    if (char === "'") return this.#readQuoted('character', "'");
    if (char === '`') return this.#readRaw();
    if (char === '$') return this.#push('variable', `$${this.#takeWord(start + 1)}`, start);
    const next = this.#source[start + 1] ?? '';
    if (char === '.' && !/\d/.test(next)) return this.#readField();
    if (/[\d.]/.test(char) || (/[+-]/.test(char) && /[\d.]/.test(next))) return this.#readNumber();
    if (WORD_START.test(char)) return this.#push('word', this.#takeWord(start), start);
    throw this.#error(`the character "${char}" has no meaning here`, start);
  }

  #readPunctuation([text, kind]: readonly [string, TokenKind]): void {
    const start = this.#offset;
    this.#offset += text.length;
    if (kind === 'leftParen') this.#parenDepth++;
    if (kind === 'rightParen' && --this.#parenDepth < 0) {
      throw this.#error('a parenthesis is closed that was not opened', start);
    }
    this.#push(kind, text, start);
  }

  #readSpace(): void {
    const start = this.#offset;
    const { right } = this.#delimiters;
    while (SPACES.includes(this.#source[this.#offset] ?? 'x')) {
      // The last space belongs to the delimiter that trims.
      if (this.#source.startsWith(`-${right}`, this.#offset + 1)) break;
      this.#offset++;
    }
    if (this.#offset > start) this.#push('space', ' ', start);
  }

  #readField(): void {
    const start = this.#offset;
    const name = this.#takeWord(start + 1);
    this.#push(name === '' ? 'dot' : 'field', name === '' ? '.' : name, start);
  }

  #takeWord(from: number): string {
    let end = from;
    while (WORD_PART.test(this.#source[end] ?? '')) end++;
    this.#offset = end;
    return this.#source.slice(from, end);
  }

  #readNumber(): void {
    const start = this.#offset;
    const match = /^[+-]?(?:0[xX][\da-fA-F_]+|0[bB][01_]+|0[oO][0-7_]+|[\d_]*\.?[\d_]*(?:[eE][+-]?[\d_]+)?)/.exec(
      this.#source.slice(start, start + 200),
    );
    this.#offset += match?.[0].length ?? 0;
    if (WORD_PART.test(this.#source[this.#offset] ?? '')) throw this.#error('this is not a number', start);
    this.#push('number', match?.[0] ?? '', start);
  }

  #readQuoted(kind: 'string' | 'character', quote: string): void {
    const start = this.#offset;
    let end = start + 1;
    while (this.#source[end] !== quote) {
      const char = this.#source[end];
      if (char === undefined || char === '\n') throw this.#error(`the ${kind} is not closed`, start);
      end += char === '\\' ? 2 : 1;
    }
    this.#offset = end + 1;
    const text = unquote(this.#source.slice(start + 1, end), quote);
    if (text === undefined) throw this.#error(`the ${kind} has an escape that does not exist`, start);
    if (kind === 'character' && Array.from(text).length !== 1)
      throw this.#error('a character constant is one character', start);
    this.#push(kind, text, start);
  }

  #readRaw(): void {
    const start = this.#offset;
    const end = this.#source.indexOf('`', start + 1);
    if (end < 0) throw this.#error('the raw string is not closed', start);
    this.#offset = end + 1;
    // As in Go, carriage returns are no part of a raw string.
    this.#push('string', this.#source.slice(start + 1, end).replaceAll('\r', ''), start);
  }

  #push(kind: TokenKind, text: string, start: number): void {
    this.#tokens.push({ kind, text, start, end: this.#offset });
  }

  #error(message: string, offset: number): TemplateError {
    return new TemplateError(message, this.#locate(offset), lineFrom(this.#source, offset));
  }
}

/** What stands on the line after an offset, for errors. */
export function lineFrom(source: string, offset: number): string {
  const end = source.indexOf('\n', offset);
  return source.slice(offset, end < 0 ? undefined : end);
}

function trimEnd(text: string): string {
  let end = text.length;
  while (end > 0 && SPACES.includes(text[end - 1] ?? 'x')) end--;
  return text.slice(0, end);
}

const SIMPLE_ESCAPES: Readonly<Record<string, string>> = {
  a: '\x07',
  b: '\b',
  f: '\f',
  n: '\n',
  r: '\r',
  t: '\t',
  v: '\v',
  '\\': '\\',
  '"': '"',
  "'": "'",
};

/** The meaning of a quoted text without its quotes; `undefined` for an escape that Go does not know. */
function unquote(text: string, quote: string): string | undefined {
  let isValid = true;
  const plain = text.replaceAll(
    /\\(?:x([\da-fA-F]{2})|u([\da-fA-F]{4})|U([\da-fA-F]{8})|([0-7]{3})|([\s\S]))/g,
    (escape, byte?: string, short?: string, long?: string, octal?: string, simple?: string) => {
      const code = byte ?? short ?? long;
      if (code !== undefined)
        return Number.parseInt(code, 16) <= 0x10ffff ? String.fromCodePoint(Number.parseInt(code, 16)) : fail();
      if (octal !== undefined) return String.fromCodePoint(Number.parseInt(octal, 8));
      const known = SIMPLE_ESCAPES[simple ?? ''];
      const isOtherQuote = (simple === '"' || simple === "'") && simple !== quote;
      return known === undefined || isOtherQuote ? fail() : known;
      function fail(): string {
        isValid = false;
        return escape;
      }
    },
  );
  return isValid ? plain : undefined;
}
