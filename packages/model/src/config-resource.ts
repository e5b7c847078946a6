/** Where a resource was written, when it came from a file. */
export interface ConfigSource {
  readonly file?: string | undefined;
  /** 1-based. */
  readonly line?: number | undefined;
}

/** One resource of configuration: VirtualService, DestinationRule, … Frozen. */
export interface ConfigResource<Spec = unknown> {
  readonly kind: string;
  readonly apiVersion: string;
  readonly namespace: string;
  readonly name: string;
  readonly labels: Readonly<Record<string, string>>;
  readonly annotations: Readonly<Record<string, string>>;
  /** Unix milliseconds. */
  readonly creationTimestampMs: number;
  readonly generation: number;
  readonly resourceVersion: string;
  /** The decoded `spec`, with defaults of the API left out. */
  readonly spec: Spec;
  readonly source: ConfigSource;
}

/** What identifies a resource, without its content. */
export interface ConfigKey {
  readonly kind: string;
  readonly namespace: string;
  readonly name: string;
}

/** `<kind>/<namespace>/<name>`. */
export function configKey(key: ConfigKey): string {
  return `${key.kind}/${key.namespace}/${key.name}`;
}

/** Oldest first, then by name, then by namespace: the universal tie-break. */
export function compareByAge(
  left: Pick<ConfigResource, 'creationTimestampMs' | 'name' | 'namespace'>,
  right: Pick<ConfigResource, 'creationTimestampMs' | 'name' | 'namespace'>,
): number {
  if (left.creationTimestampMs !== right.creationTimestampMs)
    return left.creationTimestampMs - right.creationTimestampMs;
  if (left.name !== right.name) return left.name < right.name ? -1 : 1;
  if (left.namespace !== right.namespace) return left.namespace < right.namespace ? -1 : 1;
  return 0;
}
