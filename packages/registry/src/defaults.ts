/** Kubeconfigs longer than this are not looked at: a Secret can hold no more. */
export const MAX_KUBECONFIG_BYTES: number = 1024 * 1024;

/** Remote clusters that one control plane follows at most: each costs five watches and their connections. */
export const MAX_REMOTE_CLUSTERS = 1000;

/** How long readiness waits for the clusters that are there at start. Istio's `PILOT_REMOTE_CLUSTER_TIMEOUT`. */
export const DEFAULT_SYNC_TIMEOUT_MS = 30_000;

/** So long the sidecars of a cluster that has left serve those who still call them; after 5 s nothing of it may be left. */
export const DEPARTURE_MS = 2_000;
