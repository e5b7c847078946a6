import type { Container, EnvVar } from '@meltemi/kube';
import { fromField } from '../sidecar/sidecar-env.ts';
import { applicationsOf, type SidecarInput } from '../sidecar/sidecar-input.ts';
import type { PodOverlay } from './pod-overlay.ts';

/** Where control planes serve discovery in plaintext. */
const PLAINTEXT_PORT = 15_010;

/** What is known of a pod when it runs. No names that applications use for the same: a variable with two sources is refused. */
const INSTANCE_IP = 'GRPC_XDS_INSTANCE_IP';
const POD_NAME = 'GRPC_XDS_POD_NAME';
const POD_NAMESPACE = 'GRPC_XDS_POD_NAMESPACE';

/**
 * The template `grpc-simple`: no agent, only a bootstrap by which applications whose gRPC library speaks xDS reach the
 * control plane in plaintext. Istio's has an init container that writes the bootstrap into a file; libraries take the
 * document itself as well, in which kubelets fill in what is known of the pod only when it runs.
 *
 * @see gRPC proposal A27, `GRPC_XDS_BOOTSTRAP_CONFIG`
 */
export function renderGrpcSimple(input: SidecarInput): PodOverlay {
  const env: readonly EnvVar[] = [
    fromField(INSTANCE_IP, 'status.podIP'),
    fromField(POD_NAME, 'metadata.name'),
    fromField(POD_NAMESPACE, 'metadata.namespace'),
    { name: 'GRPC_XDS_BOOTSTRAP_CONFIG', value: JSON.stringify(buildBootstrap(input)) },
  ];
  return { spec: { containers: applicationsOf(input.pod).map(({ name }): Container => ({ name, env })) } };
}

function buildBootstrap({ config }: SidecarInput): object {
  const host = config.discoveryAddress.replace(/:\d+$/, '');
  return {
    xds_servers: [
      {
        server_uri: `dns:///${host}:${PLAINTEXT_PORT}`,
        channel_creds: [{ type: 'insecure' }],
        server_features: ['xds_v3'],
      },
    ],
    node: {
      id: `sidecar~$(${INSTANCE_IP})~$(${POD_NAME}).$(${POD_NAMESPACE})~$(${POD_NAMESPACE}).svc.${config.clusterDomain}`,
      metadata: { GENERATOR: 'grpc', NAMESPACE: `$(${POD_NAMESPACE})`, CLUSTER_ID: config.clusterId },
    },
  };
}
