import type { KubernetesObject } from '@meltemi/api';
import { stableJson } from '@meltemi/base';
import type { ConfigResource, ConfigSource } from '@meltemi/model';

/** The form in which a validated object takes part in the mesh. */
export function toConfigResource(object: KubernetesObject, source: ConfigSource = {}): ConfigResource {
  const { metadata } = object;
  return Object.freeze({
    kind: object.kind,
    apiVersion: object.apiVersion,
    namespace: metadata.namespace ?? 'default',
    name: metadata.name,
    labels: metadata.labels ?? {},
    annotations: metadata.annotations ?? {},
    creationTimestampMs: metadata.creationTimestamp === undefined ? 0 : Date.parse(metadata.creationTimestamp),
    generation: metadata.generation ?? 0,
    resourceVersion: metadata.resourceVersion ?? '',
    spec: object.spec,
    source,
  });
}

/** Back to the form of the API, for analysis and debug pages. */
export function toKubernetesObject<Kind extends string, Spec>(
  resource: ConfigResource<Spec>,
  kind: Kind,
): KubernetesObject<Kind, Spec> {
  const { apiVersion, namespace, name, labels, annotations, generation, resourceVersion, spec } = resource;
  const creationTimestamp = new Date(resource.creationTimestampMs).toISOString();
  const metadata = { namespace, name, labels, annotations, generation, resourceVersion, creationTimestamp };
  return { apiVersion, kind, metadata, spec };
}

/** Whether two versions of a resource mean the same: status and version may differ. */
export function isSameContent(left: ConfigResource, right: ConfigResource): boolean {
  return contentOf(left) === contentOf(right);
}

function contentOf({ resourceVersion: _version, generation: _generation, ...content }: ConfigResource): string {
  return stableJson(content);
}
