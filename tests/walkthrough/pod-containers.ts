/** What tests read of the state of one container. */
export interface ContainerFacts {
  readonly name: string;
  readonly restartCount: number;
  readonly ready: boolean;
  readonly state: { readonly waiting?: { readonly reason: string; readonly message: string } };
}

/** The part of a pod's status that tells of containers. */
export interface ContainerStatuses {
  readonly initContainerStatuses?: readonly ContainerFacts[];
  readonly containerStatuses: readonly ContainerFacts[];
}

/** The containers that run as long as the pod does: its own, and a native sidecar, which Kubernetes lists as an init container. */
export function lastingContainers(status: ContainerStatuses): readonly ContainerFacts[] {
  const sidecars = status.initContainerStatuses?.filter(({ name }) => name === 'istio-proxy') ?? [];
  return [...sidecars, ...status.containerStatuses];
}
