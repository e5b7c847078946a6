import type { LabelRequirement } from './selector.ts';

const SET_REQUIREMENT = /^([^\s!=,()]+)\s+(in|notin)\s*\(([^)]*)\)$/;
const EQUALITY_REQUIREMENT = /^([^\s!=,()]+)\s*(==|=|!=)\s*([^\s!=,()]*)$/;

function parseRequirement(text: string): LabelRequirement {
  const set = SET_REQUIREMENT.exec(text);
  if (set !== null) {
    const values = (set[3] as string).split(',').map((value) => value.trim());
    return { key: set[1] as string, operator: set[2] === 'in' ? 'In' : 'NotIn', values };
  }
  const equality = EQUALITY_REQUIREMENT.exec(text);
  if (equality !== null) {
    const operator = equality[2] === '!=' ? 'NotIn' : 'In';
    return { key: equality[1] as string, operator, values: [equality[3] as string] };
  }
  if (/^![^\s!=,()]+$/.test(text)) return { key: text.slice(1), operator: 'DoesNotExist' };
  if (/^[^\s!=,()]+$/.test(text)) return { key: text, operator: 'Exists' };
  throw new SyntaxError(
    `Cannot read the label selector "${text}": write key=value, key!=value, key, !key, key in (a,b)`,
  );
}

/**
 * Reads a selector in its URL form: `app=sleep,version in (v1,v2),!canary`.
 *
 * @throws SyntaxError naming the requirement that cannot be read.
 */
export function parseLabelSelector(text: string): readonly LabelRequirement[] {
  return text
    .split(/,(?![^(]*\))/)
    .map((part) => part.trim())
    .filter((part) => part !== '')
    .map(parseRequirement);
}
