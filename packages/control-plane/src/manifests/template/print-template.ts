import { MeltemiError } from '@meltemi/base';
import { stringify } from 'yaml';
import type { Chart, TemplateFile } from './chart.ts';
import { helperName, type PrintScope, printCondition, printOperand, printPipeline, typeOf } from './go-expression.ts';
import {
  type Each,
  type EmbeddedDocument,
  type Expression,
  type Helper,
  isSpecial,
  type Node,
  type NodeMap,
  type Overlaid,
  type TextPart,
  type When,
} from './node.ts';

/** Prints one file of a chart's templates. */
export function printTemplateFile(chart: Chart, file: TemplateFile): string {
  const printer = new TemplatePrinter({ chart, inLoop: false });
  return `${file.objects.flatMap((node) => printer.object(node)).join('\n')}\n`;
}

/** Prints a helper as a `define`. */
export function printHelper(chart: Chart, name: string, helper: Helper): string {
  const scope: PrintScope = { chart, inLoop: false };
  const body =
    'map' in helper
      ? new TemplatePrinter(scope).entries(helper.map, 0).join('\n')
      : helper.text.map((part) => printTextPart(scope, part)).join('');
  return `{{/* ${helper.doc} */}}\n{{- define "${helperName(chart, name)}" -}}\n${body}\n{{- end }}\n`;
}

function printTextPart(scope: PrintScope, part: TextPart): string {
  if (typeof part === 'string') return part;
  if (part.$ !== 'choose') return `{{ ${printPipeline(scope, part)} }}`;
  const print = (parts: readonly TextPart[]): string => parts.map((inner) => printTextPart(scope, inner)).join('');
  const otherwise = part.no === undefined ? '' : `{{ else }}${print(part.no)}`;
  return `{{ if ${printCondition(scope, part.if)} }}${print(part.yes)}${otherwise}{{ end }}`;
}

function pad(indent: number): string {
  return ' '.repeat(indent);
}

/** A text in a form that neither YAML nor Go templates take for something else. */
function printScalar(scalar: string | number | boolean): string {
  const printed = stringify(scalar, { lineWidth: 0, blockQuote: false }).trimEnd();
  return printed.replaceAll('{{', '{{ "{{" }}');
}

class TemplatePrinter {
  readonly #scope: PrintScope;

  constructor(scope: PrintScope) {
    this.#scope = scope;
  }

  /** A whole object, led by the line that divides documents. */
  object(node: Node): string[] {
    if (isSpecial(node) && node.$ === 'when') return this.#if(node, 0, (inner) => this.object(inner));
    if (isSpecial(node) && node.$ === 'each') return this.#range(node, 0, (printer, inner) => printer.object(inner));
    return ['---', ...this.entries(node as NodeMap, 0)];
  }

  /** The entries of a map. */
  entries(map: NodeMap, indent: number): string[] {
    return Object.entries(map).flatMap(([key, node]) =>
      key.startsWith('...') ? this.#spread(node, indent) : this.#entry(key, node, indent),
    );
  }

  #entry(key: string, node: Node, indent: number): string[] {
    const head = `${pad(indent)}${printScalar(key)}:`;
    if (typeof node !== 'object') return [`${head} ${printScalar(node)}`];
    if (isSpecial(node)) {
      if (node.$ === 'when') return this.#if(node, indent, (inner) => this.#entry(key, inner, indent));
      if (node.$ === 'document') return [`${head} |-`, this.#document(node, indent + 2)];
      if (node.$ === 'overlaid') return [head, this.#overlaid(node, indent + 2)];
      if (node.$ === 'each' || node.$ === 'items')
        throw new MeltemiError('FAILED', 'BUG: list items outside of a list');
      const block = this.#block(node, indent + 2);
      return block === undefined ? [`${head} ${this.#inline(node)}`] : [head, block];
    }
    if (Array.isArray(node))
      return node.length === 0 ? [`${head} []`] : [head, ...node.flatMap((item: Node) => this.#item(item, indent + 2))];
    const entries = this.entries(node as NodeMap, indent + 2);
    return entries.length === 0 ? [`${head} {}`] : [head, ...entries];
  }

  #spread(node: Node, indent: number): string[] {
    if (typeof node !== 'object' || Array.isArray(node))
      throw new MeltemiError('FAILED', 'BUG: only maps can be spread');
    if (!isSpecial(node)) return this.entries(node as NodeMap, indent);
    if (node.$ === 'when') return this.#if(node, indent, (inner) => this.#spread(inner, indent));
    // Values of a map; an empty one leaves no line.
    const expression = node as Expression;
    if (expression.$ === 'include') return [this.#block(expression, indent) as string];
    return [
      `${pad(indent)}{{- with ${printPipeline(this.#scope, expression)} }}`,
      `${pad(indent)}{{- toYaml . | nindent ${indent} }}`,
      `${pad(indent)}{{- end }}`,
    ];
  }

  #item(node: Node, indent: number): string[] {
    if (isSpecial(node)) {
      if (node.$ === 'when') return this.#if(node, indent, (inner) => this.#item(inner, indent));
      if (node.$ === 'each') return this.#range(node, indent, (printer, inner) => printer.#item(inner, indent));
      if (node.$ === 'items')
        return [
          `${pad(indent)}{{- with ${printPipeline(this.#scope, { $: 'value', path: node.path })} }}`,
          `${pad(indent)}{{- toYaml . | nindent ${indent} }}`,
          `${pad(indent)}{{- end }}`,
        ];
      return [`${pad(indent)}- ${this.#inline(node as Expression)}`];
    }
    if (typeof node !== 'object') return [`${pad(indent)}- ${printScalar(node)}`];
    const [first = '', ...rest] = this.entries(node as NodeMap, indent + 2);
    if (first.trimStart().startsWith('{{-'))
      throw new MeltemiError('FAILED', 'BUG: the first entry of a list item cannot be conditional');
    return [`${pad(indent)}- ${first.trimStart()}`, ...rest];
  }

  #if(node: When, indent: number, print: (node: Node) => string[]): string[] {
    return [
      `${pad(indent)}{{- if ${printCondition(this.#scope, node.if)} }}`,
      ...print(node.yes),
      ...(node.no === undefined ? [] : [`${pad(indent)}{{- else }}`, ...print(node.no)]),
      `${pad(indent)}{{- end }}`,
    ];
  }

  #range(node: Each, indent: number, print: (printer: TemplatePrinter, node: Node) => string[]): string[] {
    const names = node.as === 'map' ? '$key, $item' : '$item';
    const over = printPipeline(this.#scope, { $: 'value', path: node.over });
    return [
      `${pad(indent)}{{- range ${names} := ${over} }}`,
      ...print(new TemplatePrinter({ ...this.#scope, inLoop: true }), node.node),
      `${pad(indent)}{{- end }}`,
    ];
  }

  /** A map or list on lines of its own; `undefined` for scalars. */
  #block(expression: Expression, indent: number): string | undefined {
    const type = typeOf(this.#scope, expression);
    if (!type.endsWith('map') && !type.endsWith('list')) return undefined;
    const pipeline = printPipeline(this.#scope, expression);
    // What helpers say is YAML already.
    if (expression.$ === 'include') return `${pad(indent)}{{- ${pipeline} | nindent ${indent} }}`;
    return `${pad(indent)}{{- toYaml ${printOperand(this.#scope, expression)} | nindent ${indent} }}`;
  }

  #inline(expression: Expression): string {
    const pipeline = printPipeline(this.#scope, expression);
    switch (typeOf(this.#scope, expression)) {
      case 'integer':
        return `{{ ${pipeline} | int }}`;
      case 'boolean':
        return `{{ ${pipeline} }}`;
      case 'int-or-string':
        return `{{ toJson ${printOperand(this.#scope, expression)} }}`;
      default:
        return `{{ ${pipeline} | quote }}`;
    }
  }

  #overlaid({ helper, path }: Overlaid, indent: number): string {
    const over = `deepCopy ${printOperand(this.#scope, { $: 'value', path })}`;
    const below = `include "${helperName(this.#scope.chart, helper)}" ${this.#scope.inLoop ? '$' : '.'} | fromYaml`;
    return `${pad(indent)}{{- merge (${over}) (${below}) | toYaml | nindent ${indent} }}`;
  }

  #document({ format, helper, overlay }: EmbeddedDocument, indent: number): string {
    const below = `include "${helperName(this.#scope.chart, helper)}" ${this.#scope.inLoop ? '$' : '.'} | fromYaml`;
    const merged =
      overlay === undefined
        ? below
        : `mustMergeOverwrite (${below}) (deepCopy ${printOperand(this.#scope, { $: 'value', path: overlay })})`;
    return `${pad(indent)}{{- ${merged} | ${format === 'json' ? 'toPrettyJson' : 'toYaml'} | nindent ${indent} }}`;
  }
}
