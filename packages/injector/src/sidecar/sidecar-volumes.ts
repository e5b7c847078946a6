import type { Volume, VolumeMount } from '@meltemi/kube';

/** Lifetime of the token that the sidecar proves itself with: 12 hours; kubelets replace it in time. */
const TOKEN_EXPIRATION_SECONDS = 43_200;

/** A volume of the sidecar and where it is mounted. */
interface SidecarVolume {
  readonly volume: Volume;
  readonly mountPath: string;
}

const VOLUMES: readonly SidecarVolume[] = [
  { volume: { name: 'workload-socket', emptyDir: {} }, mountPath: '/var/run/secrets/workload-spiffe-uds' },
  { volume: { name: 'credential-socket', emptyDir: {} }, mountPath: '/var/run/secrets/credential-uds' },
  { volume: { name: 'workload-certs', emptyDir: {} }, mountPath: '/var/run/secrets/workload-spiffe-credentials' },
  {
    volume: { name: 'istiod-ca-cert', configMap: { name: 'istio-ca-root-cert' } },
    mountPath: '/var/run/secrets/istio',
  },
  { volume: { name: 'istio-data', emptyDir: {} }, mountPath: '/var/lib/istio/data' },
  { volume: { name: 'istio-envoy', emptyDir: { medium: 'Memory' } }, mountPath: '/etc/istio/proxy' },
  {
    volume: {
      name: 'istio-token',
      projected: {
        sources: [
          {
            serviceAccountToken: {
              audience: 'istio-ca',
              expirationSeconds: TOKEN_EXPIRATION_SECONDS,
              path: 'istio-token',
            },
          },
        ],
      },
    },
    mountPath: '/var/run/secrets/tokens',
  },
  {
    volume: {
      name: 'istio-podinfo',
      downwardAPI: {
        items: [
          { path: 'labels', fieldRef: { fieldPath: 'metadata.labels' } },
          { path: 'annotations', fieldRef: { fieldPath: 'metadata.annotations' } },
        ],
      },
    },
    mountPath: '/etc/istio/pod',
  },
];

/** The volumes that injection adds to a pod. */
export const SIDECAR_VOLUMES: readonly Volume[] = VOLUMES.map(({ volume }) => volume);

/** Where the sidecar's container mounts them. */
export const SIDECAR_VOLUME_MOUNTS: readonly VolumeMount[] = VOLUMES.map(({ volume, mountPath }) => ({
  name: volume.name,
  mountPath,
}));
