import type { Container, Pod } from '@meltemi/kube';
import { INIT_CONTAINER_NAME, VALIDATION_CONTAINER_NAME } from '../sidecar/capture-container.ts';
import { PROXY_CONTAINER_NAME } from '../sidecar/sidecar-input.ts';

/**
 * Brings containers into the order in which they must start.
 *
 * A native sidecar comes first, after capture, so that the pod's own init containers speak through it. Otherwise
 * capture comes last, since there is no proxy yet to speak through; a check of capture comes first, so that nothing
 * runs without. The proxy comes after the application, whose container then is the default of `kubectl`, unless it must
 * hold the application back.
 *
 * @param isHolding Whether the proxy comes before the application.
 */
export function orderContainers(pod: Pod, isHolding: boolean): Pod {
  const { containers, initContainers = [] } = pod.spec;
  const isNative = initContainers.some(({ name }) => name === PROXY_CONTAINER_NAME);
  const first = isNative
    ? [INIT_CONTAINER_NAME, VALIDATION_CONTAINER_NAME, PROXY_CONTAINER_NAME]
    : [VALIDATION_CONTAINER_NAME];
  const init = move(initContainers, first, isNative ? [] : [INIT_CONTAINER_NAME]);
  const proxy = [PROXY_CONTAINER_NAME];
  return {
    ...pod,
    spec: {
      ...pod.spec,
      ...(init.length === 0 ? {} : { initContainers: init }),
      containers: isHolding ? move(containers, proxy, []) : move(containers, [], proxy),
    },
  };
}

function move(
  containers: readonly Container[],
  first: readonly string[],
  last: readonly string[],
): readonly Container[] {
  const pick = (names: readonly string[]): readonly Container[] =>
    names.flatMap((name) => containers.find((container) => container.name === name) ?? []);
  const others = containers.filter(({ name }) => !first.includes(name) && !last.includes(name));
  return [...pick(first), ...others, ...pick(last)];
}
