import { assertNever } from '@meltemi/base/pure';
import type { RuntimePortPredicate } from '../config/runtime-config.ts';

/** Whether a listener filter's `filter_disabled` holds for a destination port. */
export function matchPort(predicate: RuntimePortPredicate, port: number): boolean {
  switch (predicate.kind) {
    case 'any':
      return true;
    case 'range':
      return port >= predicate.start && port < predicate.end;
    case 'not':
      return !matchPort(predicate.rule, port);
    case 'or':
      return predicate.rules.some((rule) => matchPort(rule, port));
    case 'and':
      return predicate.rules.every((rule) => matchPort(rule, port));
    default:
      return assertNever(predicate, 'port predicate');
  }
}
