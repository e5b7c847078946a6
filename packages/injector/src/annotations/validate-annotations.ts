import { nearestName } from '@meltemi/base';
import { READ_ANNOTATIONS, WRITTEN_ANNOTATIONS } from './annotation-table.ts';

type Annotations = Readonly<Record<string, string>>;

/** Begins the warnings about what is accepted and has no effect. */
const UNIMPLEMENTED_MARK = 'MELTEMI-UNIMPLEMENTED';
/** Names that are ours: what is misspelt among them is worth a word. */
const OURS = /^(((traffic|status|readiness\.status)\.)?sidecar|proxy|inject|prometheus|ambient)\.istio\.io\//;

/** One annotation that injection cannot follow. */
export interface AnnotationProblem {
  readonly annotation: string;
  /** Names the annotation, its value, and what was expected. */
  readonly message: string;
}

/** Checks the values of all annotations that injection reads; returns every problem. */
export function validateAnnotations(annotations: Annotations): readonly AnnotationProblem[] {
  return Object.entries(READ_ANNOTATIONS).flatMap(([annotation, { check }]) => {
    const value = annotations[annotation];
    const problem = value === undefined ? undefined : check(value);
    return problem === undefined ? [] : [{ annotation, message: `${annotation}: "${value}": ${problem}` }];
  });
}

/** What a user should know about annotations that are valid: unknown, deprecated or without effect. */
export function findAnnotationWarnings(annotations: Annotations): readonly string[] {
  const names = annotations['inject.istio.io/templates']?.split(',').map((name) => name.trim()) ?? [];
  const warnings = Object.keys(annotations).flatMap((name) => {
    const rule = Object.hasOwn(READ_ANNOTATIONS, name) ? READ_ANNOTATIONS[name] : undefined;
    if (rule?.unimplemented !== undefined) {
      return [`${UNIMPLEMENTED_MARK} annotation ${name}: accepted, but does not work yet: ${rule.unimplemented}`];
    }
    if (rule?.deprecated !== undefined) return [`annotation ${name} is deprecated; use ${rule.deprecated}`];
    return rule === undefined && OURS.test(name) && !Object.hasOwn(WRITTEN_ANNOTATIONS, name) ? [unknown(name)] : [];
  });
  if (!names.includes('grpc-agent')) return warnings;
  return [...warnings, `${UNIMPLEMENTED_MARK} template grpc-agent: the agent does not write a gRPC bootstrap yet`];
}

function unknown(name: string): string {
  const near = nearestName(name, Object.keys(READ_ANNOTATIONS));
  return `annotation ${name} has no effect${near === undefined ? '' : `; did you mean ${near}?`}`;
}
