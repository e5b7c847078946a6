import { buildProxyContainer } from '../sidecar/proxy-container.ts';
import type { SidecarInput } from '../sidecar/sidecar-input.ts';
import { buildSidecarVolumes } from '../sidecar/sidecar-volumes.ts';
import { defaultContainer } from './built-in-sidecar.ts';
import { canonicalLabels, imagePullSecrets } from './canonical-labels.ts';
import type { PodOverlay } from './pod-overlay.ts';

/**
 * The template `gateway`: the proxy is the pod's application. The pod brings a container `istio-proxy` with image
 * `auto`, and what it says of it is kept.
 */
export function renderGateway(input: SidecarInput): PodOverlay {
  const { volumes, mounts } = buildSidecarVolumes(input);
  return {
    metadata: {
      labels: canonicalLabels(input),
      annotations: { 'istio.io/rev': input.config.revision, ...defaultContainer(input) },
    },
    spec: {
      containers: [{ ...buildProxyContainer(input, 'router'), volumeMounts: mounts }],
      volumes,
      // Gateways listen on 80 and 443 without being root.
      ...(input.pod.spec.securityContext === undefined
        ? { securityContext: { sysctls: [{ name: 'net.ipv4.ip_unprivileged_port_start', value: '0' }] } }
        : {}),
      ...imagePullSecrets(input),
    },
  };
}
