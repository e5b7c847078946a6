import type { PodSpec } from '@meltemi/kube';
import type { SidecarInput } from '../sidecar/sidecar-input.ts';

/** The longest value that a label may have. */
const MAX_LABEL_LENGTH = 63;

/** Labels by which telemetry names the pod's service and version. */
export function canonicalLabels({ pod, workload }: SidecarInput): Readonly<Record<string, string>> {
  const { labels = {} } = pod.metadata;
  const name = labels['service.istio.io/canonical-name'] || labels['app.kubernetes.io/name'] || labels['app'];
  const revision =
    labels['service.istio.io/canonical-revision'] || labels['app.kubernetes.io/version'] || labels['version'];
  return {
    'service.istio.io/canonical-name': toLabelValue(name || workload.name),
    'service.istio.io/canonical-revision': toLabelValue(revision || 'latest'),
  };
}

/** Names of workloads are longer than labels may be, and cut anywhere may end in what a label must not end in. */
function toLabelValue(text: string): string {
  return text.slice(0, MAX_LABEL_LENGTH).replace(/^[-_.]+|[-_.]+$/g, '');
}

/** The Secrets with which the images of templates are pulled. */
export function imagePullSecrets({ config }: Pick<SidecarInput, 'config'>): Pick<PodSpec, 'imagePullSecrets'> {
  const secrets = config.imagePullSecrets.map((name) => ({ name }));
  return secrets.length === 0 ? {} : { imagePullSecrets: secrets };
}
