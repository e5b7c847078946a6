import { stringify } from 'yaml';
import { BASE_CHART } from './charts/base-chart.ts';
import { CONTROL_PLANE_CHART } from './charts/control-plane-chart.ts';
import { type ManifestObject, SYSTEM_NAMESPACE, systemNamespace } from './manifest-object.ts';
import { renderChart } from './template/evaluate.ts';
import type { JsonMap } from './template/values-table.ts';

/** What an installation of the control plane can be given. */
export interface ControlPlaneManifestOptions {
  /** The cluster that it runs in; also how that cluster is known in the mesh. */
  readonly clusterName: string;
  /** The network that the cluster is on. Default: the mesh has one network, without a name. */
  readonly network?: string | undefined;
  /** Further values of the chart `control-plane`. */
  readonly values?: JsonMap | undefined;
}

/** Everything that a cluster with a control plane needs, in the order in which it is applied. */
export function controlPlaneManifests(options: ControlPlaneManifestOptions): readonly ManifestObject[] {
  const { clusterName, network, values = {} } = options;
  const global = { multiCluster: { clusterName }, ...(network === undefined ? {} : { network }) };
  const installation = { namespace: SYSTEM_NAMESPACE, releaseName: 'istiod' };
  return [
    systemNamespace({ network }),
    ...renderChart(BASE_CHART, { ...installation, values: [] }).objects,
    ...renderChart(CONTROL_PLANE_CHART, { ...installation, values: [{ global }, values] }).objects,
  ];
}

/** Writes objects as one YAML text. */
export function toYamlText(objects: readonly ManifestObject[]): string {
  return objects.map((object) => stringify(object, { lineWidth: 0, aliasDuplicateObjects: false })).join('---\n');
}
