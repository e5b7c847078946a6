import { BASE_CHART } from './charts/base-chart.ts';
import { REMOTE_CHART } from './charts/remote-chart.ts';
import { type ManifestObject, READER_SERVICE_ACCOUNT, SYSTEM_NAMESPACE } from './manifest-object.ts';
import type { Chart } from './template/chart.ts';
import { renderChart } from './template/evaluate.ts';
import type { JsonMap } from './template/values-table.ts';

/** Which account of which namespace reads a cluster for the control plane of another. */
export interface ReaderAccessOptions {
  /** Default `istio-system`. */
  readonly namespace?: string;
  /** Default `istio-reader-service-account`. */
  readonly serviceAccount?: string;
}

/** The account whose token the control plane of another cluster uses, and what it may do here: a part of the charts. */
export function readerAccess(options: ReaderAccessOptions = {}): readonly ManifestObject[] {
  const { namespace = SYSTEM_NAMESPACE, serviceAccount = READER_SERVICE_ACCOUNT } = options;
  const objects = [
    ...renderPart({ chart: BASE_CHART, file: 'reader-account', namespace, values: {} }),
    ...renderPart({ chart: REMOTE_CHART, file: 'reader-access', namespace, values: { global: CLUSTER } }),
  ];
  return serviceAccount === READER_SERVICE_ACCOUNT
    ? objects
    : objects.map((object) => forAccount(object, serviceAccount));
}

/** The account of a control plane that runs elsewhere and reads its configuration here. */
export function controlPlaneAccess(): readonly ManifestObject[] {
  const global = { ...CLUSTER, configCluster: true };
  return renderPart({
    chart: REMOTE_CHART,
    file: 'config-cluster-access',
    namespace: SYSTEM_NAMESPACE,
    values: { global },
  });
}

/** Roles do not depend on it, but the chart asks for one. */
const CLUSTER = { multiCluster: { clusterName: 'any' } };

interface Part {
  readonly chart: Chart;
  readonly file: string;
  readonly namespace: string;
  readonly values: JsonMap;
}

function renderPart({ chart, file, namespace, values }: Part): readonly ManifestObject[] {
  const files = chart.files.filter(({ name }) => name === file);
  return renderChart({ ...chart, files }, { namespace, releaseName: 'access', values: [values] }).objects;
}

/** The same for another account; under names of its own, since two bindings of one name would overwrite each other. */
function forAccount(object: ManifestObject, account: string): ManifestObject {
  const { kind, metadata } = object;
  const name = kind === 'ServiceAccount' ? account : `${metadata.name}-${account}`;
  const renamed = { ...object, metadata: { ...metadata, name } };
  if (!kind.endsWith('Binding')) return renamed;
  const subjects = object['subjects'] as readonly object[];
  const roleRef = object['roleRef'] as object;
  return {
    ...renamed,
    roleRef: { ...roleRef, name },
    subjects: subjects.map((subject) => ({ ...subject, name: account })),
  };
}
