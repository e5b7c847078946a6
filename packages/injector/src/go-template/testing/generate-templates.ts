import { DATA, type Question } from '../testdata/corpus.ts';

/** Arguments that generated templates use. */
const ATOMS: readonly string[] =
  '. $ .name .port .list .map .nested.inner .nested.inner.leaf .nothing .missing .mixed .none .yes .no 1 0 -3 2.5 "a" "b" "" `raw` true false nil \'x\' $v .half .containers $.name .big .huge .html .wide'.split(
    ' ',
  );
/** Functions with the number of their arguments. Hexadecimal floats are not written here, so no `%x`. */
const FUNCTIONS: readonly (readonly [name: string, count: number])[] = [
  ['print', 2],
  ['println', 2],
  ['printf "%v-%5v"', 2],
  ['printf "%s %q"', 2],
  ['printf "%d|%05d"', 2],
  ['printf "%6.2f|%e|%g"', 3],
  ['printf "%T %t"', 2],
  ['len', 1],
  ['index', 2],
  ['slice', 2],
  ['eq', 2],
  ['eq', 3],
  ['ne', 2],
  ['lt', 2],
  ['le', 2],
  ['gt', 2],
  ['ge', 2],
  ['and', 2],
  ['or', 3],
  ['not', 1],
  ['html', 1],
  ['js', 1],
  ['urlquery', 1],
];
const LISTS = ['.list', '.map', '.mixed', '.none', '3', '.nested.inner.list', '.name', '.nothing'];

/**
 * Makes templates by chance: actions, conditions, ranges, variables, pipelines and white space, most of them wrong
 * somewhere. The same seed gives the same templates.
 */
export function generateTemplates(seed: number, count: number): readonly Question[] {
  let state = seed;
  const below = (limit: number): number => {
    state = (Math.imul(state, 1_103_515_245) + 12_345) & 0x7fffffff;
    return (state >> 8) % limit;
  };
  const pick = (list: readonly string[]): string => list[below(list.length)] ?? '';
  const argument = (depth: number): string => (depth <= 0 || below(3) > 0 ? pick(ATOMS) : `(${pipeline(depth - 1)})`);
  const command = (depth: number): string => {
    if (below(3) === 0) return argument(depth);
    const [name, arity] = FUNCTIONS[below(FUNCTIONS.length)] ?? ['print', 0];
    const given = arity - (below(12) === 0 ? 1 : 0);
    return [name, ...Array.from({ length: given }, () => argument(depth))].join(' ');
  };
  const pipeline = (depth: number): string => (below(4) > 0 ? command(depth) : `${command(depth)} | ${command(0)}`);
  const action = (text: string): string => `${pick(['{{', '{{- '])}${text}${pick(['}}', ' -}}', ' }}'])}`;
  const body = (depth: number): string => node(depth - 1) + (below(2) === 0 ? node(depth - 1) : '');
  const otherwise = (depth: number): string =>
    below(2) === 0 ? '' : action(pick(['else', `else if ${pipeline(depth)}`])) + body(depth);
  const node = (depth: number): string => {
    switch (below(depth > 0 ? 8 : 3)) {
      case 0:
        return pick(['text', ' \n ', 'x  ', '\n\n']);
      case 3:
      case 4:
        return action(`if ${pipeline(depth)}`) + body(depth) + otherwise(depth) + action('end');
      case 5:
        return action(`with $w := ${pipeline(depth)}`) + body(depth) + action('else') + body(depth) + action('end');
      case 6: {
        const jump = below(4) === 0 ? action(pick(['break', 'continue'])) : '';
        return action(`range ${pick(['', '$i := ', '$i, $e := '])}${pick(LISTS)}`) + body(depth) + jump + action('end');
      }
      case 7:
        return action(`$v = ${pipeline(depth)}`);
      default:
        return action(pipeline(depth));
    }
  };
  return Array.from({ length: count }, () => ({ template: `{{ $v := "v" }}${node(3)}${node(2)}`, data: DATA }));
}
