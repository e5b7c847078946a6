import { isJsonObject } from '../objects/json-value.ts';

/** One step of a path: a member, an index, every item, or the items whose member has a value. */
type Step =
  | { readonly member: string }
  | { readonly index: number }
  | 'all'
  | { readonly where: readonly string[]; readonly equals: string };

function parseSteps(path: string): Step[] {
  const steps: Step[] = [];
  const token =
    /\.?([\w-]+(?:\\\.[\w-]+)*)|\[(\d+)\]|\[\*\]|\['([^']+)'\]|\[\?\(@((?:\.[\w-]+)+)\s*==\s*["']([^"']*)["']\)\]/gy;
  let end = 0;
  for (let match = token.exec(path); match !== null; match = token.exec(path)) {
    const [text, member, index, quoted, where, equals] = match;
    if (member !== undefined) steps.push({ member: member.replaceAll('\\.', '.') });
    else if (index !== undefined) steps.push({ index: Number(index) });
    else if (quoted !== undefined) steps.push({ member: quoted });
    else if (where !== undefined) steps.push({ where: where.slice(1).split('.'), equals: equals ?? '' });
    else if (text.endsWith('[*]')) steps.push('all');
    end = token.lastIndex;
  }
  // A path that this cannot read finds nothing, rather than something else.
  return end === path.length ? steps : [{ member: '\u0000' }];
}

/** Finds what a path of a printer column means: `.spec.hosts`, `.status.conditions[?(@.type=="Ready")].status`. */
export function evaluateJsonPath(root: unknown, path: string): unknown[] {
  let values: unknown[] = [root];
  for (const step of parseSteps(path)) {
    values = values.flatMap((value): unknown[] => {
      if (step === 'all') return Array.isArray(value) ? value : isJsonObject(value) ? Object.values(value) : [];
      if ('member' in step) return isJsonObject(value) ? [value[step.member]] : [];
      if ('index' in step) return Array.isArray(value) ? [value[step.index]] : [];
      const matches = (item: unknown): boolean =>
        String(step.where.reduce<unknown>((part, name) => (isJsonObject(part) ? part[name] : undefined), item)) ===
        step.equals;
      return Array.isArray(value) ? value.filter(matches) : [];
    });
  }
  return values.filter((value) => value !== undefined);
}
