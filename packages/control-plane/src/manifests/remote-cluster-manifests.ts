import { BASE_CHART } from './charts/base-chart.ts';
import { REMOTE_CHART } from './charts/remote-chart.ts';
import {
  CONTROL_PLANE_CLUSTERS_ANNOTATION,
  type ManifestObject,
  SYSTEM_NAMESPACE,
  systemNamespace,
} from './manifest-object.ts';
import { renderChart } from './template/evaluate.ts';
import type { JsonMap } from './template/values-table.ts';

/** What a cluster without a control plane of its own is set up with. */
export interface RemoteClusterManifestOptions {
  /** How the cluster is known in the mesh: the key in its remote secret. */
  readonly clusterName: string;
  /** The cluster whose control plane serves this one; `*` for any. */
  readonly controlPlaneCluster: string;
  /** The network that the cluster is on. Default: the mesh has one network, without a name. */
  readonly network?: string | undefined;
  /** Further values of the chart `remote`. */
  readonly values?: JsonMap | undefined;
}

/**
 * Everything that a cluster needs to be served by the control plane of another, in the order in which it is applied.
 *
 * The Service `istiod` has no selector: the control plane writes its own address behind it once it is attached.
 */
export function remoteClusterManifests(options: RemoteClusterManifestOptions): readonly ManifestObject[] {
  const { clusterName, controlPlaneCluster, network, values = {} } = options;
  const annotations = { [CONTROL_PLANE_CLUSTERS_ANNOTATION]: controlPlaneCluster };
  const global = { multiCluster: { clusterName }, ...(network === undefined ? {} : { network }) };
  const installation = { namespace: SYSTEM_NAMESPACE, releaseName: 'istiod-remote' };
  return [
    systemNamespace({ network, annotations }),
    // Nobody validates here: configuration is read in the control plane's own cluster.
    ...renderChart(BASE_CHART, { ...installation, values: [{ defaultRevision: '' }] }).objects,
    ...renderChart(REMOTE_CHART, { ...installation, values: [{ global }, values] }).objects,
  ];
}
