import type { Container } from '@meltemi/kube';
import { buildProxyContainer } from '../sidecar/proxy-container.ts';
import { applicationsOf, type SidecarInput } from '../sidecar/sidecar-input.ts';
import { buildSidecarVolumes } from '../sidecar/sidecar-volumes.ts';
import { defaultContainer } from './built-in-sidecar.ts';
import { canonicalLabels, imagePullSecrets } from './canonical-labels.ts';
import type { PodOverlay } from './pod-overlay.ts';

/** Where agent and applications share the discovery socket and its bootstrap. */
const SOCKET_MOUNT = { name: 'istio-envoy', mountPath: '/etc/istio/proxy' };
/** Where agent and applications share certificates. */
const CERTIFICATES_MOUNT = { name: 'istio-data', mountPath: '/var/lib/istio/data' };

/** The template `grpc-agent`: an agent without a proxy, for applications whose gRPC library speaks xDS itself. */
export function renderGrpcAgent(input: SidecarInput): PodOverlay {
  const { volumes, mounts } = buildSidecarVolumes(input);
  // Nothing is captured: neither a native sidecar nor transparent sockets are of use.
  const agent = buildProxyContainer(
    { ...input, interceptionMode: 'NONE', placement: agentPlacement(input) },
    'sidecar',
  );
  const env = [
    { name: 'ISTIO_META_GENERATOR', value: 'grpc' },
    { name: 'OUTPUT_CERTS', value: CERTIFICATES_MOUNT.mountPath },
    ...(agent.env ?? []),
    { name: 'ISTIO_META_DNS_CAPTURE', value: 'false' },
    { name: 'DISABLE_ENVOY', value: 'true' },
  ];
  return {
    metadata: {
      labels: canonicalLabels(input),
      annotations: {
        'istio.io/rev': input.config.revision,
        ...defaultContainer(input),
        'sidecar.istio.io/rewriteAppHTTPProbers': 'false',
      },
    },
    spec: {
      containers: [...applicationsOf(input.pod).map(toXdsClient), { ...agent, env, volumeMounts: mounts }],
      volumes,
      ...imagePullSecrets(input),
    },
  };
}

function agentPlacement({ placement }: SidecarInput): SidecarInput['placement'] {
  return placement === 'native' ? 'beside' : placement;
}

function toXdsClient({ name }: Container): Container {
  return {
    name,
    env: [
      { name: 'GRPC_XDS_EXPERIMENTAL_SECURITY_SUPPORT', value: 'true' },
      { name: 'GRPC_XDS_BOOTSTRAP', value: `${SOCKET_MOUNT.mountPath}/grpc-bootstrap.json` },
    ],
    volumeMounts: [CERTIFICATES_MOUNT, SOCKET_MOUNT],
  };
}
