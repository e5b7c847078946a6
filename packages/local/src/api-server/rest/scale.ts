import { StatusError } from '../errors.ts';
import type { ResourceType, ScalePaths } from '../kinds/resource-type.ts';
import { isJsonObject, type JsonObject, memberAt, objectOf, setMemberAt } from '../objects/json-value.ts';
import type { KubeObject } from '../objects/kube-object.ts';

function selectorText(selector: unknown): string {
  if (!isJsonObject(selector)) return typeof selector === 'string' ? selector : '';
  const pairs = objectOf(selector['matchLabels'] ?? selector);
  return Object.entries(pairs)
    .map(([key, value]) => `${key}=${String(value)}`)
    .join(',');
}

/** The paths of a kind that can be scaled. @throws StatusError `NotFound` for others. */
export function scalePathsOf(type: ResourceType): ScalePaths {
  if (type.scale === undefined)
    throw new StatusError(
      'NotFound',
      `the server could not find the requested resource: ${type.plural} cannot be scaled`,
    );
  return type.scale;
}

/** An object as its scale subresource shows it. */
export function toScale(type: ResourceType, object: KubeObject): JsonObject {
  const paths = scalePathsOf(type);
  const { name, namespace, uid, resourceVersion, creationTimestamp } = object.metadata;
  const selector = paths.selector === undefined ? '' : selectorText(memberAt(object, ...paths.selector));
  return {
    kind: 'Scale',
    apiVersion: 'autoscaling/v1',
    metadata: { name, namespace, uid, resourceVersion, creationTimestamp },
    spec: { replicas: memberAt(object, ...paths.specReplicas) ?? 0 },
    status: { replicas: memberAt(object, ...paths.statusReplicas) ?? 0, ...(selector !== '' && { selector }) },
  };
}

/** Takes the wanted number over from a Scale, in place. */
export function applyScale(type: ResourceType, object: KubeObject, scale: unknown): KubeObject {
  const replicas = memberAt(scale, 'spec', 'replicas') ?? 0;
  if (!Number.isInteger(replicas) || (replicas as number) < 0)
    throw new StatusError(
      'Invalid',
      `Scale "${object.metadata.name}" is invalid: spec.replicas: Invalid value: ${JSON.stringify(replicas)}: must be greater than or equal to 0`,
    );
  setMemberAt(object, scalePathsOf(type).specReplicas, replicas);
  return object;
}
