import { assertNever } from '@meltemi/base';
import type { Chart } from './chart.ts';
import type { Condition, Expression } from './node.ts';
import type { ValueType } from './values-table.ts';

/** Where an expression is printed. */
export interface PrintScope {
  readonly chart: Chart;
  /** Within `range`, where the dot is the entry. */
  readonly inLoop: boolean;
}

/** Name of a helper, which all charts of a release share, in `define` and `include`. */
export function helperName(chart: Chart, name: string): string {
  return `${chart.name}.${name}`;
}

/** Name of the helper that every chart has: a scalar of any type as text. */
export const TEXT_HELPER = 'text';

/** Name of the helper that every chart has: what the cluster has as `failurePolicy` of a validating webhook. */
export const LIVE_POLICY_HELPER = 'livePolicy';

/** What an expression is, as far as printing depends on it. */
export function typeOf({ chart }: PrintScope, expression: Expression): ValueType {
  if (expression.$ === 'value') return chart.values[expression.path]?.type ?? 'map';
  if (expression.$ === 'include') {
    const helper = chart.helpers[expression.name];
    return helper !== undefined && 'map' in helper ? 'map' : 'string';
  }
  if (expression.$ === 'default') return typeOf({ chart, inLoop: false }, expression.first);
  return 'string';
}

/** An expression as a pipeline, which cannot be an argument as it is. */
export function printPipeline(scope: PrintScope, expression: Expression): string {
  const root = scope.inLoop ? '$' : '';
  switch (expression.$) {
    case 'value':
      return `${root}.Values.${expression.path}`;
    case 'namespace':
      return `${root}.Release.Namespace`;
    case 'release-name':
      return `${root}.Release.Name`;
    case 'trim-prefix':
      return `trimPrefix ${JSON.stringify(expression.prefix)} ${printOperand(scope, expression.of)}`;
    case 'app-version':
      return `${root}.Chart.AppVersion`;
    case 'entry':
      return `$${expression.part}`;
    case 'text-of':
      return `include "${helperName(scope.chart, TEXT_HELPER)}" ${printOperand(scope, expression.of)}`;
    case 'text': {
      const format = expression.parts.map((part) => (typeof part === 'string' ? part.replaceAll('%', '%%') : '%s'));
      const operands = expression.parts.filter((part) => typeof part !== 'string');
      if (operands.length === 0) return JSON.stringify(expression.parts.join(''));
      return [`printf ${JSON.stringify(format.join(''))}`, ...operands.map((part) => printOperand(scope, part))].join(
        ' ',
      );
    }
    case 'default':
      return `default ${printOperand(scope, expression.second)} ${printOperand(scope, expression.first)}`;
    case 'live-policy':
      return `include "${helperName(scope.chart, LIVE_POLICY_HELPER)}" ${printOperand(scope, expression.webhook)}`;
    case 'include':
      return `include "${helperName(scope.chart, expression.name)}" ${scope.inLoop ? '$' : '.'}`;
    default:
      return assertNever(expression, 'expression');
  }
}

/** An expression as an argument. */
export function printOperand(scope: PrintScope, expression: Expression): string {
  const pipeline = printPipeline(scope, expression);
  return pipeline.includes(' ') ? `(${pipeline})` : pipeline;
}

/** A condition, as it stands after `if`. */
export function printCondition(scope: PrintScope, condition: Condition): string {
  switch (condition.$) {
    case 'not':
      return `not ${printNested(scope, condition.of)}`;
    case 'all':
      return ['and', ...condition.of.map((part) => printNested(scope, part))].join(' ');
    case 'any':
      return ['or', ...condition.of.map((part) => printNested(scope, part))].join(' ');
    case 'equal': {
      const right =
        typeof condition.right === 'string' ? JSON.stringify(condition.right) : printOperand(scope, condition.right);
      return `eq ${printOperand(scope, condition.left)} ${right}`;
    }
    case 'matches':
      return `regexMatch ${JSON.stringify(condition.pattern)} ${printOperand(scope, condition.text)}`;
    case 'contains':
      return `contains ${JSON.stringify(condition.part)} ${printOperand(scope, condition.text)}`;
    default:
      return printPipeline(scope, condition);
  }
}

function printNested(scope: PrintScope, condition: Condition): string {
  const printed = printCondition(scope, condition);
  return printed.includes(' ') ? `(${printed})` : printed;
}
