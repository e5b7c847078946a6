/** Since this minor version of Kubernetes 1 native sidecars are a settled part of it. */
const FIRST_MINOR = 33;

/**
 * Decides whether a cluster's proxies become native sidecars unless their pods say otherwise.
 *
 * @param setting `true`, `false`, or `auto`; anything else counts as `auto`.
 * @param kubeletVersions Of all nodes of the cluster, such as `v1.33.0`; one that is too old, or that cannot be read,
 *   decides for all, since a pod may be scheduled anywhere. While no node is known `auto` says no.
 * @see Istio, `ENABLE_NATIVE_SIDECARS`
 */
export function useNativeSidecars(setting: string, kubeletVersions: readonly string[]): boolean {
  if (setting === 'true' || setting === 'false') return setting === 'true';
  return kubeletVersions.length > 0 && kubeletVersions.every(supportsNativeSidecars);
}

function supportsNativeSidecars(version: string): boolean {
  const [, major, minor] = /^v?(\d+)\.(\d+)/.exec(version) ?? [];
  return Number(major) > 1 || (Number(major) === 1 && Number(minor) >= FIRST_MINOR);
}
