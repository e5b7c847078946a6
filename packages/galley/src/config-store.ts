import { type Finding, formatFinding, hasErrors, type KubernetesObject, validateObject } from '@meltemi/api';
import type { Log } from '@meltemi/base';
import { type ConfigKey, type ConfigResource, type ConfigSource, configKey } from '@meltemi/model';
import { isSameContent, toConfigResource } from './config-resource.ts';
import type { GalleyMetrics } from './metrics.ts';
import { checkRe2 } from './regex-check.ts';
import { findUnresolvedReferences, REFERENCED_KINDS } from './unresolved-references.ts';

/** A version of an object that was not taken. */
export interface RejectedConfig {
  readonly key: ConfigKey;
  readonly resourceVersion: string;
  readonly findings: readonly Finding[];
  /** Whether an earlier, good version of it goes on serving. */
  readonly servesPrevious: boolean;
  /** It is valid, but refers to something that is not there; it is taken as soon as that arrives. */
  readonly isPending: boolean;
}

/** What the store says about one object. */
export type ConfigState =
  | { readonly state: 'accepted'; readonly resource: ConfigResource; readonly resourceVersion: string }
  | { readonly state: 'rejected'; readonly rejection: RejectedConfig }
  | { readonly state: 'absent' };

/**
 * The configuration in force: for each object its last version that passed validation and whose references resolved.
 *
 * An object whose references are lost later stays as it is.
 * One writer (the sources), any number of readers; listeners are called after each change, one by one.
 */
export interface ConfigStore {
  /** Takes a version of an object, or refuses it and keeps the previous one. */
  put(object: KubernetesObject, source?: ConfigSource): void;
  remove(key: ConfigKey): void;
  /** Every accepted resource, in no particular order. */
  list(): readonly ConfigResource[];
  ofKind(kind: string): readonly ConfigResource[];
  stateOf(key: ConfigKey): ConfigState;
  rejections(): readonly RejectedConfig[];
  /** Calls back with the key of each object whose accepted content changed. @returns Ends it. */
  onChange(listener: (key: ConfigKey) => void): () => void;
  /** Calls back for each version that is not taken, for instance to write an Event. @returns Ends it. */
  onReject(listener: (rejection: RejectedConfig, object: KubernetesObject) => void): () => void;
}

/** What a store reports to. */
export interface ConfigStoreOptions {
  readonly log: Log;
  readonly metrics?: GalleyMetrics | undefined;
  /** Completes short host names in references. Default `cluster.local`. */
  readonly domainSuffix?: string;
}

/** Creates an empty store. */
export function createConfigStore(options: ConfigStoreOptions): ConfigStore {
  return new LastGoodStore(options);
}

interface Held {
  readonly object: KubernetesObject;
  readonly source: ConfigSource | undefined;
}

class LastGoodStore implements ConfigStore {
  readonly #options: ConfigStoreOptions;
  readonly #accepted = new Map<string, ConfigResource>();
  /** The newest version that was taken, also where its content equals the one before. */
  readonly #versions = new Map<string, string>();
  readonly #rejected = new Map<string, RejectedConfig>();
  /** Valid objects that wait for what they refer to. */
  readonly #held = new Map<string, Held>();
  readonly #changeListeners = new Set<(key: ConfigKey) => void>();
  readonly #rejectListeners = new Set<(rejection: RejectedConfig, object: KubernetesObject) => void>();
  #all: readonly ConfigResource[] | undefined;

  constructor(options: ConfigStoreOptions) {
    this.#options = options;
  }

  put(object: KubernetesObject, source?: ConfigSource): void {
    const key = { kind: object.kind, namespace: object.metadata.namespace ?? 'default', name: object.metadata.name };
    this.#held.delete(configKey(key));
    const validated = validateObject(object, { checkRegex: checkRe2 });
    if (validated.object === undefined || hasErrors(validated.findings)) {
      const findings = validated.findings.filter((finding) => finding.severity === 'error');
      return this.#reject({ key, object, findings, isPending: false });
    }
    const rules = this.ofKind('DestinationRule');
    const unresolved = findUnresolvedReferences(validated.object, rules, this.#options.domainSuffix);
    if (unresolved.length > 0) {
      this.#held.set(configKey(key), { object, source });
      return this.#reject({ key, object, findings: unresolved, isPending: true });
    }
    this.#accept(key, toConfigResource(validated.object, source));
  }

  remove(key: ConfigKey): void {
    const text = configKey(key);
    this.#held.delete(text);
    this.#clearRejection(key);
    this.#versions.delete(text);
    if (!this.#accepted.delete(text)) return;
    this.#options.metrics?.configEvent(key.kind, 'delete');
    this.#options.log.debug('Configuration removed', { object: text });
    this.#notify(key);
  }

  list(): readonly ConfigResource[] {
    return (this.#all ??= [...this.#accepted.values()]);
  }

  ofKind(kind: string): readonly ConfigResource[] {
    return this.list().filter((resource) => resource.kind === kind);
  }

  stateOf(key: ConfigKey): ConfigState {
    const text = configKey(key);
    const rejection = this.#rejected.get(text);
    if (rejection !== undefined) return { state: 'rejected', rejection };
    const resource = this.#accepted.get(text);
    if (resource === undefined) return { state: 'absent' };
    return { state: 'accepted', resource, resourceVersion: this.#versions.get(text) ?? resource.resourceVersion };
  }

  rejections(): readonly RejectedConfig[] {
    return [...this.#rejected.values()];
  }

  onChange(listener: (key: ConfigKey) => void): () => void {
    this.#changeListeners.add(listener);
    return () => void this.#changeListeners.delete(listener);
  }

  onReject(listener: (rejection: RejectedConfig, object: KubernetesObject) => void): () => void {
    this.#rejectListeners.add(listener);
    return () => void this.#rejectListeners.delete(listener);
  }

  #accept(key: ConfigKey, resource: ConfigResource): void {
    const text = configKey(key);
    this.#clearRejection(key);
    const previous = this.#accepted.get(text);
    this.#versions.set(text, resource.resourceVersion);
    if (previous !== undefined && isSameContent(previous, resource)) return;
    this.#accepted.set(text, resource);
    this.#options.metrics?.configEvent(key.kind, previous === undefined ? 'add' : 'update');
    this.#options.log.debug('Configuration taken', { object: text, resourceVersion: resource.resourceVersion });
    this.#notify(key);
  }

  #reject(
    refused: Pick<RejectedConfig, 'key' | 'findings' | 'isPending'> & { readonly object: KubernetesObject },
  ): void {
    const { key, object, findings, isPending } = refused;
    const text = configKey(key);
    const resourceVersion = object.metadata.resourceVersion ?? '';
    // A version is read again and again; it is told once.
    if (this.#rejected.get(text)?.resourceVersion === resourceVersion && resourceVersion !== '') return;
    const rejection = { key, resourceVersion, findings, isPending, servesPrevious: this.#accepted.has(text) };
    this.#rejected.set(text, rejection);
    this.#options.metrics?.rejected(key.kind, this.#rejected.size);
    const previous = rejection.servesPrevious ? 'stays in force' : 'none';
    const fields = { problems: findings.map(formatFinding), previous };
    if (isPending) this.#options.log.info(`Configuration waits for what it refers to: ${text}`, fields);
    else this.#options.log.warn(`Configuration not taken: ${text}`, fields);
    for (const listener of this.#rejectListeners) listener(rejection, object);
  }

  #clearRejection(key: ConfigKey): void {
    if (this.#rejected.delete(configKey(key))) this.#options.metrics?.rejected(key.kind, this.#rejected.size);
  }

  #notify(key: ConfigKey): void {
    this.#all = undefined;
    for (const listener of this.#changeListeners) listener(key);
    if (!REFERENCED_KINDS.has(key.kind)) return;
    for (const { object, source } of [...this.#held.values()]) this.put(object, source);
  }
}
