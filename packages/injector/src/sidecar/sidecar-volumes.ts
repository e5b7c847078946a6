import type { Volume, VolumeMount } from '@meltemi/kube';
import { type NamedObject, parseNamedObjects } from '../annotations/value-checks.ts';
import { CUSTOM_BOOTSTRAP_PATH } from './sidecar-env.ts';
import type { SidecarInput } from './sidecar-input.ts';

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
  {
    volume: { name: 'istio-ca-crl', configMap: { name: 'istio-ca-crl', optional: true } },
    mountPath: '/var/run/secrets/istio/crl',
  },
];

/** A pod's volumes for the sidecar, and where its container mounts them. */
export interface SidecarVolumes {
  readonly volumes: readonly Volume[];
  readonly mounts: readonly VolumeMount[];
}

/** The volumes of every sidecar, and those that the pod's annotations ask for. */
export function buildSidecarVolumes({ annotations }: Pick<SidecarInput, 'annotations'>): SidecarVolumes {
  const override = annotations['sidecar.istio.io/bootstrapOverride'];
  const all = override === undefined ? VOLUMES : [...VOLUMES, customBootstrap(override)];
  return {
    // The shapes of a user's volumes are for the API server to check.
    volumes: [...all.map(({ volume }) => volume), ...(named(annotations, 'userVolume') as readonly Volume[])],
    mounts: [
      ...all.map(({ volume, mountPath }) => ({ name: volume.name, mountPath })),
      ...(named(annotations, 'userVolumeMount') as readonly object[] as readonly VolumeMount[]),
    ],
  };
}

function customBootstrap(configMap: string): SidecarVolume {
  return {
    volume: { name: 'custom-bootstrap-volume', configMap: { name: configMap } },
    mountPath: CUSTOM_BOOTSTRAP_PATH,
  };
}

function named(annotations: Readonly<Record<string, string>>, name: string): readonly NamedObject[] {
  return parseNamedObjects(annotations[`sidecar.istio.io/${name}`] ?? '[]') ?? [];
}
