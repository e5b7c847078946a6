import { err, nearestName, ok, type Result } from '@meltemi/base';
import type { SidecarInput } from '../sidecar/sidecar-input.ts';
import { renderGateway } from './built-in-gateway.ts';
import { renderGrpcAgent } from './built-in-grpc-agent.ts';
import { renderGrpcSimple } from './built-in-grpc-simple.ts';
import { renderSidecar } from './built-in-sidecar.ts';
import type { PodOverlay } from './pod-overlay.ts';

/** What a template makes of a pod, or why it cannot. */
export type PodTemplate = (input: SidecarInput) => Result<PodOverlay>;

/** The templates in force, and which a pod gets that names none. */
export interface TemplateSet {
  readonly templates: ReadonlyMap<string, PodTemplate>;
  /** Names that stand for one or more templates. */
  readonly aliases: Readonly<Record<string, readonly string[]>>;
  readonly defaults: readonly string[];
}

/** Templates that are there without configuration, by name. */
export const BUILT_IN_TEMPLATES: ReadonlyMap<string, PodTemplate> = new Map<string, PodTemplate>([
  ['sidecar', (input) => ok(renderSidecar(input))],
  ['gateway', (input) => ok(renderGateway(input))],
  ['grpc-agent', (input) => ok(renderGrpcAgent(input))],
  ['grpc-simple', (input) => ok(renderGrpcSimple(input))],
]);

/** The built-in templates, with `sidecar` for pods that name none. */
export const DEFAULT_TEMPLATE_SET: TemplateSet = {
  templates: BUILT_IN_TEMPLATES,
  aliases: {},
  defaults: ['sidecar'],
};

/** Templates that one pod may name: each is rendered, and what it gives merged into the pod. */
const MAX_NAMES = 16;

/**
 * The templates of a pod, in order: those that the annotation `inject.istio.io/templates` names, or the default ones. Of
 * one that is named twice the last mention counts, since what it says would be said last.
 */
export function selectTemplates(
  { templates, aliases, defaults }: TemplateSet,
  annotation: string | undefined,
): Result<readonly PodTemplate[]> {
  const named = annotation === undefined ? defaults : distinct(annotation.split(',').map((name) => name.trim()));
  if (named.length > MAX_NAMES) {
    return err(`inject.istio.io/templates has ${named.length} names; a pod may have at most ${MAX_NAMES} templates`);
  }
  const names = distinct(named.flatMap((name) => (Object.hasOwn(aliases, name) ? (aliases[name] ?? []) : [name])));
  const selected: PodTemplate[] = [];
  for (const name of names) {
    const template = templates.get(name);
    if (template === undefined) return err(unknownTemplate(name, [...templates.keys(), ...Object.keys(aliases)]));
    selected.push(template);
  }
  return ok(selected);
}

function distinct(names: readonly string[]): readonly string[] {
  return [...new Set(names.toReversed())].toReversed();
}

function unknownTemplate(name: string, known: readonly string[]): string {
  const near = nearestName(name, known);
  const hint = near === undefined ? '' : `; did you mean "${near}"?`;
  return `there is no template "${name}"; known: ${known.toSorted().join(', ')}${hint}`;
}
