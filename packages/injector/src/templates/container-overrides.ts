import type { Container, Pod } from '@meltemi/kube';
import type { ContainerOverrides } from '../saved-state.ts';
import { INIT_CONTAINER_NAME, VALIDATION_CONTAINER_NAME } from '../sidecar/capture-container.ts';
import { PROXY_CONTAINER_NAME } from '../sidecar/sidecar-input.ts';
import { mergeOverlay, type PodOverlay } from './pod-overlay.ts';

/** As the image of a container that a template has too: the template's image. */
const AUTO_IMAGE = 'auto';

/** A pod after its own containers were merged over those of templates, and what those are. */
export interface OverriddenPod {
  readonly pod: Pod;
  readonly overrides: ContainerOverrides;
}

/**
 * Merges the pod's own containers over those of the same name that templates brought: templates were merged over the
 * pod, but about a container what the pod itself says wins.
 *
 * @param merged The pod with all templates merged over it.
 * @param original The pod as its owner made it.
 * @param rendered Everything that templates said.
 */
export function applyOverrides(merged: Pod, original: Pod, rendered: PodOverlay): OverriddenPod {
  const own = [...original.spec.containers, ...(original.spec.initContainers ?? [])];
  const find = (templates: readonly Container[] | undefined): readonly Container[] =>
    (templates ?? []).flatMap(({ name }) => own.find((container) => container.name === name) ?? []);
  const containers = find(rendered.spec?.containers);
  const initContainers = find(rendered.spec?.initContainers);
  if (containers.length === 0 && initContainers.length === 0) return { pod: merged, overrides: {} };
  const pod = mergeOverlay(withoutMoved(merged, movedOf(original, rendered, initContainers)), {
    spec: {
      ...keep('containers', containers.map(withoutAutoImage)),
      ...keep('initContainers', initContainers.map(withoutAutoImage)),
    },
  });
  return {
    pod: adjustUsers(
      pod,
      own.find(({ name }) => name === PROXY_CONTAINER_NAME),
    ),
    overrides: {
      ...keep('containers', [...containers, ...movedOf(original, rendered, initContainers)]),
      ...keep(
        'initContainers',
        initContainers.filter(({ name }) => original.spec.initContainers?.some((own) => own.name === name)),
      ),
    },
  };
}

/** Containers of the pod that templates have made init containers, as a native sidecar is. */
function movedOf(original: Pod, rendered: PodOverlay, initContainers: readonly Container[]): readonly Container[] {
  const stays = (name: string): boolean => rendered.spec?.containers?.some((other) => other.name === name) === true;
  return initContainers.filter(
    ({ name }) => !stays(name) && original.spec.containers.some((container) => container.name === name),
  );
}

function withoutMoved(merged: Pod, moved: readonly Container[]): Pod {
  const containers = merged.spec.containers.filter(({ name }) => !moved.some((container) => container.name === name));
  return { ...merged, spec: { ...merged.spec, containers } };
}

function withoutAutoImage(container: Container): Container {
  const { image, ...rest } = container;
  return image === AUTO_IMAGE ? rest : container;
}

function keep(name: keyof ContainerOverrides, list: readonly Container[]): ContainerOverrides {
  return list.length === 0 ? {} : { [name]: list };
}

/**
 * Capture rules know the sidecar's traffic by its user: where the pod gives the sidecar another one, the rules follow,
 * and so does the container that checks them. A transparent sidecar must be root; rules cannot name root.
 */
function adjustUsers(pod: Pod, own: Container | undefined): Pod {
  const { runAsUser, runAsGroup } = own?.securityContext ?? {};
  if (runAsUser === undefined && runAsGroup === undefined) return pod;
  const isTransparent = (pod.spec.initContainers ?? []).some(({ args = [] }) => argumentOf(args, '-m') === 'TPROXY');
  const adjust = (container: Container): Container => {
    if (container.name === PROXY_CONTAINER_NAME && isTransparent && runAsUser !== undefined) {
      return { ...container, securityContext: { ...container.securityContext, runAsUser: 0, runAsNonRoot: false } };
    }
    if (container.name !== INIT_CONTAINER_NAME && container.name !== VALIDATION_CONTAINER_NAME) return container;
    const ids = {
      ...(runAsUser === undefined ? {} : { runAsUser }),
      ...(runAsGroup === undefined ? {} : { runAsGroup }),
    };
    return {
      ...container,
      ...(runAsUser === undefined || runAsUser === 0 ? {} : { args: withUser(container.args ?? [], runAsUser) }),
      ...(container.name === VALIDATION_CONTAINER_NAME && !isTransparent
        ? { securityContext: { ...container.securityContext, ...ids } }
        : {}),
    };
  };
  const { containers, initContainers } = pod.spec;
  return {
    ...pod,
    spec: {
      ...pod.spec,
      containers: containers.map(adjust),
      ...(initContainers === undefined ? {} : { initContainers: initContainers.map(adjust) }),
    },
  };
}

function argumentOf(args: readonly string[], flag: string): string | undefined {
  const index = args.indexOf(flag);
  return index < 0 ? undefined : args[index + 1];
}

function withUser(args: readonly string[], user: number): readonly string[] {
  const index = args.indexOf('-u');
  return index < 0 ? args : args.with(index + 1, String(user));
}
