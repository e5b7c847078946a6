import { type LabelSelector, matchLabelSelector, type PodSpec } from '@meltemi/kube';
import type { InjectorConfig } from './injector-config.ts';

/** Label, formerly annotation, with which a pod asks for or refuses a sidecar. */
export const INJECT_NAME = 'sidecar.istio.io/inject';

/** Namespaces whose pods never get a sidecar. */
export const IGNORED_NAMESPACES: ReadonlySet<string> = new Set([
  'kube-system',
  'kube-public',
  'kube-node-lease',
  'local-path-storage',
]);

/** What the decision looks at. */
export interface InjectionCandidate {
  readonly namespace: string;
  readonly labels: Readonly<Record<string, string>>;
  readonly annotations: Readonly<Record<string, string>>;
  readonly spec: Pick<PodSpec, 'hostNetwork'>;
}

/** Whether a pod gets a sidecar, and why. */
export interface InjectionDecision {
  readonly inject: boolean;
  readonly reason: string;
  /** For the user who created the pod. */
  readonly warning?: string;
  /** For the operator: the injector's configuration cannot be followed. */
  readonly problem?: string;
}

type DecisionConfig = Pick<InjectorConfig, 'policy' | 'neverInjectSelectors' | 'alwaysInjectSelectors'>;

/**
 * Decides about a pod that the webhook's selectors let through.
 *
 * @see istio: pkg/kube/inject/inject.go
 */
export function decideInjection(pod: InjectionCandidate, config: DecisionConfig): InjectionDecision {
  if (pod.spec.hostNetwork === true) return skip('the pod uses the network of its node');
  if (IGNORED_NAMESPACES.has(pod.namespace)) return skip(`pods of namespace ${pod.namespace} are never injected`);
  const wish = pod.labels[INJECT_NAME] ?? pod.annotations[INJECT_NAME];
  if (wish === 'true') return { inject: true, reason: `the pod asks for it (${INJECT_NAME})` };
  if (wish === 'false') return skip(`the pod refuses it (${INJECT_NAME})`);
  const decision = decideBySelectors(pod.labels, config);
  if (wish === undefined) return decision;
  return { ...decision, warning: `${INJECT_NAME} is "${wish}", which counts as absent; use "true" or "false"` };
}

function decideBySelectors(labels: Readonly<Record<string, string>>, config: DecisionConfig): InjectionDecision {
  const matches = (selector: LabelSelector): boolean => matchLabelSelector(selector, labels);
  if (config.neverInjectSelectors.some(matches)) return skip('a neverInjectSelector matches');
  if (config.alwaysInjectSelectors.some(matches)) return { inject: true, reason: 'an alwaysInjectSelector matches' };
  if (config.policy === 'enabled') return { inject: true, reason: 'the policy is enabled' };
  if (config.policy === 'disabled') return skip('the policy is disabled');
  const problem = `the injector's policy is "${config.policy}"; it must be "enabled" or "disabled"`;
  return { ...skip(problem), problem };
}

function skip(reason: string): InjectionDecision {
  return { inject: false, reason };
}
