import { err, ok, type Result } from '@meltemi/base';
import type { Pod } from '@meltemi/kube';
import { findAnnotationWarnings } from '../annotations/validate-annotations.ts';
import { decideInjection } from '../decision.ts';
import { injectPod } from '../inject-pod.ts';
import type { InjectorConfig } from '../injector-config.ts';

/** An object of a manifest, as far as it is looked at. */
export interface WorkloadObject {
  readonly apiVersion?: string;
  readonly kind?: string;
  readonly metadata?: Partial<Pod['metadata']>;
}

/** Where workloads have their pod template; a Pod is its own. */
const TEMPLATE_PATHS: Readonly<Record<string, readonly string[]>> = {
  Pod: [],
  Deployment: ['spec', 'template'],
  ReplicaSet: ['spec', 'template'],
  ReplicationController: ['spec', 'template'],
  StatefulSet: ['spec', 'template'],
  DaemonSet: ['spec', 'template'],
  Job: ['spec', 'template'],
  CronJob: ['spec', 'jobTemplate', 'spec', 'template'],
  DeploymentConfig: ['spec', 'template'],
};

/** Groups in which those kinds are the ones meant. */
const GROUPS: ReadonlySet<string> = new Set(['', 'apps', 'extensions', 'batch', 'apps.openshift.io']);

/** Where an object has a pod template; `undefined` for other kinds, and for workloads without one. */
export function findTemplatePath({
  apiVersion = '',
  kind = '',
  ...object
}: WorkloadObject): readonly string[] | undefined {
  const group = apiVersion.includes('/') ? apiVersion.slice(0, apiVersion.indexOf('/')) : '';
  const path = GROUPS.has(group) && Object.hasOwn(TEMPLATE_PATHS, kind) ? TEMPLATE_PATHS[kind] : undefined;
  return path !== undefined && Array.isArray(readTemplate(object, path)?.spec?.containers) ? path : undefined;
}

/** The pods that a workload makes. */
export type WorkloadTemplate = Partial<Pod> & { readonly spec?: Pod['spec'] };

/** What stands at a path that {@link findTemplatePath} gave. */
export function readTemplate(object: object, path: readonly string[]): WorkloadTemplate | undefined {
  const step = (value: unknown, name: string): unknown =>
    typeof value === 'object' && value !== null ? (value as Readonly<Record<string, unknown>>)[name] : undefined;
  const template = path.reduce(step, object as unknown);
  return typeof template === 'object' && template !== null ? (template as WorkloadTemplate) : undefined;
}

/** A pod template after injection. */
export interface InjectedWorkload {
  /** Absent when the pods are to stay without a sidecar. */
  readonly template?: object;
  readonly warnings: readonly string[];
}

/** Adds a sidecar to the pod template of a workload, as the webhook would to its pods. */
export function injectWorkload(
  object: WorkloadObject,
  path: readonly string[],
  config: InjectorConfig,
): Result<InjectedWorkload> {
  const { kind = '', apiVersion = 'v1', metadata = {} } = object;
  const name = metadata.name ?? metadata.generateName ?? '';
  const title = `${kind} ${name}`;
  const template = readTemplate(object, path) as WorkloadTemplate & { readonly spec: Pod['spec'] };
  const namespace = metadata.namespace ?? 'default';
  const meta = { ...template.metadata, name: template.metadata?.name ?? '' };
  const { labels = {}, annotations = {} } = meta;
  // Whoever calls for injection wants it: the policy is for pods that nobody asked about.
  const decision = decideInjection(
    { namespace, labels, annotations, spec: template.spec },
    { ...config, policy: 'enabled' },
  );
  if (!decision.inject) return ok({ warnings: [`${title} stays without sidecar: ${decision.reason}`] });
  const pod: Pod = { apiVersion: 'v1', kind: 'Pod', metadata: meta, spec: template.spec };
  const injected = injectPod(pod, namespace, config, { apiVersion, kind, name: metadata.name ?? name });
  if (!injected.ok) return err(`${title}: ${injected.error}`);
  const warnings = [
    ...(decision.warning === undefined ? [] : [decision.warning]),
    ...findAnnotationWarnings(annotations),
  ];
  const result = {
    ...template,
    metadata: withoutEmptyName(injected.value.metadata, template),
    spec: injected.value.spec,
  };
  return ok({ template: JSON.parse(JSON.stringify(result)), warnings: warnings.map((text) => `${title}: ${text}`) });
}

function withoutEmptyName(metadata: Pod['metadata'], template: WorkloadTemplate): object {
  const { name, ...others } = metadata;
  return template.metadata?.name === undefined ? others : { name, ...others };
}
