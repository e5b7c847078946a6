import type { Container, Pod, PodSpec } from '@meltemi/kube';
import type { PodOverlay } from './pod-overlay.ts';

/** What templates have made of a pod so far. */
export interface MergeState {
  readonly merged: Pod;
  /** What they said, without the pod. */
  readonly rendered: PodOverlay;
}

/**
 * Lets templates speak of one container although some of them have it among the containers and others, since it is a
 * native sidecar, among the init containers: a template that adds a variable to `istio-proxy` need not know which. The
 * container ends up among the init containers.
 */
export function alignContainers(
  { merged, rendered }: MergeState,
  overlay: PodOverlay,
): MergeState & { readonly overlay: PodOverlay } {
  const isInit = nameTest(rendered.spec?.initContainers);
  const becomesInit = nameTest(overlay.spec?.initContainers);
  const isContainer = nameTest(rendered.spec?.containers);
  return {
    overlay: withSpec(
      overlay,
      moveToInit(overlay.spec ?? {}, (name) => isInit(name) && !isContainer(name)),
    ),
    rendered: withSpec(rendered, moveToInit(rendered.spec ?? {}, becomesInit)),
    merged: {
      ...merged,
      spec: { ...merged.spec, ...moveToInit(merged.spec, (name) => becomesInit(name) && isContainer(name)) },
    },
  };
}

function nameTest(containers: readonly Container[] | undefined): (name: string) => boolean {
  return (name) => containers?.some((container) => container.name === name) === true;
}

function withSpec(overlay: PodOverlay, spec: Partial<PodSpec>): PodOverlay {
  return Object.keys(spec).length === 0 ? overlay : { ...overlay, spec: { ...overlay.spec, ...spec } };
}

/** The two lists after the move; nothing when there is nothing to move. */
function moveToInit(
  { containers = [], initContainers = [] }: Partial<PodSpec>,
  isMoved: (name: string) => boolean,
): Partial<Pick<PodSpec, 'containers' | 'initContainers'>> {
  const moved = containers.filter(({ name }) => isMoved(name));
  if (moved.length === 0) return {};
  return {
    containers: containers.filter(({ name }) => !isMoved(name)),
    initContainers: [...initContainers, ...moved],
  };
}
