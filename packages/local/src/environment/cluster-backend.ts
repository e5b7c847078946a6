import type { ClusterConfig, ComponentCommand } from '../supervisor/index.ts';

/** Somebody who calls the API with a certificate and a kubeconfig of its own. */
export interface ClusterIdentity {
  /** Name of its files, without ending: `<name>.kubeconfig`, `pki/<name>.crt` and `.key`. */
  readonly file: string;
  readonly commonName: string;
  readonly organization?: string;
}

/** Other programs for the clusters of an environment than the embedded API server and controllers. */
export interface ClusterBackend {
  /** Who calls the API beside those that the embedded parts have. */
  readonly identities: readonly ClusterIdentity[];
  /**
   * The processes of one cluster. The API has to be served at the node's address, port 6443, and at the inherited
   * descriptor, on which the host's clients arrive.
   *
   * @param embedded What would run otherwise, to take parts over from.
   */
  components(
    cluster: Omit<ClusterConfig, 'components'>,
    embedded: readonly ComponentCommand[],
  ): readonly ComponentCommand[];
}
