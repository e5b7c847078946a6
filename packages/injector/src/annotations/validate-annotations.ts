import { nearestName } from '@meltemi/base';
import { type AnnotationRule, READ_ANNOTATIONS, WRITTEN_ANNOTATIONS } from './annotation-table.ts';
import { PROXY_CONFIG_ANNOTATION, parseProxyConfig } from './proxy-config-annotation.ts';

type Annotations = Readonly<Record<string, string>>;

/** Begins the warnings about what is accepted and has no effect. */
const UNIMPLEMENTED_MARK = 'MELTEMI-UNIMPLEMENTED';
/** Names that are ours: what is misspelt among them is worth a word. */
const OURS = /^(((traffic|status|readiness\.status)\.)?sidecar|proxy|inject|prometheus|ambient)\.istio\.io\//;

/** Templates for applications whose gRPC library speaks xDS. */
const GRPC_TEMPLATES: ReadonlySet<string> = new Set(['grpc-agent', 'grpc-simple']);

/** Warnings about one pod; an API server cuts off those beyond 4 KiB, and each costs a search for the name that was meant. */
const MAX_WARNINGS = 10;
/** Of a longer value a message shows the beginning. */
const MAX_SHOWN_LENGTH = 100;
/** What the annotations of one object may have, as the API server counts. */
const MAX_TOTAL_BYTES = 256 * 1024;

/** One annotation that injection cannot follow. */
export interface AnnotationProblem {
  readonly annotation: string;
  /** Names the annotation, its value, and what was expected. */
  readonly message: string;
}

/** What the annotations of a pod say that is to be parsed once only, and what is wrong with any of them. */
export interface PodAnnotations {
  readonly problems: readonly AnnotationProblem[];
  /** ProxyConfig of the pod's own; empty without one, and where it is among the problems. */
  readonly proxyConfig: Readonly<Record<string, unknown>>;
}

/** Checks the values of all annotations that injection reads. */
export function readAnnotations(annotations: Annotations): PodAnnotations {
  const checked = Object.entries(READ_ANNOTATIONS).flatMap(([annotation, { check }]) => {
    const value = annotations[annotation];
    const problem = value === undefined ? undefined : check(value);
    return value === undefined || problem === undefined ? [] : [describeProblem(annotation, value, problem)];
  });
  const text = annotations[PROXY_CONFIG_ANNOTATION];
  if (text === undefined) return { problems: checked, proxyConfig: {} };
  const parsed = parseProxyConfig(text);
  return parsed.ok
    ? { problems: checked, proxyConfig: parsed.value }
    : { problems: [...checked, describeProblem(PROXY_CONFIG_ANNOTATION, text, parsed.error)], proxyConfig: {} };
}

function describeProblem(annotation: string, value: string, problem: string): AnnotationProblem {
  return { annotation, message: `${annotation}: "${abridge(value)}": ${problem}` };
}

function abridge(value: string): string {
  return value.length > MAX_SHOWN_LENGTH ? `${value.slice(0, MAX_SHOWN_LENGTH)}…` : value;
}

/**
 * Holds annotations to the size that the API server lets an object have: whoever else calls the webhook gets no further.
 *
 * @returns What is wrong, in Kubernetes' words; `undefined` when they are small enough.
 * @see Kubernetes, staging/src/k8s.io/apimachinery/pkg/api/validation/objectmeta.go, ValidateAnnotationsSize
 */
export function findSizeProblem(annotations: Annotations): string | undefined {
  const size = Object.entries(annotations).reduce(
    (sum, [name, value]) => sum + Buffer.byteLength(name) + Buffer.byteLength(value),
    0,
  );
  return size > MAX_TOTAL_BYTES ? `annotations size ${size} is larger than limit ${MAX_TOTAL_BYTES}` : undefined;
}

/** What a user should know about annotations that are valid: unknown, deprecated or without effect; at most ten of them. */
export function findAnnotationWarnings(annotations: Annotations): readonly string[] {
  const names = annotations['inject.istio.io/templates']?.split(',').map((name) => name.trim()) ?? [];
  const doubtful = Object.keys(annotations).filter(isDoubtful);
  const hidden = doubtful.length - MAX_WARNINGS;
  return [
    ...doubtful.slice(0, MAX_WARNINGS).map((name) => describeDoubt(name).message),
    ...(hidden > 0 ? [`and ${hidden} more annotations that are unknown, deprecated or without effect`] : []),
    ...names.filter((name) => GRPC_TEMPLATES.has(name)).map(warnOfGrpc),
  ];
}

function warnOfGrpc(name: string): string {
  return `${UNIMPLEMENTED_MARK} template ${name}: the control plane does not speak to gRPC libraries yet`;
}

function ruleOf(name: string): AnnotationRule | undefined {
  return Object.hasOwn(READ_ANNOTATIONS, name) ? READ_ANNOTATIONS[name] : undefined;
}

/** An annotation that is valid, and still worth a word. */
export interface AnnotationDoubt {
  readonly annotation: string;
  readonly kind: 'unknown' | 'deprecated' | 'without effect';
  readonly message: string;
}

/** What annotations say that nobody reads, that will go, or that has no effect. */
export function findAnnotationDoubts(annotations: Annotations): readonly AnnotationDoubt[] {
  return Object.keys(annotations).filter(isDoubtful).map(describeDoubt);
}

function isDoubtful(name: string): boolean {
  const rule = ruleOf(name);
  if (rule !== undefined) return (rule.unimplemented ?? rule.onlyEnvoy ?? rule.deprecated) !== undefined;
  return OURS.test(name) && !Object.hasOwn(WRITTEN_ANNOTATIONS, name);
}

function describeDoubt(annotation: string): AnnotationDoubt {
  const rule = ruleOf(annotation);
  const accepted = `${UNIMPLEMENTED_MARK} annotation ${annotation}: accepted, but`;
  if (rule?.unimplemented !== undefined) {
    return { annotation, kind: 'without effect', message: `${accepted} does not work yet: ${rule.unimplemented}` };
  }
  if (rule?.onlyEnvoy !== undefined) {
    return { annotation, kind: 'without effect', message: `${accepted} only Envoy follows it: ${rule.onlyEnvoy}` };
  }
  if (rule?.deprecated !== undefined) {
    return {
      annotation,
      kind: 'deprecated',
      message: `annotation ${annotation} is deprecated; use ${rule.deprecated}`,
    };
  }
  const near = nearestName(annotation, Object.keys(READ_ANNOTATIONS));
  const hint = near === undefined ? '' : `; did you mean ${near}?`;
  return { annotation, kind: 'unknown', message: `annotation ${abridge(annotation)} has no effect${hint}` };
}
