import { err, ok, type Result } from '@meltemi/base';
import { type Container, type Pod, type ResourceRequirements } from '@meltemi/kube';
import { parseQuantity } from './quantity.ts';

/** What a pod may be told about itself besides its own object. */
export interface PodFacts {
  readonly podIp: string;
  readonly hostIp: string;
  readonly nodeName: string;
  /** What `limits` mean where the container sets none. */
  readonly cpuCount: number;
  readonly memoryBytes: number;
}

/** One `key="value"` per line, sorted, the value with Go's escapes, as in the files of a downwardAPI volume. */
function formatMap(map: Readonly<Record<string, string>> = {}): string {
  return Object.entries(map)
    .toSorted(([left], [right]) => (left < right ? -1 : 1))
    .map(([key, value]) => `${key}=${JSON.stringify(value)}`)
    .join('\n');
}

/**
 * Evaluates a `fieldRef` of a variable or a downwardAPI file.
 *
 * @see Kubernetes, pkg/fieldpath
 */
export function resolveField(pod: Pod, fieldPath: string, facts: PodFacts): Result<string> {
  const { metadata, spec } = pod;
  const subscript = /^metadata\.(labels|annotations)\['(.*)'\]$/.exec(fieldPath);
  if (subscript !== null) return ok(metadata[subscript[1] as 'labels' | 'annotations']?.[subscript[2] as string] ?? '');
  switch (fieldPath) {
    case 'metadata.name':
      return ok(metadata.name);
    case 'metadata.namespace':
      return ok(metadata.namespace ?? '');
    case 'metadata.uid':
      return ok(metadata.uid ?? '');
    case 'metadata.labels':
      return ok(formatMap(metadata.labels));
    case 'metadata.annotations':
      return ok(formatMap(metadata.annotations));
    case 'spec.nodeName':
      return ok(facts.nodeName);
    case 'spec.serviceAccountName':
      return ok(spec.serviceAccountName ?? 'default');
    case 'status.podIP':
    case 'status.podIPs':
      return ok(facts.podIp);
    case 'status.hostIP':
    case 'status.hostIPs':
      return ok(facts.hostIp);
    default:
      return err(`Cannot read field ${fieldPath} of the pod: it is not one of those that pods may refer to`);
  }
}

function resourceValue(resources: ResourceRequirements, resource: string, facts: PodFacts): number {
  const [kind, name = ''] = resource.split(/\.(.*)/) as [string, string?];
  const given = kind === 'requests' ? resources.requests?.[name] : resources.limits?.[name];
  const value = given === undefined ? undefined : parseQuantity(given);
  if (value !== undefined) return value;
  if (kind === 'requests') return 0;
  return name === 'cpu' ? facts.cpuCount : name === 'memory' ? facts.memoryBytes : 0;
}

/** Evaluates a `resourceFieldRef`: a whole number of divisors, rounded up. */
export function resolveResourceField(
  containers: readonly Container[],
  reference: { readonly containerName?: string; readonly resource: string; readonly divisor?: string },
  facts: PodFacts,
): Result<string> {
  const container = containers.find(({ name }) => name === reference.containerName);
  if (container === undefined) {
    return err(`Cannot read ${reference.resource}: the pod has no container "${reference.containerName ?? ''}"`);
  }
  const divisor = parseQuantity(reference.divisor ?? '1') || 1;
  const value = resourceValue(container.resources ?? {}, reference.resource, facts);
  // Rounded to nine places first: 0.25 / 0.001 must be 250, not 251.
  return ok(String(Math.ceil(Number((value / divisor).toFixed(9)))));
}
