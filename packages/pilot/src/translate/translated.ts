import { type ConfigResource, configKey, type Service } from '@meltemi/model';

/** One thing that a resource was made from. */
export interface SourceRef {
  /** `<kind>/<namespace>/<name>`. */
  readonly resourceKey: string;
  /** Path inside the object, such as `spec.http[0]`; empty for all of it. */
  readonly fieldPath: string;
}

/** An Envoy resource and where it came from. */
export interface Translated<Resource> {
  readonly name: string;
  readonly resource: Resource;
  readonly sources: readonly SourceRef[];
}

/** Refers to a resource of configuration, or a part of it. */
export function configSource(resource: ConfigResource, fieldPath = ''): SourceRef {
  return { resourceKey: configKey(resource), fieldPath };
}

/** Refers to the object that a service was made from. */
export function serviceSource(service: Service, fieldPath = ''): SourceRef {
  return { resourceKey: service.attributes.sourceKey, fieldPath };
}

/** The path under which Istio's tools know a resource: cluster and route metadata `istio.config`. */
export function configPath(resource: ConfigResource): string {
  const kind = resource.kind.replace(/(?<=[a-z])(?=[A-Z])/g, '-').toLowerCase();
  return `/apis/${resource.apiVersion}/namespaces/${resource.namespace}/${kind}/${resource.name}`;
}
