import { type Delimiters, lineFrom, type Token, type TokenKind, tokenize } from './lexer.ts';
import type { Command, Operand, Pipeline, TemplateNode } from './nodes.ts';
import { createLocator, type Locate, TemplateError } from './template-error.ts';

/** What {@link parseSource} needs to know. */
export interface ParseOptions {
  readonly template: string;
  readonly source: string;
  readonly delimiters: Delimiters;
  /** Functions that may be called. */
  readonly isFunction: (name: string) => boolean;
  /** How deep actions, parentheses and blocks may be nested. */
  readonly maxDepth: number;
  /** Takes each template: those defined inside, and last the source itself. */
  readonly onTemplate: (name: string, nodes: readonly TemplateNode[]) => void;
}

/** How a list of nodes ended. */
type Ending = 'end' | 'else' | 'source';

/**
 * Parses the source of a template.
 *
 * @throws TemplateError for the first thing that is wrong.
 * @see Go, src/text/template/parse/parse.go
 */
export function parseSource(options: ParseOptions): void {
  new Parser(options).run();
}

class Parser {
  readonly #options: ParseOptions;
  readonly #tokens: readonly Token[];
  readonly #find: Locate;
  #index = 0;
  #depth = 0;
  #rangeDepth = 0;
  readonly #defined = new Set<string>();
  /** Variables that are known here; `$` always is. */
  #variables: string[] = ['$'];

  constructor(options: ParseOptions) {
    this.#options = options;
    this.#find = createLocator(options.template, options.source);
    this.#tokens = tokenize(options.source, options.delimiters, this.#find);
  }

  run(): void {
    const { nodes, ending, token } = this.#parseList(true);
    if (ending !== 'source') throw this.#error(`"${ending}" without anything that it belongs to`, token);
    this.#options.onTemplate(this.#options.template, nodes);
  }

  #parseList(isTopLevel = false): { nodes: readonly TemplateNode[]; ending: Ending; token: Token } {
    const nodes: TemplateNode[] = [];
    for (;;) {
      const token = this.#next();
      if (token.kind === 'end') return { nodes, ending: 'source', token };
      if (token.kind === 'text') {
        nodes.push({ kind: 'text', text: token.text });
        continue;
      }
      const word = this.#peekWord();
      if (word === 'end' || word === 'else') {
        this.#skipSpaces();
        const ending = this.#next();
        if (word === 'end') this.#expectClose(ending);
        return { nodes, ending: word, token: ending };
      }
      const node = this.#nested(token, () => this.#parseAction(word, token, isTopLevel));
      if (node !== undefined) nodes.push(node);
    }
  }

  #parseAction(word: string | undefined, open: Token, isTopLevel: boolean): TemplateNode | undefined {
    switch (word) {
      case 'if':
      case 'with':
      case 'range':
        this.#takeWord();
        return this.#parseControl(word);
      case 'template':
        this.#takeWord();
        return this.#parseTemplateCall(open);
      case 'block':
        this.#takeWord();
        return this.#parseBlock(open);
      case 'define':
        if (!isTopLevel) throw this.#error('a template can be defined outside of other actions only', open);
        this.#takeWord();
        return this.#parseDefine(open);
      case 'break':
      case 'continue':
        if (this.#options.isFunction(word)) break;
        if (this.#rangeDepth === 0) throw this.#error(`${word} outside of a range`, open);
        this.#expectClose(this.#takeWord());
        return { kind: word };
      default:
    }
    return { kind: 'action', pipeline: this.#parsePipeline('close', 'an action', false) };
  }

  #parseControl(kind: 'if' | 'with' | 'range'): TemplateNode {
    const known = this.#variables.length;
    const pipeline = this.#parsePipeline('close', kind, kind === 'range');
    if (kind === 'range') this.#rangeDepth++;
    const { nodes: body, ending, token } = this.#parseList();
    if (kind === 'range') this.#rangeDepth--;
    if (ending === 'source') throw this.#error(`"${kind}" has no "end"`, token, pipeline.written);
    const otherwise = ending === 'else' ? this.#parseElse(kind, token) : undefined;
    this.#variables.length = known;
    return { kind, pipeline, body, otherwise };
  }

  /** `else`, or `else if` and `else with`, which end with what they belong to. */
  #parseElse(kind: 'if' | 'with' | 'range', elseToken: Token): readonly TemplateNode[] {
    const word = this.#peekWord();
    if (word === kind && (kind === 'if' || kind === 'with')) {
      this.#takeWord();
      return [this.#nested(elseToken, () => this.#parseControl(kind))];
    }
    this.#expectClose(elseToken);
    const { nodes, ending, token } = this.#parseList();
    if (ending === 'source') throw this.#error(`"${kind}" has no "end"`, token);
    if (ending === 'else') throw this.#error('a second "else"', token);
    return nodes;
  }

  #parseTemplateCall(open: Token): TemplateNode {
    const name = this.#expectName('template');
    this.#skipSpaces();
    const argument = this.#accept('close') ? undefined : this.#parsePipeline('close', 'template', false);
    return { kind: 'template', name, argument, ...this.#locate(open) };
  }

  #parseDefine(open: Token): undefined {
    const name = this.#expectName('define');
    this.#expectClose(open);
    this.#defineTemplate(name, this.#parseOwnScope('define', open), open);
  }

  #parseBlock(open: Token): TemplateNode {
    const name = this.#expectName('block');
    const argument = this.#parsePipeline('close', 'block', false);
    this.#defineTemplate(name, this.#parseOwnScope('block', open), open);
    return { kind: 'template', name, argument, ...this.#locate(open) };
  }

  #defineTemplate(name: string, nodes: readonly TemplateNode[], open: Token): void {
    const isEmpty = nodes.every((node) => node.kind === 'text' && node.text.trim() === '');
    if (!isEmpty && this.#defined.has(name)) throw this.#error(`the template "${name}" is defined twice`, open);
    if (!isEmpty) this.#defined.add(name);
    this.#options.onTemplate(name, nodes);
  }

  /** The body of a template of its own, which sees no variables from around it. */
  #parseOwnScope(kind: string, open: Token): readonly TemplateNode[] {
    const variables = this.#variables;
    const rangeDepth = this.#rangeDepth;
    this.#variables = ['$'];
    this.#rangeDepth = 0;
    const { nodes, ending, token } = this.#parseList();
    if (ending === 'else') throw this.#error(`"else" in "${kind}"`, token);
    if (ending === 'source') throw this.#error(`"${kind}" has no "end"`, open);
    this.#variables = variables;
    this.#rangeDepth = rangeDepth;
    return nodes;
  }

  #parsePipeline(until: 'close' | 'rightParen', context: string, isRange: boolean): Pipeline {
    this.#skipSpaces();
    const start = this.#peek();
    const { variables, isAssignment } = this.#parseVariables(isRange);
    const commands: Command[] = [];
    do {
      this.#skipSpaces();
      const command = this.#parseCommand(context);
      this.#checkStage(command, commands.length);
      commands.push(command);
      this.#skipSpaces();
      // As in Go, nothing need follow the last "|".
    } while (this.#accept('pipe') && !this.#isAtEnd());
    const end = this.#next();
    if (end.kind !== until) throw this.#error(`"${end.text}" does not belong in ${context}`, end);
    if (!isAssignment) this.#variables.push(...variables);
    return { variables, isAssignment, commands, ...this.#locate(start, end.start) };
  }

  #isAtEnd(): boolean {
    this.#skipSpaces();
    const { kind } = this.#peek();
    return kind === 'close' || kind === 'rightParen';
  }

  #checkStage({ operands }: Command, stage: number): void {
    const [first] = operands;
    const isValue = first === undefined || first.kind === 'literal' || first.kind === 'dot' || first.kind === 'nil';
    if (stage > 0 && isValue) {
      throw new TemplateError(
        'what stands after "|" must be a function',
        first?.position ?? this.#locate(this.#peek()).position,
        first?.written ?? '',
      );
    }
  }

  /** `$x :=`, `$x =`, and in a range `$index, $element :=`. */
  #parseVariables(isRange: boolean): Pick<Pipeline, 'variables' | 'isAssignment'> {
    const begin = this.#index;
    const variables: string[] = [];
    while (this.#peek().kind === 'variable') {
      variables.push(this.#next().text);
      this.#skipSpaces();
      const separator = this.#next();
      if (separator.kind === 'declare') return { variables, isAssignment: false };
      if (separator.kind === 'assign') {
        for (const name of variables) this.#checkVariable(name, separator);
        return { variables, isAssignment: true };
      }
      if (separator.kind !== 'comma') break;
      if (!isRange || variables.length > 1) throw this.#error('too many variables', separator);
      this.#skipSpaces();
    }
    this.#index = begin;
    return { variables: [], isAssignment: false };
  }

  #parseCommand(context: string): Command {
    const start = this.#peek();
    const operands: Operand[] = [];
    for (;;) {
      this.#skipSpaces();
      const { kind } = this.#peek();
      if (kind === 'pipe' || kind === 'close' || kind === 'rightParen' || kind === 'end') break;
      operands.push(this.#parseOperand());
      const next = this.#peek();
      if (next.kind !== 'space' && next.kind !== 'pipe' && next.kind !== 'close' && next.kind !== 'rightParen') {
        throw this.#error(`"${next.text}" follows without a space`, next);
      }
    }
    if (operands.length === 0) throw this.#error(`a value is missing in ${context}`, start);
    return { operands, ...this.#locate(start, this.#tokens[this.#index - 1]?.end ?? start.end) };
  }

  #parseOperand(): Operand {
    const token = this.#next();
    const operand = this.#nested(token, () => this.#parseTerm(token));
    const path = this.#parsePath();
    if (path.length === 0) return operand;
    const located = this.#locate(token, this.#tokens[this.#index - 1]?.end);
    if (operand.kind === 'field' || operand.kind === 'variable')
      return { ...operand, ...located, path: [...operand.path, ...path] };
    if (operand.kind === 'pipeline' || operand.kind === 'function')
      return { kind: 'chain', base: operand, path, ...located };
    throw this.#error('only a value has fields', token);
  }

  #parsePath(): readonly string[] {
    const path: string[] = [];
    while (this.#peek().kind === 'field') path.push(this.#next().text);
    return path;
  }

  #parseTerm(token: Token): Operand {
    const located = this.#locate(token, token.end);
    switch (token.kind) {
      case 'word':
        return this.#parseWord(token);
      case 'dot':
        return { kind: 'dot', ...located };
      case 'field':
        return { kind: 'field', path: [token.text], ...located };
      case 'variable':
        this.#checkVariable(token.text, token);
        return { kind: 'variable', name: token.text, path: [], ...located };
      case 'string':
        return { kind: 'literal', value: token.text, ...located };
      case 'character':
        return { kind: 'literal', value: BigInt(token.text.codePointAt(0) ?? 0), ...located };
      case 'number':
        return { kind: 'literal', value: this.#parseNumber(token), ...located };
      case 'leftParen': {
        const pipeline = this.#parsePipeline('rightParen', 'parentheses', false);
        return { kind: 'pipeline', pipeline, ...this.#locate(token, this.#tokens[this.#index - 1]?.end) };
      }
      default:
        throw this.#error(`"${token.text}" is no value`, token);
    }
  }

  #parseWord(token: Token): Operand {
    const located = this.#locate(token, token.end);
    if (token.text === 'nil') return { kind: 'nil', ...located };
    if (token.text === 'true' || token.text === 'false')
      return { kind: 'literal', value: token.text === 'true', ...located };
    if (!this.#options.isFunction(token.text)) throw this.#error(`there is no function "${token.text}"`, token);
    return { kind: 'function', name: token.text, ...located };
  }

  #parseNumber(token: Token): bigint | number {
    const text = token.text.replaceAll('_', '');
    const [, sign = '', digits = ''] = /^([+-]?)(.*)$/.exec(text) ?? [];
    if (/^(?:0[xX][\da-fA-F]+|0[bB][01]+|0[oO][0-7]+|[1-9]\d*|0)$/.test(digits)) {
      return sign === '-' ? -BigInt(digits) : BigInt(digits);
    }
    if (/^0[0-7]+$/.test(digits)) return sign === '-' ? -BigInt(`0o${digits}`) : BigInt(`0o${digits}`);
    const value = Number(text);
    if (digits === '' || Number.isNaN(value)) throw this.#error(`"${token.text}" is not a number`, token);
    return value;
  }

  #checkVariable(name: string, token: Token): void {
    if (!this.#variables.includes(name)) throw this.#error(`there is no variable ${name}`, token);
  }

  #nested<Parsed>(token: Token, parse: () => Parsed): Parsed {
    if (++this.#depth > this.#options.maxDepth) {
      throw this.#error(`actions are nested more than ${this.#options.maxDepth} deep`, token);
    }
    const parsed = parse();
    this.#depth--;
    return parsed;
  }

  #expectName(context: string): string {
    this.#skipSpaces();
    const token = this.#next();
    if (token.kind !== 'string') throw this.#error(`"${context}" needs the name of a template, in quotes`, token);
    return token.text;
  }

  #expectClose(context: Token): void {
    this.#skipSpaces();
    const token = this.#next();
    if (token.kind !== 'close') throw this.#error(`"${token.text}" does not belong in "${context.text}"`, token);
  }

  #peekWord(): string | undefined {
    let index = this.#index;
    while (this.#tokens[index]?.kind === 'space') index++;
    const token = this.#tokens[index];
    return token?.kind === 'word' ? token.text : undefined;
  }

  #takeWord(): Token {
    this.#skipSpaces();
    return this.#next();
  }

  #skipSpaces(): void {
    while (this.#peek().kind === 'space') this.#index++;
  }

  #accept(kind: TokenKind): boolean {
    const isNext = this.#peek().kind === kind;
    if (isNext) this.#index++;
    return isNext;
  }

  #peek(): Token {
    // The last token is the end of the source, and is never passed.
    return this.#tokens[this.#index] as Token;
  }

  #next(): Token {
    const token = this.#peek();
    if (token.kind !== 'end') this.#index++;
    return token;
  }

  #locate(token: Token, end: number = token.end): Pick<Operand, 'position' | 'written'> {
    return { position: this.#find(token.start), written: this.#options.source.slice(token.start, end) };
  }

  #error(message: string, token: Token, written?: string): TemplateError {
    const text = written ?? lineFrom(this.#options.source, token.start);
    return new TemplateError(message, this.#find(token.start), text);
  }
}
