import type { Container, EnvVar } from '@meltemi/kube';

/** What {@link pointApplications} depends on. */
export interface ApplicationEnvInput {
  /** Whether kubelets give each pod a second address for its application: the `loopback` sandbox of `meltemi up`. */
  readonly separateAddresses: boolean;
  /** MeshConfig `proxyHttpPort`; 0 when there is no explicit proxy. */
  readonly httpProxyPort: number;
}

/**
 * Tells applications where to listen and which proxy to call through, where neither is captured. The kubelet there gives
 * every container the two addresses; a variable that the manifest sets itself is left alone.
 */
export function pointApplications(
  containers: readonly Container[],
  { separateAddresses, httpProxyPort }: ApplicationEnvInput,
): readonly Container[] {
  if (!separateAddresses) return containers;
  const added: readonly EnvVar[] = [
    { name: 'HOST', value: '$(MELTEMI_APP_ADDRESS)' },
    ...(httpProxyPort === 0 ? [] : [{ name: 'http_proxy', value: `http://$(MELTEMI_POD_ADDRESS):${httpProxyPort}` }]),
  ];
  return containers.map((container) => {
    const own = container.env ?? [];
    const missing = added.filter(({ name }) => !own.some((variable) => variable.name === name));
    return missing.length === 0 ? container : { ...container, env: [...own, ...missing] };
  });
}
