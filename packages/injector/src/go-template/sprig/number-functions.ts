import { define, type TemplateFunction } from '../functions.ts';
import { ValueError } from '../template-error.ts';
import { type TemplateValue, toFloat, toInteger } from '../values.ts';

function fold(combine: (left: bigint, right: bigint) => bigint): TemplateFunction {
  return define('any ...any', (_context, ...values: TemplateValue[]) =>
    BigInt.asIntN(
      64,
      values.map(toInteger).reduce((left, right) => BigInt.asIntN(64, combine(left, right))),
    ),
  );
}

function divide(left: bigint, right: bigint): bigint {
  if (right === 0n) throw new ValueError('runtime error: integer divide by zero');
  return left / right;
}

function remainder(left: bigint, right: bigint): bigint {
  if (right === 0n) throw new ValueError('runtime error: integer divide by zero');
  return left % right;
}

function round(value: TemplateValue, places: bigint): number {
  const factor = 10 ** Number(places);
  return Math.round(toFloat(value) * factor) / factor;
}

/** Functions of sprig about numbers: 64-bit integers, unless the name says float. */
export const NUMBER_FUNCTIONS: readonly (readonly [string, TemplateFunction])[] = [
  ['int', define('any', (_context, value: TemplateValue) => toInteger(value))],
  ['int64', define('any', (_context, value: TemplateValue) => toInteger(value))],
  ['atoi', define('string', (_context, text: string) => toInteger(text))],
  ['float64', define('any', (_context, value: TemplateValue) => toFloat(value))],
  ['add', fold((left, right) => left + right)],
  ['sub', fold((left, right) => left - right)],
  ['mul', fold((left, right) => left * right)],
  ['div', fold(divide)],
  ['mod', fold(remainder)],
  ['max', fold((left, right) => (left > right ? left : right))],
  ['min', fold((left, right) => (left < right ? left : right))],
  ['add1', define('any', (_context, value: TemplateValue) => toInteger(value) + 1n)],
  ['floor', define('any', (_context, value: TemplateValue) => Math.floor(toFloat(value)))],
  ['ceil', define('any', (_context, value: TemplateValue) => Math.ceil(toFloat(value)))],
  ['round', define('any int', (_context, value: TemplateValue, places: bigint) => round(value, places))],
];
