import { type CallContext, checkArguments, type FunctionTable, type TemplateFunction } from './functions.ts';
import type { Command, Operand, Pipeline, TemplateNode, TemplateTree } from './nodes.ts';
import { TemplateError, ValueError } from './template-error.ts';
import {
  FIELD,
  isMap,
  isStruct,
  isTrue,
  lookUp,
  printValue,
  sizeInSteps,
  sortedEntries,
  type TemplateValue,
  typeName,
} from './values.ts';

/** What an evaluation may use at most. Templates come from operators: the bounds are against mistakes. */
export interface TemplateLimits {
  /** Steps: nodes, operands and visited values. @default 500000 */
  readonly maxSteps: number;
  /** Characters of the result, and of each text on the way. @default 4 Mi */
  readonly maxOutput: number;
  /** How deep templates may call templates, and actions be nested. @default 100 */
  readonly maxDepth: number;
}

/** What is done with a key that a map does not have: nothing, the zero value of the map's type, or an error. */
export type MissingKey = 'default' | 'zero' | 'error';

/** What {@link evaluate} works with. */
export interface EvaluationOptions {
  readonly templates: TemplateTree;
  readonly functions: FunctionTable;
  readonly limits: TemplateLimits;
  readonly missingKey: MissingKey;
}

/**
 * Evaluates a template by name.
 *
 * @throws TemplateError with the place and the action at fault.
 * @see Go, src/text/template/exec.go
 */
export function evaluate(options: EvaluationOptions, name: string, data: TemplateValue): string {
  return new Evaluator(options).run(name, data);
}

/** A variable that is in scope. */
interface Variable {
  readonly name: string;
  value: TemplateValue;
}

/** Thrown by `break` and `continue`, and caught by the range around them. */
type LoopSignal = 'break' | 'continue' | undefined;

class Evaluator {
  readonly #options: EvaluationOptions;
  readonly #context: CallContext;
  #steps = 0;
  #depth = 0;
  #length = 0;
  #output: string[] = [];
  #variables: Variable[] = [];

  constructor(options: EvaluationOptions) {
    this.#options = options;
    this.#context = {
      spend: (steps) => this.#spend(steps),
      maxLength: options.limits.maxOutput,
      include: (name, data) => this.#capture(name, data),
    };
  }

  run(name: string, data: TemplateValue): string {
    const nodes = this.#options.templates.get(name);
    if (nodes === undefined) throw new ValueError(`there is no template "${name}"`);
    return this.#renderScope(nodes, data ?? undefined);
  }

  /** Evaluates nodes with their own output and variables. */
  #renderScope(nodes: readonly TemplateNode[], data: TemplateValue): string {
    const [output, variables] = [this.#output, this.#variables];
    this.#output = [];
    this.#variables = [{ name: '$', value: data }];
    if (++this.#depth > this.#options.limits.maxDepth) {
      throw new ValueError(`templates call each other more than ${this.#options.limits.maxDepth} deep`);
    }
    this.#walk(nodes, data);
    this.#depth--;
    const text = this.#output.join('');
    this.#output = output;
    this.#variables = variables;
    return text;
  }

  #capture(name: string, data: TemplateValue): string {
    const length = this.#length;
    const text = this.run(name, data);
    // What is captured is not written yet.
    this.#length = length;
    return text;
  }

  #walk(nodes: readonly TemplateNode[], dot: TemplateValue): LoopSignal {
    for (const node of nodes) {
      const signal = this.#walkNode(node, dot);
      if (signal !== undefined) return signal;
    }
    return undefined;
  }

  #walkNode(node: TemplateNode, dot: TemplateValue): LoopSignal {
    switch (node.kind) {
      case 'text':
        this.#write(node.text);
        return undefined;
      case 'action': {
        const value = this.#pipeline(node.pipeline, dot);
        if (node.pipeline.variables.length === 0) {
          this.#at(node.pipeline, () => this.#write(typeof value === 'string' ? value : printValue(value)));
        }
        return undefined;
      }
      case 'if':
      case 'with':
        return this.#branch(node, dot);
      case 'range':
        return this.#range(node, dot);
      case 'template':
        return this.#call(node, dot);
      case 'break':
      case 'continue':
        return node.kind;
    }
  }

  #branch(node: Extract<TemplateNode, { kind: 'if' | 'with' | 'range' }>, dot: TemplateValue): LoopSignal {
    const scope = this.#variables.length;
    const value = this.#pipeline(node.pipeline, dot);
    const inner = node.kind === 'with' ? value : dot;
    const signal = isTrue(value) ? this.#walk(node.body, inner) : this.#walk(node.otherwise ?? [], dot);
    this.#variables.length = scope;
    return signal;
  }

  #range(node: Extract<TemplateNode, { kind: 'if' | 'with' | 'range' }>, dot: TemplateValue): LoopSignal {
    const scope = this.#variables.length;
    const { pipeline } = node;
    const value = this.#pipeline(pipeline, dot, true);
    let isEmpty = true;
    for (const [key, element] of this.#at(pipeline, () => this.#items(value, pipeline.variables.length))) {
      isEmpty = false;
      this.#at(pipeline, () => this.#spend(1));
      const inner = this.#variables.length;
      this.#setRangeVariables(pipeline, key, element);
      const signal = this.#walk(node.body, element);
      this.#variables.length = inner;
      if (signal === 'break') break;
    }
    const signal = isEmpty ? this.#walk(node.otherwise ?? [], dot) : undefined;
    this.#variables.length = scope;
    return signal;
  }

  /** Keys and elements; the element alone is what one variable gets. */
  #items(value: TemplateValue, variableCount: number): Iterable<readonly [TemplateValue, TemplateValue]> {
    if (value === undefined || value === null) return [];
    if (Array.isArray(value)) return value.map((element, index) => [BigInt(index), element] as const);
    if (isMap(value)) return sortedEntries(value);
    if (typeof value === 'bigint') {
      if (variableCount > 1) throw new ValueError(`can't use ${value} to iterate over more than one variable`);
      return countTo(value);
    }
    throw new ValueError(`range can't iterate over ${printValue(value)}`);
  }

  #setRangeVariables({ variables, isAssignment }: Pipeline, key: TemplateValue, element: TemplateValue): void {
    const [first, second] = variables;
    if (first === undefined) return;
    const values: readonly (readonly [string, TemplateValue])[] =
      second === undefined
        ? [[first, element]]
        : [
            [first, key],
            [second, element],
          ];
    for (const [name, value] of values) {
      if (isAssignment) this.#assign(name, value);
      else this.#variables.push({ name, value });
    }
  }

  #call(node: Extract<TemplateNode, { kind: 'template' }>, dot: TemplateValue): undefined {
    const nodes = this.#options.templates.get(node.name);
    if (nodes === undefined) {
      throw new TemplateError(`there is no template "${node.name}"`, node.position, node.written);
    }
    const data = node.argument === undefined ? undefined : this.#pipeline(node.argument, dot);
    const text = this.#at(node, () => this.#renderScope(nodes, data));
    // Its parts were counted as they were written.
    this.#output.push(text);
  }

  #pipeline(pipeline: Pipeline, dot: TemplateValue, isRange = false): TemplateValue {
    let value: TemplateValue;
    pipeline.commands.forEach((command, stage) => {
      value = this.#command(command, dot, stage === 0 ? [] : [value]);
    });
    // A range gives its variables the elements instead.
    if (!isRange) {
      for (const name of pipeline.variables) {
        if (pipeline.isAssignment) this.#assign(name, value);
        else this.#variables.push({ name, value });
      }
    }
    return value;
  }

  #command({ operands, ...located }: Command, dot: TemplateValue, final: readonly TemplateValue[]): TemplateValue {
    const [first, ...others] = operands as [Operand, ...Operand[]];
    if (first.kind === 'function') return this.#callFunction(first, others, dot, final);
    if (first.kind === 'nil') throw new TemplateError('nil is not a command', located.position, located.written);
    if (others.length > 0 || final.length > 0) {
      const path = 'path' in first ? first.path : [];
      // As in Go, a field of what is not there is not there, whatever it is given.
      if (path.length > 1 && this.#operand({ ...first, path: path.slice(0, -1) } as Operand, dot) === undefined)
        return this.#field(undefined, path.at(-1) ?? '');
      const problem =
        path.length > 0
          ? `${first.written} is not a method but has arguments`
          : `can't give argument to non-function ${first.written}`;
      throw new TemplateError(problem, located.position, located.written);
    }
    return this.#operand(first, dot);
  }

  #operand(operand: Operand, dot: TemplateValue): TemplateValue {
    this.#at(operand, () => this.#spend(1));
    switch (operand.kind) {
      case 'dot':
        return dot;
      case 'nil':
        return null;
      case 'literal':
        return operand.value;
      case 'function':
        return this.#callFunction(operand, [], dot, []);
      case 'field':
        return this.#path(operand, dot, operand.path);
      case 'variable':
        return this.#path(operand, this.#variable(operand.name), operand.path);
      case 'chain':
        return this.#path(operand, this.#operand(operand.base, dot), operand.path);
      case 'pipeline': {
        const scope = this.#variables.length;
        const value = this.#pipeline(operand.pipeline, dot);
        this.#variables.length = scope;
        return value;
      }
    }
  }

  #path(operand: Operand, base: TemplateValue, path: readonly string[]): TemplateValue {
    return path.reduce((value, name) => this.#at(operand, () => this.#field(value, name)), base);
  }

  #field(value: TemplateValue, name: string): TemplateValue {
    if (value === undefined) {
      if (this.#options.missingKey === 'error') throw new ValueError(`nil data; no entry for key "${name}"`);
      return undefined;
    }
    if (value === null) throw new ValueError(`nil pointer evaluating interface {}.${name}`);
    if (isStruct(value)) {
      const member = value[FIELD](name);
      if (member === undefined) throw new ValueError(`there is no field ${name}`);
      return member;
    }
    if (!isMap(value)) throw new ValueError(`can't evaluate field ${name} in type ${typeName(value)}`);
    const member = lookUp(value, name);
    if (member !== undefined || this.#options.missingKey === 'default') return member;
    if (this.#options.missingKey === 'error') throw new ValueError(`map has no entry for key "${name}"`);
    return value instanceof Map ? '' : null;
  }

  #callFunction(
    operand: Extract<Operand, { kind: 'function' }>,
    others: readonly Operand[],
    dot: TemplateValue,
    final: readonly TemplateValue[],
  ): TemplateValue {
    this.#at(operand, () => this.#spend(1));
    if (operand.name === 'and' || operand.name === 'or') return this.#shortCircuit(operand, others, dot, final);
    // The parser has looked the name up.
    const definition = this.#options.functions.get(operand.name) as TemplateFunction;
    const values = [...others.map((other) => this.#operand(other, dot)), ...final];
    return this.#at(operand, () => {
      checkArguments(operand.name, definition, values);
      for (const value of values) this.#spend(sizeInSteps(value));
      const result = definition.call(this.#context, ...(values as never[]));
      this.#spend(sizeInSteps(result));
      if (typeof result === 'string') this.#checkLength(result.length);
      return result;
    });
  }

  /** `and` and `or` return the argument that decides, and evaluate none after it. */
  #shortCircuit(
    operand: Extract<Operand, { kind: 'function' }>,
    others: readonly Operand[],
    dot: TemplateValue,
    final: readonly TemplateValue[],
  ): TemplateValue {
    if (others.length + final.length === 0) {
      const message = `wrong number of args for ${operand.name}: want at least 1 got 0`;
      throw new TemplateError(message, operand.position, operand.written);
    }
    const decides = (value: TemplateValue): boolean => isTrue(value) === (operand.name === 'or');
    let value: TemplateValue;
    for (const other of others) {
      value = this.#operand(other, dot);
      if (decides(value)) return value;
    }
    return final.length === 0 ? value : final[0];
  }

  #variable(name: string): TemplateValue {
    return this.#variables.findLast((variable) => variable.name === name)?.value;
  }

  #assign(name: string, value: TemplateValue): void {
    const variable = this.#variables.findLast((candidate) => candidate.name === name);
    if (variable !== undefined) variable.value = value;
  }

  #write(text: string): void {
    this.#length += text.length;
    this.#checkLength(this.#length);
    this.#spend(1);
    this.#output.push(text);
  }

  #checkLength(length: number): void {
    const { maxOutput } = this.#options.limits;
    if (length > maxOutput) throw new ValueError(`the result is longer than ${maxOutput} characters`);
  }

  #spend(steps: number): void {
    this.#steps += steps;
    const { maxSteps } = this.#options.limits;
    if (this.#steps > maxSteps) throw new ValueError(`the template takes more than ${maxSteps} steps`);
  }

  /** Gives what goes wrong inside its place in the template, unless it has one. */
  #at<Value>({ position, written }: Pick<Operand, 'position' | 'written'>, work: () => Value): Value {
    try {
      return work();
    } catch (error) {
      if (error instanceof ValueError) throw new TemplateError(error.message, position, written);
      throw error;
    }
  }
}

function* countTo(end: bigint): Iterable<readonly [TemplateValue, TemplateValue]> {
  for (let index = 0n; index < end; index++) yield [index, index];
}
