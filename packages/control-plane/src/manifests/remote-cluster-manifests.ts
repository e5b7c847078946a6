import { readerAccess } from './access-rules.ts';
import {
  CONTROL_PLANE_NAME,
  controlPlaneLabels,
  type ManifestObject,
  SERVICE_PORTS,
  SYSTEM_NAMESPACE,
  systemNamespace,
} from './manifest-object.ts';
import { injectionWebhook } from './webhook-configurations.ts';

/** What a cluster without a control plane of its own is set up with. */
export interface RemoteClusterManifestOptions {
  /** How the cluster is known in the mesh: the key in its remote secret. */
  readonly clusterName: string;
  /** The cluster whose control plane serves this one; `*` for any. */
  readonly controlPlaneCluster: string;
  /** The network that the cluster is on. Default: the mesh has one network, without a name. */
  readonly network?: string | undefined;
}

/**
 * Everything that a cluster needs to be served by the control plane of another, in the order in which it is applied.
 *
 * The Service `istiod` has no selector: the control plane writes its own address behind it once it is attached.
 */
export function remoteClusterManifests(options: RemoteClusterManifestOptions): readonly ManifestObject[] {
  const { clusterName, controlPlaneCluster, network } = options;
  const annotations = { 'topology.istio.io/controlPlaneClusters': controlPlaneCluster };
  return [
    systemNamespace({ network, annotations }),
    ...readerAccess(),
    {
      apiVersion: 'v1',
      kind: 'Service',
      metadata: { name: CONTROL_PLANE_NAME, namespace: SYSTEM_NAMESPACE, labels: controlPlaneLabels() },
      spec: { ports: SERVICE_PORTS },
    },
    injectionWebhook({ clusterId: clusterName, network }),
  ];
}
