import { buildCaptureContainer } from '../sidecar/capture-container.ts';
import { buildProxyContainer } from '../sidecar/proxy-container.ts';
import type { SidecarInput } from '../sidecar/sidecar-input.ts';
import { buildSidecarVolumes } from '../sidecar/sidecar-volumes.ts';
import { canonicalLabels, imagePullSecrets } from './canonical-labels.ts';
import type { PodOverlay } from './pod-overlay.ts';

/** The template `sidecar`: a proxy beside the pod's containers, through which their traffic goes. */
export function renderSidecar(input: SidecarInput): PodOverlay {
  const { placement, interceptionMode } = input;
  const { volumes, mounts } = buildSidecarVolumes(input);
  const proxy = { ...buildProxyContainer(input, 'sidecar'), volumeMounts: mounts };
  const capture = interceptionMode === 'NONE' ? [] : [buildCaptureContainer(input)];
  const isNative = placement === 'native';
  const initContainers = isNative ? [...capture, proxy] : capture;
  return {
    metadata: {
      labels: {
        'security.istio.io/tlsMode': input.pod.metadata.labels?.['security.istio.io/tlsMode'] ?? 'istio',
        ...canonicalLabels(input),
      },
      annotations: { 'istio.io/rev': input.config.revision, ...defaultContainer(input) },
    },
    spec: {
      ...(initContainers.length === 0 ? {} : { initContainers }),
      ...(isNative ? {} : { containers: [proxy] }),
      volumes,
      ...imagePullSecrets(input),
    },
  };
}

/** `kubectl logs` and `kubectl exec` without a container mean the application. */
export function defaultContainer({ annotations, applicationContainers }: SidecarInput): Record<string, string> {
  const [first] = applicationContainers;
  if (first === undefined) return {};
  const names = ['kubectl.kubernetes.io/default-logs-container', 'kubectl.kubernetes.io/default-container'];
  return Object.fromEntries(names.map((name) => [name, annotations[name] ?? first]));
}
